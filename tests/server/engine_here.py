"""A scripted engine in the test's own process and event loop, behind a real socket. The test says when it steps."""

import asyncio
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from lsprotocol import types

from midfill.engine.client import EngineClient
from midfill.engine.endpoint import Endpoint
from midfill.engine.errors import InputError
from midfill.engine.scheduler import Scheduler
from midfill.engine.scripted import Rule, ScriptedFiller
from midfill.engine.service import Service
from midfill.engine.wire import Infill, InfillRequest, Ready
from midfill.server.document import Place
from midfill.server.offers import Gap, Offer
from midfill.server.session import Session
from midfill.server.settings import Settings
from midfill.server.shared import Shared
from midfill.server.statistics import Statistics, read_events

PATIENCE_S = 60.0


class RecordingFiller(ScriptedFiller):
    """Keeps what it was asked. A schema that has no type it cannot use."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        super().__init__(rules)
        self.requests: list[InfillRequest] = []

    def fill(self, request: InfillRequest) -> Generator[str, None, Infill]:
        self.requests.append(request)
        if request.schema is not None and '"type"' not in request.schema.text:
            raise InputError("schema", "a type", "none")
        return (yield from super().fill(request))


class EngineHere:
    """The engine, and what a language server shares among its sessions."""

    def __init__(self, folder: Path, rules: Sequence[Rule]) -> None:
        self.scheduler = Scheduler(self._step)
        self.filler = RecordingFiller(rules)
        self.client = EngineClient(endpoint=Endpoint(folder / "run", tcp=False), launches=False)
        self.shared = Shared(self.client, Statistics(folder / "statistics.jsonl"), roots=[])
        self._steps_left = sys.maxsize
        self._may_step = asyncio.Event()

    async def _step(self, work: Callable[[], Any]) -> Any:
        while not self._steps_left:
            self._may_step.clear()
            await self._may_step.wait()
        self._steps_left -= 1
        return work()

    def hold(self, *, after_steps: int = 0) -> None:
        """So many steps more, then none until `go_on`."""
        self._steps_left = after_steps

    def go_on(self) -> None:
        self._steps_left = sys.maxsize
        self._may_step.set()

    async def begun(self) -> None:
        """Waits until a request has reached the engine."""
        await until(lambda: self.scheduler.num_open)

    async def idle(self) -> None:
        """Waits until no request is left in the engine."""
        await until(lambda: not self.scheduler.num_open)

    def count(self, kind: str) -> int:
        """How often it happened, by the statistics."""
        self.shared.statistics.flush()
        return sum(event.kind == kind for event in read_events(self.shared.statistics.path))


async def until(condition: Callable[[], object]) -> None:
    """Waits for what messages over the socket, or other threads, bring about; those must not starve meanwhile."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def engine_here(*rules: Rule, settings: Settings | None = None) -> AsyncIterator[EngineHere]:
    """An engine that answers by `rules`; nothing may be left in it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="mf", dir="/tmp"))  # a socket's path must be short
    here = EngineHere(folder, rules)
    here.shared.use(settings or Settings(debounce_ms=0, speculate=False))
    endpoint = Endpoint(folder / "run", tcp=False)
    service = Service(here.scheduler, "script", endpoint.accepts, here.scheduler.stop)
    server = await endpoint.listen(service.serve)
    service.tell(Ready(model="script", device="none"))
    running = asyncio.create_task(here.scheduler.run(here.filler))
    try:
        await here.client.start()
        yield here
        here.go_on()
        await here.idle()
    finally:
        here.go_on()
        here.shared.statistics.close()
        await here.client.aclose()
        here.scheduler.stop()
        await asyncio.wait_for(running, PATIENCE_S)
        server.close()
        await service.close()
        shutil.rmtree(folder)


def edit(session: Session, start: tuple[int, int], end: tuple[int, int], text: str) -> None:
    """A change as the client tells it."""
    span = types.Range(types.Position(*start), types.Position(*end))
    session.change([types.TextDocumentContentChangePartial(span, text)], session.document.version + 1)


def cursor(line: int, column: int) -> Gap:
    return Gap(Place(line, column), Place(line, column))


def text_of(offers: Sequence[Offer]) -> str | None:
    """The best one's; None if there is none."""
    return offers[0].text if offers else None
