"""A private place for real engine processes, which end with the test."""

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from midfill.engine.client import EngineClient
from midfill.engine.endpoint import Endpoint
from midfill.engine.errors import EngineGone

PATIENCE_S = 30.0
"""For what a busy machine does some time."""


@asynccontextmanager
async def engine_place(*, tcp: bool = False) -> AsyncIterator[Endpoint]:
    """An endpoint of the test's own, in a folder short enough for a socket. It ends the engine that it finds there."""
    folder = Path(tempfile.mkdtemp(prefix="mf", dir="/tmp"))
    endpoint = Endpoint(folder / "run", tcp, folder / "engine.log")
    try:
        yield endpoint
        with suppress(EngineGone):
            await EngineClient(endpoint=endpoint, launches=False).stop_engine()
    finally:
        shutil.rmtree(folder)


def scripted(endpoint: Endpoint, rules: Sequence[dict[str, Any]] = (), *, idle_exit_s: float = 20.0) -> list[str]:
    """Arguments for an engine that answers by `rules`, and that leaves soon if the test forgets it."""
    script = endpoint.log.with_name("rules.json")
    script.write_text(json.dumps(list(rules)), encoding="utf-8")
    return ["--script", str(script), "--idle-exit-s", str(idle_exit_s)]


async def until(condition: Callable[[], object]) -> None:
    """Waits for what another process does, which no event tells."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)
