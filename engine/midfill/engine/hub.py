"""Checkpoints from the Hugging Face hub: listed, fetched, resumed where the last attempt stopped, verified.

`huggingface_hub` speaks to the hub: endpoint, token, listing, what its errors mean. Its own downloads (2.4)
begin a file anew after an interruption, hours for a large shard, so the bytes are streamed here.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

import httpx2
import msgspec

from midfill.engine.errors import HubError, InputError

os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # huggingface_hub reads it once, at import
from huggingface_hub import HfApi, get_session, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoSibling
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

CONFIG = "config.json"
# Nothing that runs code when it is read: no pickle (*.bin, *.pt), no Python.
WANTED_SUFFIXES = (".safetensors", ".json")
WANTED_NAMES = ("tokenizer.model", "LICENSE", "README.md")
TIMEOUT_S = 30

Advance = Callable[[str, int], None]
"""Called with a file's name and how many bytes more of it are here (fewer, where it had to begin anew)."""


class HubFile(msgspec.Struct, frozen=True):
    """One file of a repository. `digest` is the sha256 of an LFS file, the git blob id (sha1) of another."""

    name: str
    size: int
    digest: str

    @property
    def part_name(self) -> str:
        """Where its bytes gather. Another revision's bytes have another digest, so they never mix."""
        return f"{self.name}.{self.digest[:16]}.part"


class Snapshot(msgspec.Struct, frozen=True):
    """A repository at one commit: the files that a checkpoint needs, `config.json` last."""

    repo: str
    commit: str
    endpoint: str
    files: tuple[HubFile, ...]

    @property
    def num_bytes(self) -> int:
        return sum(file.size for file in self.files)


def find(repo: str, revision: str | None = None, endpoint: str | None = None) -> Snapshot:
    """What the hub has at `revision`, default main. Raises `HubError`, `InputError` for a malformed name."""
    api = HfApi(endpoint=endpoint, library_name="midfill", library_version=version("midfill"))
    with _as_hub_error(repo, revision, api.endpoint):
        info = api.model_info(repo, revision=revision, files_metadata=True, timeout=TIMEOUT_S)
    files = [_hub_file(repo, sibling) for sibling in info.siblings or () if _is_wanted(sibling.rfilename)]
    files.sort(key=lambda file: (file.name == CONFIG, file.name))
    if not files or files[-1].name != CONFIG or not any(file.name.endswith(".safetensors") for file in files):
        raise HubError(repo, f"a checkpoint, {CONFIG} and *.safetensors", "a repository without")
    if info.sha is None:
        raise HubError(repo, "the commit of its files", "a listing without")
    return Snapshot(repo, info.sha, api.endpoint, tuple(files))


def _hub_file(repo: str, sibling: RepoSibling) -> HubFile:
    digest = sibling.lfs.sha256 if sibling.lfs else sibling.blob_id
    if sibling.size is None or digest is None:
        raise HubError(f"{repo}/{sibling.rfilename}", "its size and checksum", "a listing without")
    return HubFile(sibling.rfilename, sibling.size, digest)


def fetch(snapshot: Snapshot, directory: Path, advance: Advance) -> None:
    """Make `directory` hold the checkpoint files of `snapshot` and no others, verified. Keeps whole ones.

    `config.json` goes first and comes last, so a half-fetched directory never loads. Raises `HubError`.
    """
    with _as_hub_error(snapshot.repo, snapshot.commit, snapshot.endpoint):
        directory.mkdir(parents=True, exist_ok=True)
        *others, config = snapshot.files
        missing = [file for file in others if not _is_whole(directory / file.name, file)]
        if missing:
            (directory / CONFIG).unlink(missing_ok=True)
        if not _is_whole(directory / CONFIG, config):
            missing.append(config)
        _check_space(missing, directory)
        for file in snapshot.files:
            if file in missing:
                _fetch_file(snapshot, file, directory, advance)
            else:
                advance(file.name, file.size)
        _remove_others(snapshot, directory)


def _fetch_file(snapshot: Snapshot, file: HubFile, directory: Path, advance: Advance) -> None:
    url = hf_hub_url(snapshot.repo, file.name, revision=snapshot.commit, endpoint=snapshot.endpoint)
    part = directory / file.part_name
    with part.open("ab") as out:
        advance(file.name, out.tell())
        is_done = out.tell() >= file.size
        while not is_done:
            start = out.tell()
            try:
                _stream(url, out, lambda count: advance(file.name, count))
                is_done = True
            except httpx2.TransportError:
                if out.tell() <= start:
                    raise  # not one byte more: the network is gone, not just this connection
    found = _digest(part, file)
    if found != file.digest:
        part.unlink()
        raise HubError(f"{snapshot.repo}/{file.name}", f"the checksum {file.digest}", f"{found}: run it again")
    part.replace(directory / file.name)


def _stream(url: str, out: BinaryIO, advance: Callable[[int], None]) -> None:
    """Append to `out` what `url` has from its end on."""
    headers = build_hf_headers(library_name="midfill", library_version=version("midfill"))
    headers |= {"Accept-Encoding": "identity", "Range": f"bytes={out.tell()}-"}
    # On a redirect to another host, where the hub keeps large files, httpx2 drops the token.
    with get_session().stream("GET", url, headers=headers, timeout=TIMEOUT_S) as response:
        hf_raise_for_status(response)
        if response.status_code != HTTPStatus.PARTIAL_CONTENT:
            advance(-out.tell())
            out.seek(0)
            out.truncate()
        for chunk in response.iter_bytes():
            out.write(chunk)
            advance(len(chunk))


def _digest(path: Path, file: HubFile) -> str:
    is_lfs = len(file.digest) == hashlib.sha256().digest_size * 2
    hasher = hashlib.sha256() if is_lfs else hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as content:
        return hashlib.file_digest(content, lambda: hasher).hexdigest()


def _is_whole(path: Path, file: HubFile) -> bool:
    return path.is_file() and path.stat().st_size == file.size and _digest(path, file) == file.digest


def _is_wanted(name: str) -> bool:
    return "/" not in name and (name.endswith(WANTED_SUFFIXES) or name in WANTED_NAMES)


def _check_space(missing: list[HubFile], directory: Path) -> None:
    parts = [directory / file.part_name for file in missing]
    here = sum(part.stat().st_size for part in parts if part.exists())
    needed, free = sum(file.size for file in missing) - here, shutil.disk_usage(directory).free
    if needed > free:
        raise HubError(directory, f"{needed / 1e9:.1f} GB of free space", f"{free / 1e9:.1f} GB")


def _remove_others(snapshot: Snapshot, directory: Path) -> None:
    """Remove what another revision left: a stray shard or index would be read with this one's."""
    names = {file.name for file in snapshot.files}
    for path in directory.iterdir():
        if path.name not in names and (_is_wanted(path.name) or path.suffix == ".part"):
            path.unlink()


@contextmanager
def _as_hub_error(repo: str, revision: str | None, endpoint: str) -> Iterator[None]:
    """Turn what the hub, the network and the disk raise into one line that says what to do."""
    try:
        yield
    except HFValidationError as error:
        raise InputError("REPO", "a repository as ORG/NAME", repr(repo)) from error
    except GatedRepoError as error:
        remedy = f"accept its licence on {endpoint}/{repo} and set HF_TOKEN"
        raise HubError(repo, "access to a gated repository", f"{_status(error)}: {remedy}") from error
    except RepositoryNotFoundError as error:
        reason = "no such repository, or a private one that HF_TOKEN may not read"
        raise HubError(repo, f"a model on {endpoint}", f"{_status(error)}: {reason}") from error
    except RevisionNotFoundError as error:
        raise HubError(repo, f"a branch, tag or commit {revision!r}", _status(error)) from error
    except HfHubHTTPError as error:
        raise HubError(repo, f"an answer from {endpoint}", _status(error)) from error
    except ValueError as error:
        raise HubError(repo, f"a hub at {endpoint}", f"an answer of another kind ({error})") from error
    except OfflineModeIsEnabled as error:
        raise HubError(repo, "the network", "HF_HUB_OFFLINE is set") from error
    except httpx2.RequestError as error:
        reason = f"{type(error).__name__} ({error}): run it again to go on where it stopped"
        raise HubError(repo, f"a connection to {endpoint}", reason) from error
    except OSError as error:
        is_full = error.errno == errno.ENOSPC
        remedy = ": make room and run it again to go on where it stopped" if is_full else ""
        raise HubError(repo, "room to write its files", f"{error}{remedy}") from error


def _status(error: HfHubHTTPError) -> str:
    return f"status {error.response.status_code}"
