"""Asks the engine for fills, and keeps it there: started when first needed, started again after it is gone."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from midfill.engine.connection import Connection, News, OnDraft
from midfill.engine.endpoint import Endpoint
from midfill.engine.errors import EngineGone
from midfill.engine.launching import launch
from midfill.engine.wire import Broken, Forget, Infill, InfillRequest, Loading, Ready, Status, Stop

STOP_S = 10.0
"""The longest wait for an engine that was asked to end."""

log = logging.getLogger(__name__)


class EngineState(msgspec.Struct, frozen=True):
    """What an editor tells its user of the engine."""

    phase: Literal["stopped", "starting", "loading", "ready", "failed"]
    model: str = ""
    device: str = ""
    share: float = 0.0
    """Of the loading, 0 to 1."""
    message: str = ""
    """Why it stopped or failed, or what it cannot do."""


class BackOff:
    """How long an engine that goes away is left alone: twice as long each time, until one lived for a while."""

    FIRST_S, LONGEST_S, LIFE_S = 0.1, 5.0, 10.0
    BROKEN_S = 30.0
    """After a model that could not be loaded: the next try costs as much, and hardly ends better."""

    def __init__(self) -> None:
        self._pause_s = 0.0
        self._until = 0.0

    def gone(self, now: float, lived_s: float) -> None:
        """The engine went away at `now`, or could not be reached, after `lived_s` of service."""
        doubled = 0.0 if lived_s >= self.LIFE_S else 2 * self._pause_s
        self._pause_s = min(max(doubled, self.FIRST_S), self.LONGEST_S)
        self._until = now + self._pause_s

    def broken(self, now: float) -> None:
        """The engine went away at `now`, as it could not load its model."""
        self._until = now + self.BROKEN_S

    def is_on(self, now: float) -> bool:
        """Whether no engine is to be started at `now`."""
        return now < self._until


def ignore(state: EngineState) -> None:
    """For whoever does not want to know."""


class EngineClient:
    """The engine, as one program sees it. Belongs to one event loop."""

    def __init__(
        self,
        arguments: Sequence[str] = (),
        *,
        name: str = "midfill",
        endpoint: Endpoint | None = None,
        launches: bool = True,
        on_state: Callable[[EngineState], None] = ignore,
    ) -> None:
        """With `launches=False` no engine is ever started here."""
        self.state = EngineState(phase="stopped")
        self.arguments = tuple(arguments)
        """For the next engine that is started here."""
        self._name, self._endpoint = name, endpoint
        self._launches, self._on_state = launches, on_state
        self._back_off = BackOff()
        self._attempt: asyncio.Task[Connection] | None = None
        self._connection: Connection | None = None
        self._running: asyncio.Task[None] | None = None
        self._is_closed = False

    async def start(self) -> None:
        """Connects, and starts the engine if there is none. Those who call at once share one attempt.

        Raises `EngineGone`; at once if the engine was lost a short time ago.
        """
        await self._connected()

    async def fill(
        self, request: InfillRequest, *, speculative: bool = False, on_draft: OnDraft | None = None
    ) -> Infill:
        """The engine's answer; `on_draft` is given the text so far, where it changes. Starts the engine if need be.

        Cancelling the caller cancels the request, never a start or a load of the engine.
        Raises `RequestDropped`, `RequestFailed` or `EngineGone`.
        """
        connection = await self._connected()
        return await connection.fill(request, speculative=speculative, on_draft=on_draft)

    def forget(self, document: str) -> None:
        """The file was closed. Starts nothing."""
        if self._connection:
            self._connection.tell(Forget(document=document))

    async def status(self) -> Status:
        """How the engine is doing. Raises `EngineGone`."""
        connection = await self._connected()
        return await connection.status()

    async def stop_engine(self) -> None:
        """Ends the engine, for all its clients, and returns when it lets go. Raises `EngineGone` if there is none.

        The next fill starts another, without delay.
        """
        self._back_off = BackOff()
        connection = await Connection.open(self._endpoint or Endpoint(), self._name)
        connection.tell(Stop())
        try:
            await asyncio.wait_for(connection.run(lambda news: None), STOP_S)
        except TimeoutError:
            raise EngineGone(f"the engine, process {connection.pid}, did not end within {STOP_S:.0f} s") from None
        if self._running:
            await asyncio.wait({self._running})
        self._back_off = BackOff()  # it was meant

    async def aclose(self) -> None:
        """Ends the connection. The engine lives on for others, or until its idle time has passed."""
        self._is_closed = True
        if self._attempt:
            self._attempt.cancel()
            await asyncio.wait({self._attempt})
        if self._connection:
            self._connection.close()
        if self._running:
            await asyncio.wait({self._running})

    async def _connected(self) -> Connection:
        if self._connection:
            return self._connection
        if not self._attempt:
            self._attempt = self._begin()
        attempt = self._attempt
        await asyncio.wait({attempt})  # not awaited itself: a caller who is cancelled must not cancel it
        if attempt.cancelled():
            raise EngineGone("the engine's client was closed")
        return attempt.result()

    def _begin(self) -> "asyncio.Task[Connection]":
        if self._is_closed:
            raise EngineGone("the engine's client was closed")
        loop = asyncio.get_running_loop()
        if self._back_off.is_on(loop.time()):
            raise EngineGone(self.state.message)
        attempt = loop.create_task(self._open())
        attempt.add_done_callback(self._attempted)
        return attempt

    def _attempted(self, attempt: "asyncio.Task[Connection]") -> None:
        self._attempt = None
        if not attempt.cancelled() and (error := attempt.exception()):
            log.warning("%s", error)  # those who waited for it may all be gone

    async def _open(self) -> Connection:
        loop = asyncio.get_running_loop()
        self._tell(EngineState(phase="starting"))
        try:
            connection = await self._reach(self._endpoint or Endpoint())
        except EngineGone as error:
            self._back_off.gone(loop.time(), 0.0)
            self._tell(EngineState(phase="failed", message=str(error)))
            raise
        self._connection = connection
        self._running = loop.create_task(self._run(connection))
        return connection

    async def _reach(self, endpoint: Endpoint) -> Connection:
        try:
            return await Connection.open(endpoint, self._name)
        except EngineGone:
            if not self._launches:
                raise
        await launch(endpoint, self.arguments)
        return await Connection.open(endpoint, self._name)

    async def _run(self, connection: Connection) -> None:
        """Follows the connection to its end."""
        clock = asyncio.get_running_loop().time
        since = clock()
        try:
            end = await connection.run(self._hear)
        finally:
            self._connection = None
        if self.state.phase == "failed":  # `Broken` has said why
            self._back_off.broken(clock())
        else:
            self._back_off.gone(clock(), clock() - since)
            self._tell(EngineState(phase="stopped", message=end))

    def _hear(self, news: News) -> None:
        match news:
            case Loading(model=model, share=share):
                self._tell(EngineState(phase="loading", model=model, share=share))
            case Ready(model=model, device=device, message=message):
                self._tell(EngineState(phase="ready", model=model, device=device, message=message))
            case Broken(message=message):
                self._tell(EngineState(phase="failed", message=message))

    def _tell(self, state: EngineState) -> None:
        if state != self.state:
            self.state = state
            asyncio.get_running_loop().call_soon(self._on_state, state)  # its errors are its own
