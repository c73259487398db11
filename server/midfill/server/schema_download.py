"""Schemas from the web: fetched within bounds of size and time, and kept in the user's cache directory."""

import hashlib
import http.client
import ipaddress
import os
import tempfile
import time
import urllib.request
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError
from urllib.parse import urlsplit, urlunsplit

import platformdirs

from midfill.engine.errors import MidfillError

MAX_BYTES = 10 << 20
STEP_TIMEOUT_S = 10.0
"""For a connection, and for each piece that comes."""
TIMEOUT_S = 60.0
"""For all of it."""
PIECE_BYTES = 1 << 16
NOTICE = "notice-was-given"


class SchemaError(MidfillError):
    """A schema that is not there or is none."""


class Cached(NamedTuple):
    """A schema as it was fetched once."""

    body: bytes
    age_s: float


class SchemaCache:
    """Schemas by URL, in files that only the user can read."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or platformdirs.user_cache_path("midfill", appauthor=False) / "schemas"

    def read(self, url: str) -> Cached | None:
        """None if it is not there. Raises `OSError` where the disk fails otherwise."""
        try:
            with self._file(url).open("rb") as file:
                return Cached(file.read(MAX_BYTES), max(0.0, time.time() - os.fstat(file.fileno()).st_mtime))
        except FileNotFoundError:
            return None

    def has(self, url: str) -> bool:
        """Whether there is a file of it: 5 µs."""
        try:
            return self._file(url).is_file()
        except OSError:  # the folder is closed
            return False

    def write(self, url: str, body: bytes) -> None:
        """Keeps it. Raises `OSError`."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file, name = tempfile.mkstemp(dir=self.folder)  # which the user alone may read
        try:
            with os.fdopen(file, "wb") as part:
                part.write(body)
            Path(name).replace(self._file(url))
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise

    def is_first_notice(self) -> bool:
        """Whether the person was never told before that schemas can be fetched; from now on they were."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (self.folder / NOTICE).touch(mode=0o600, exist_ok=False)
        except OSError:  # it is there, or cannot be: then it would be told each time
            return False
        return True

    def _file(self, url: str) -> Path:
        return self.folder / f"{hashlib.sha256(url.encode('utf-8', 'surrogatepass')).hexdigest()}.json"


def download(url: str, max_bytes: int = MAX_BYTES, timeout_s: float = TIMEOUT_S) -> bytes:
    """What is at the URL. Waits for it. Raises `SchemaError` saying why there is nothing.

    Without encryption only this machine is spoken to: for any other, http becomes https.
    """
    end = time.monotonic() + timeout_s
    headers = {
        "Accept": "application/schema+json, application/json, */*",
        "User-Agent": f"midfill/{version('midfill')}",
    }
    try:
        request = urllib.request.Request(safe_address(url), headers=headers)
        with _opener(url).open(request, timeout=min(timeout_s, STEP_TIMEOUT_S)) as answer:
            return _read(answer, url, max_bytes, end)
    except (OSError, http.client.HTTPException, ValueError) as error:  # URLError and those of TLS are OSErrors
        reason = error.reason if isinstance(error, URLError) else error
        raise SchemaError(url, "a schema", reason) from None


def _read(answer: http.client.HTTPResponse, url: str, max_bytes: int, end: float) -> bytes:
    body = bytearray()
    while piece := answer.read1(PIECE_BYTES):
        body += piece
        if len(body) > max_bytes:
            raise SchemaError(url, f"at most {max_bytes} bytes", "more")
        if time.monotonic() > end:
            raise SchemaError(url, "a schema in time", f"{len(body)} bytes of one")
    return bytes(body)


def _opener(url: str) -> urllib.request.OpenerDirector:
    """For http and https alone: the library's own also reads files and speaks FTP."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler({} if _is_here(url) else None),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _SafeRedirects(),
    ):
        opener.add_handler(handler)
    return opener


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if _is_here(newurl) and not _is_here(req.full_url):
            raise URLError("a redirection to this machine")
        return super().redirect_request(req, fp, code, msg, headers, safe_address(newurl))


def safe_address(url: str) -> str:
    """The URL over https, unless it leads to this machine. Pure."""
    parts = urlsplit(url)
    if parts.scheme == "http" and not _is_here(url):
        parts = parts._replace(scheme="https")
    return urlunsplit(parts)


def _is_here(url: str) -> bool:
    """Whether the URL leads to this machine, by its name."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
