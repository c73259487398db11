"""One connection to an engine: requests go out, and each answer finds who asked."""

import asyncio
import itertools
import logging
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from midfill.engine.endpoint import Endpoint, Stream
from midfill.engine.errors import EngineError, EngineGone, RequestDropped, RequestFailed
from midfill.engine.frames import FrameError, pack, read_message
from midfill.engine.wire import (
    PROTOCOL,
    AskStatus,
    Broken,
    Cancel,
    Done,
    Draft,
    Dropped,
    Failed,
    Forget,
    FromEngine,
    Hello,
    Infill,
    InfillRequest,
    Loading,
    Ready,
    Status,
    Stop,
    Submit,
    Unwelcome,
    Welcome,
)

WELCOME_S = 10.0
"""The longest wait for the engine's first frame: it says that while it still loads its model."""
CLOSED = "the connection to the engine was closed"

News = Loading | Ready | Broken
OnDraft = Callable[[str], None]

log = logging.getLogger(__name__)


class _Asked(NamedTuple):
    answer: asyncio.Future[Any]
    on_draft: OnDraft | None


class Connection:
    """A connection from its `Welcome` on. Nothing is answered unless `run` runs."""

    def __init__(self, stream: Stream, pid: int) -> None:
        self.pid = pid
        """The engine's."""
        self._reader, self._writer = stream
        self._asked: dict[int, _Asked] = {}
        self._numbers = itertools.count(1)
        self._broken = self._end = ""

    @classmethod
    async def open(cls, endpoint: Endpoint, client: str) -> "Connection":
        """A connection to the engine at `endpoint`, which logs who came as `client`. Raises `EngineGone`."""
        try:
            async with asyncio.timeout(WELCOME_S):
                stream = await endpoint.connect()
                try:
                    welcome = await _greet(stream, client, endpoint.token())
                except BaseException:
                    stream[1].transport.abort()
                    raise
        except TimeoutError:
            raise EngineGone(f"the engine did not answer within {WELCOME_S:.0f} s") from None
        log.info("connected to engine %s, process %d", welcome.version, welcome.pid)
        return cls(stream, welcome.pid)

    async def run(self, on_news: Callable[[News], None]) -> str:
        """Takes what the engine says until the connection ends, and returns why it did. Cancelling it closes it.

        Whoever still waits for an answer then gets `EngineGone`.
        """
        end = CLOSED
        try:
            while (message := await read_message(self._reader, FromEngine)) is not None:
                self._take(message, on_news)
            end = self._broken or "the engine ended"
        except FrameError as error:
            end = f"the connection to the engine broke: {error}"
        finally:
            self.close(end)
        return self._end

    async def fill(self, request: InfillRequest, *, speculative: bool, on_draft: OnDraft | None) -> Infill:
        """The engine's answer. Where the caller is cancelled, so is the request."""
        number = next(self._numbers)
        submit = Submit(id=number, request=request, speculative=speculative, drafts=on_draft is not None)
        try:
            return await self._ask(number, submit, on_draft)
        except asyncio.CancelledError:
            self.tell(Cancel(id=number))  # of no matter if it crosses the answer, or was never submitted
            raise

    async def status(self) -> Status:
        """How the engine is doing."""
        number = next(self._numbers)
        return await self._ask(number, AskStatus(id=number), None)

    def tell(self, message: Cancel | Forget | Stop) -> None:
        """Says something that has no answer; nothing, if the connection has ended or no frame can say it."""
        if self._end:
            return
        try:
            self._writer.write(pack(message))
        except FrameError as error:
            log.warning("%s", error)

    def close(self, end: str = CLOSED) -> None:
        """Ends the connection, at once. The first reason given is told to all."""
        self._end = self._end or end
        self._writer.transport.abort()  # `close` would wait for an engine that hangs to take what is unsaid
        for number in self._asked:
            self._refuse(number, EngineGone(self._end))

    async def _ask(self, number: int, message: Submit | AskStatus, on_draft: OnDraft | None) -> Any:
        try:
            frame = pack(message)
        except FrameError as error:
            raise RequestFailed(str(error)) from None
        try:
            await self._writer.drain()  # before it is written: to an engine that hangs no more is said
        except OSError:
            raise EngineGone(self._end or "the engine ended") from None
        if self._end:
            raise EngineGone(self._end)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._asked[number] = _Asked(answer, on_draft)
        try:
            self._writer.write(frame)
            return await answer
        finally:
            del self._asked[number]

    def _take(self, message: FromEngine, on_news: Callable[[News], None]) -> None:
        match message:
            case Draft(id=number, text=text):
                asked = self._asked.get(number)
                if asked and asked.on_draft:
                    asyncio.get_running_loop().call_soon(asked.on_draft, text)  # its errors are its own
            case Done(id=number, infill=infill):
                self._settle(number, infill)
            case Status(id=number):
                self._settle(number, message)
            case Dropped(id=number, why=why):
                self._refuse(number, RequestDropped(f"the engine let the request go: {why}"))
            case Failed(id=number, message=reason):
                self._refuse(number, RequestFailed(reason))
            case Loading() | Ready():
                on_news(message)
            case Broken(message=reason):
                self._broken = reason
                on_news(message)
            case Welcome() | Unwelcome():
                log.warning("the engine said %s a second time", type(message).__name__)

    def _settle(self, number: int, answer: Infill | Status) -> None:
        asked = self._asked.get(number)
        if asked and not asked.answer.done():
            asked.answer.set_result(answer)

    def _refuse(self, number: int, error: EngineError) -> None:
        asked = self._asked.get(number)
        if asked and not asked.answer.done():
            asked.answer.set_exception(error)


async def _greet(stream: Stream, client: str, token: str) -> Welcome:
    """Says `Hello` and returns what the engine says to it, or raises `EngineGone`."""
    reader, writer = stream
    writer.write(pack(Hello(protocol=PROTOCOL, client=f"{client} ({os.getpid()})", token=token)))
    try:
        message = await read_message(reader, FromEngine)
    except FrameError as error:
        raise EngineGone(f"the engine did not answer: {error}") from None
    if isinstance(message, Unwelcome):
        raise EngineGone(f"the engine refused this client: {message.reason}")
    if not isinstance(message, Welcome):
        raise EngineGone("the engine closed the connection" if message is None else "the engine said no welcome")
    return message
