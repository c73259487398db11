"""JSON Schemas by URI: of files, which are looked at again, and of the web, where the person allows that."""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePath
from stat import S_ISREG
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec
from pygls.uris import to_fs_path

from midfill.server.ignored import Ignored
from midfill.server.schema_download import MAX_BYTES, SchemaCache, SchemaError, download
from midfill.server.schema_references import Reference, references
from midfill.server.secret_files import secret_pattern

log = logging.getLogger(__name__)

AT_ONCE_BYTES = 1 << 18
"""A file of this size is read in 2 ms. A larger one is read beside the typing, as what the web has."""
FRESH_S = 1.0
"""How long before a file is looked at again."""
FETCHED_FRESH_S = 7 * 86_400.0
RETRY_S = 600.0
"""What could not be fetched is tried again after so long."""
MAX_SCHEMAS = 512
NUM_WORKERS = 4
PACKAGES = "node_modules"
"""What packages bring is no secret, though git ignores it."""


class SchemaText(NamedTuple):
    """A schema, and the others that it needs."""

    text: str
    references: tuple[Reference, ...] = ()


class Missing(NamedTuple):
    """Why there is no schema."""

    reason: str
    is_forbidden: bool = False
    """Whether there might be one, if it were allowed to fetch it."""


Found = SchemaText | Missing


class _Entry:
    def __init__(self) -> None:
        self.found: Found | None = None
        self.stamp: object = None
        self.look_again_at = 0.0
        self.is_busy = False


class SchemaTexts:
    """Answers at once. What takes time is done in the background, and is there when it is asked for later."""

    def __init__(
        self,
        ignored: Ignored,
        cache: SchemaCache,
        *,
        may_fetch: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ignored, self.cache, self._may_fetch, self._clock = ignored, cache, may_fetch, clock
        self._entries: dict[str, _Entry] = {}
        self._workers = _Workers()
        self._news = asyncio.Event()

    async def news(self) -> None:
        """Waits until one more of those that are being found out is known."""
        await self._news.wait()

    def look_up(self, uri: str) -> Found | None:
        """What is known now; None while it is being found out. A changed file's old text stands until it is read."""
        if len(self._entries) >= MAX_SCHEMAS and uri not in self._entries:
            self._entries = {name: entry for name, entry in self._entries.items() if entry.is_busy}
            if len(self._entries) >= MAX_SCHEMAS:
                return None
        entry = self._entries.setdefault(uri, _Entry())
        now = self._clock()
        if not entry.is_busy and (entry.found is None or now >= entry.look_again_at):
            entry.look_again_at = now + FRESH_S
            scheme = urlsplit(uri).scheme
            if scheme == "file":
                self._look_at_file(uri, entry)
            elif scheme in ("http", "https") and not self._may_fetch and not self.cache.has(uri):
                entry.found = Missing(f"{uri}: wanted leave to fetch it", is_forbidden=True)
            elif scheme in ("http", "https"):
                self._in_background(entry, lambda: self._fetched(uri), fresh_s=FETCHED_FRESH_S)
            else:
                entry.found = Missing(f"{uri}: wanted a file or an address of the web")
        return entry.found

    def _look_at_file(self, uri: str, entry: _Entry) -> None:
        try:
            path = self._path(uri)
            stat = path.stat()
            if not S_ISREG(stat.st_mode) or stat.st_size > MAX_BYTES:
                raise SchemaError(path, f"a file of at most {MAX_BYTES} bytes", stat.st_size)
        except (OSError, ValueError, SchemaError) as error:
            entry.stamp, entry.found = None, Missing(str(error))
            return
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if stamp == entry.stamp:
            return
        entry.stamp = stamp
        if stat.st_size <= AT_ONCE_BYTES:
            entry.found = _from_file(path, uri)
        else:
            self._in_background(entry, lambda: _from_file(path, uri), fresh_s=FRESH_S)

    def _path(self, uri: str) -> Path:
        """Raises `SchemaError` for a file that stays out."""
        path = Path(to_fs_path(uri) or "") if urlsplit(uri).netloc in ("", "localhost") else None
        if path is None or not path.is_absolute() or is_elsewhere(path):
            raise SchemaError(uri, "a file of this machine", "another's")
        reason = self._ignored.reason(path)
        if reason is not None and (PACKAGES not in path.parts or secret_pattern(path)):
            raise SchemaError(path, "a file that may be read", reason)
        return path

    def _fetched(self, url: str) -> Found:
        """Waits for the disk and the web."""
        cached = None
        try:
            cached = self.cache.read(url)
        except OSError as error:
            log.info("the cache of schemas cannot be read: %s", error)
        if cached is not None and (cached.age_s < FETCHED_FRESH_S or not self._may_fetch):
            return read_schema(cached.body, url)
        if not self._may_fetch:
            return Missing(f"{url}: wanted leave to fetch it", is_forbidden=True)
        try:
            found = read_schema(body := download(url), url)
        except SchemaError as error:
            log.info("%s", error)
            return Missing(str(error)) if cached is None else read_schema(cached.body, url)
        if isinstance(found, SchemaText):
            self._keep(url, body)
        return found

    def _keep(self, url: str, body: bytes) -> None:
        try:
            self.cache.write(url, body)
        except OSError as error:
            log.info("a schema is not kept: %s", error)

    def _in_background(self, entry: _Entry, find: Callable[[], Found], fresh_s: float) -> None:
        loop = asyncio.get_running_loop()
        entry.is_busy = True

        def take(found: Found) -> None:
            entry.found, entry.is_busy = found, False
            entry.look_again_at = self._clock() + (min(RETRY_S, fresh_s) if isinstance(found, Missing) else fresh_s)
            self._news.set()
            self._news = asyncio.Event()

        def work() -> None:
            found: Found = Missing("a schema was not read, by a fault of ours")
            try:
                found = find()
            finally:  # or it would be busy for ever
                with suppress(RuntimeError):  # the loop is closed: the server ends
                    loop.call_soon_threadsafe(take, found)

        self._workers.do(work)


class _Workers:
    """At most NUM_WORKERS threads, while there is work. Unlike an executor's they let the process end."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._num_running = 0
        self._lock = threading.Lock()

    def do(self, work: Callable[[], None]) -> None:
        self._waiting.append(work)
        self._start()

    def _start(self) -> None:
        with self._lock:
            if not self._waiting or self._num_running >= NUM_WORKERS:
                return
            self._num_running += 1
        threading.Thread(target=self._run, name="midfill schema", daemon=True).start()

    def _run(self) -> None:
        try:
            while (work := self._next()) is not None:
                work()
        finally:
            with self._lock:
                self._num_running -= 1
            self._start()  # for what came after the last look

    def _next(self) -> Callable[[], None] | None:
        with suppress(IndexError):
            return self._waiting.popleft()
        return None


def is_elsewhere(path: PurePath) -> bool:
    """Whether another machine may have the file, so that looking at it tells that one who is here. Pure."""
    return path.anchor.replace("\\", "/").startswith("//")


def _from_file(path: Path, uri: str) -> Found:
    try:
        with path.open("rb") as file:
            return read_schema(file.read(MAX_BYTES), uri)
    except OSError as error:
        return Missing(str(error))


def read_schema(body: bytes, uri: str) -> Found:
    """The schema of a file or a page that was found at `uri`. Pure."""
    try:
        text = body.decode("utf-8-sig")
        schema = msgspec.json.decode(text, type=dict[str, object] | bool)
    except (ValueError, RecursionError) as error:  # msgspec's and bad UTF-8 are ValueErrors
        return Missing(f"{uri}: wanted a JSON Schema, got {error}")
    others = references(schema, uri)
    if urlsplit(uri).scheme != "file":  # the web has no say about files
        others = [reference for reference in others if urlsplit(reference.uri).scheme != "file"]
    return SchemaText(text, tuple(others))
