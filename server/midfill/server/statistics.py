"""What became of the suggestions, counted on this machine only: no text, no file names, sent nowhere."""

import errno
import logging
import os
import threading
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import platformdirs

MAX_FILE_BYTES = 1 << 20
"""A fuller file becomes the old one, and the old one goes: some 20,000 events are kept."""
WRITE_AFTER_S = 2.0
MAX_WAITING = 4096
"""Events that wait for a disk that does not answer; older ones go."""

Kind = Literal["shown", "accepted", "partly", "rejected"]
"""`partly`: a word or a line of it was accepted, each time that it happened."""
Source = Literal["engine", "memory"]

log = logging.getLogger(__name__)


class Event(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One line of the file."""

    kind: Kind
    at: Annotated[float, msgspec.Meta(ge=0, lt=2.5e11)]
    """Seconds since 1970, in a year that a calendar has."""
    language: str = ""
    """LSP language identifier."""
    source: Source | None = None
    """Of what was shown: computed for it, or known already."""
    latency_ms: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """From the editor's question to the answer."""


class Statistics:
    """Takes events, and writes them in the background. It never raises: what cannot be written is lost."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or statistics_path()
        self._waiting: deque[Event] = deque(maxlen=MAX_WAITING)
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()
        self._complained = False

    def record(
        self, kind: Kind, language: str, *, source: Source | None = None, latency_ms: float | None = None
    ) -> None:
        """Notes that it happened now."""
        latency_ms = None if latency_ms is None else round(latency_ms, 1)
        event = Event(kind=kind, at=round(time.time(), 3), language=language, source=source, latency_ms=latency_ms)
        with self._lock:
            self._waiting.append(event)
            if self._timer is None:
                self._timer = threading.Timer(WRITE_AFTER_S, self.flush)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Writes what waits."""
        with self._lock:
            events, self._timer = list(self._waiting), None
            self._waiting.clear()
        try:
            if events:
                _append(self.path, msgspec.json.Encoder().encode_lines(events))
        except OSError as error:
            log.log(logging.DEBUG if self._complained else logging.WARNING, "statistics are not kept: %s", error)
            self._complained = True

    def close(self) -> None:
        """Writes what waits, and ends the wait."""
        if self._timer is not None:
            self._timer.cancel()
        self.flush()


def statistics_path() -> Path:
    """Where they are kept. The older half has `.1` after the name."""
    return platformdirs.user_state_path("midfill", appauthor=False) / "statistics.jsonl"


def _append(path: Path, lines: bytes) -> None:
    """Adds whole lines in one write: several servers do it at once, and none may split another's line."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if _size(path) >= MAX_FILE_BYTES:
        with suppress(FileNotFoundError):  # another server just did it
            path.replace(_older(path))
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
    with os.fdopen(descriptor, "rb+", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        if size:
            file.seek(size - 1)
            torn = file.read(1) != b"\n"  # by a full disk or a crash: that line is lost, ours need not be
            lines = b"\n" + lines if torn else lines
        if file.write(lines) < len(lines):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _older(path: Path) -> Path:
    return path.with_name(path.name + ".1")


def read_events(path: Path) -> list[Event]:
    """All that is kept, oldest first, but lines that are torn or of a kind that this version does not know."""
    decoder = msgspec.json.Decoder(Event)
    events: list[Event] = []
    for file in (_older(path), path):
        try:
            lines = file.read_bytes().splitlines()
        except FileNotFoundError:
            continue
        for line in lines:
            try:
                events.append(decoder.decode(line))
            except (msgspec.DecodeError, UnicodeDecodeError):
                log.debug("%s: a line that cannot be read", file)
    return events


def delete_events(path: Path) -> bool:
    """Deletes all that is kept; whether there was any. Servers that run begin anew."""
    files = [file for file in (_older(path), path) if file.exists()]
    for file in files:
        file.unlink(missing_ok=True)
    return bool(files)
