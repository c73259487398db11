"""`midfill engine`: what a person does with the process that all editor windows share. It imports no torch."""

import asyncio
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from midfill.engine.client import EngineClient
from midfill.engine.endpoint import Endpoint
from midfill.engine.errors import InputError
from midfill.engine.wire import Status

NUM_LINES = 100
FOLLOW_S = 0.2


def status(*, json: bool = False) -> None:
    """Say how the engine is doing. None is started.

    Parameters
    ----------
    json
        Print the figures as JSON.
    """
    told = asyncio.run(_ask_status())
    if json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(told)).decode() + "\n")
    else:
        Console().print(_table(told))


def stop() -> None:
    """End the engine, for all windows. The next keystroke starts another."""
    asyncio.run(_ask_to_stop())


def logs(*, follow: bool = False) -> None:
    """Print the end of the engine's log.

    Parameters
    ----------
    follow
        Go on with what is added, until interrupted.
    """
    path = Endpoint().log
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(path, "the engine's log", error.strerror) from None
    _write(b"".join(data.splitlines(keepends=True)[-NUM_LINES:]))
    try:
        for added in _added(path, len(data)) if follow else ():
            _write(added)
    except KeyboardInterrupt:
        return  # that is how it is ended


def _added(path: Path, offset: int) -> Iterator[bytes]:
    """What is written to the file after the first `offset` bytes, as it comes; all of a file that takes its place."""
    while True:
        size = path.stat().st_size if path.exists() else 0
        offset = 0 if size < offset else offset
        if size > offset:
            with path.open("rb") as file:
                file.seek(offset)
                added = file.read()
            offset += len(added)
            yield added
        else:
            time.sleep(FOLLOW_S)


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.flush()


async def _ask_status() -> Status:
    async with aclosing(_client("status")) as client:
        return await client.status()


async def _ask_to_stop() -> None:
    async with aclosing(_client("stop")) as client:
        await client.stop_engine()


def _client(command: str) -> EngineClient:
    logging.getLogger("midfill").addHandler(logging.NullHandler())  # what it warns of is raised, and told once
    return EngineClient(name=f"midfill engine {command}", launches=False)


def describe(told: Status) -> list[tuple[str, str]]:
    """The lines of the table: what, and how it is. Pure."""
    loaded = f"{told.model} on {told.device}, {told.dtype}" if told.device else f"{told.model}, being loaded"
    lines = [
        ("model", loaded),
        ("process", f"{told.pid}, midfill {told.version}, up {timedelta(seconds=int(told.uptime_s))}"),
        ("memory", f"{_mb(told.resident_bytes)} in all, {_mb(told.kv_bytes)} of caches"),
        ("serves", f"{told.documents} documents of {told.clients} clients"),
        (
            "requests",
            f"{told.answered} answered, {told.dropped} dropped, {told.failed} failed, {told.running} open",
        ),
    ]
    if told.best_model or told.best_problem:
        lines.insert(1, ("best mode", told.best_model or told.best_problem))
    if told.p50_ms is not None and told.p90_ms is not None:
        lines.append(("latency", f"p50 {told.p50_ms:.0f} ms, p90 {told.p90_ms:.0f} ms"))
    if told.cached_share is not None:
        lines.append(("prompt", f"{told.cached_share:.0%} found in a cache"))
    return lines


def _mb(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:.1f} MB"


def _table(told: Status) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1))
    for subject, found in describe(told):
        table.add_row(Text(subject, "bold"), Text(found))
    return table
