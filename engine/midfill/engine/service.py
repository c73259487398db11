"""What the engine says to its clients: a greeting, how the loading goes, an answer to each request, its status."""

import asyncio
import logging
import os
import time
from collections.abc import Callable
from importlib.metadata import version

import psutil

from midfill.engine.frames import FrameError, read_message
from midfill.engine.outbox import Outbox
from midfill.engine.scheduler import Scheduler, Why
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
    FromClient,
    Hello,
    Infill,
    Loading,
    Ready,
    Status,
    Stop,
    Submit,
    Unwelcome,
    Welcome,
)

log = logging.getLogger(__name__)

HELLO_S = 10.0
"""A client says who it is within this time."""
FLUSH_S = 1.0
"""How long a client that is left may take to read the rest."""
VERSION = version("midfill")


class Service:
    """All connections. A client that breaks the rules or goes away takes its own requests with it, nothing else."""

    def __init__(
        self, scheduler: Scheduler, model: str, accepts: Callable[[str], bool], stop: Callable[[], None]
    ) -> None:
        self.dtype = ""
        """The filler's, once there is one."""
        self.best_model = self.best_problem = ""
        """The filler's, too."""
        self.alone_since: float | None = time.monotonic()
        """Since when there is no client; None while there is one."""
        self.met = asyncio.Event()
        """Set once a client was welcomed."""
        self._scheduler, self._model, self._accepts, self._stop = scheduler, model, accepts, stop
        self._clients: dict[_Client, asyncio.Task[None]] = {}
        self._state: Loading | Ready | Broken = Loading(model=model, share=0.0)
        self._started = time.monotonic()

    def tell(self, state: Loading | Ready | Broken) -> None:
        """Tells every client how the loading goes, and those that come later how it went."""
        self._state = state
        for client in self._clients:
            client.outbox.put(state)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves one connection to its end."""
        client = _Client(Outbox(writer), self._scheduler)
        sending = asyncio.create_task(client.outbox.run())
        try:
            if await self._greet(reader, client):
                await self._answer(reader, client)
        except (FrameError, TimeoutError) as error:
            log.warning("%s: %s", client.name, error if isinstance(error, FrameError) else "it says nothing")
        finally:
            client.leave()
            sent, _ = await asyncio.wait({sending}, timeout=FLUSH_S)
            if not sent:
                writer.transport.abort()  # which ends `sending`

    async def close(self) -> None:
        """Ends all connections, once each client has read what it was told."""
        for client in self._clients:
            client.outbox.close()
        if self._clients:
            await asyncio.wait(self._clients.values(), timeout=2 * FLUSH_S)

    async def _greet(self, reader: asyncio.StreamReader, client: "_Client") -> bool:
        """Whether the client may stay. It is told."""
        async with asyncio.timeout(HELLO_S):
            hello = await read_message(reader, Hello)
        if hello is None:
            return False  # somebody looked whether an engine is here
        if hello.protocol != PROTOCOL:
            client.outbox.put(Unwelcome(reason=f"protocol: wanted {PROTOCOL}, got {hello.protocol}"))
        elif not self._accepts(hello.token):
            client.outbox.put(Unwelcome(reason="token: wanted the one in the engine's file, got another"))
        else:
            client.name = hello.client[:80]
            client.outbox.put(Welcome(protocol=PROTOCOL, version=VERSION, pid=os.getpid()))
            client.outbox.put(self._state)
            return True
        return False

    async def _answer(self, reader: asyncio.StreamReader, client: "_Client") -> None:
        """Does what the client asks, until it goes."""
        task = asyncio.current_task()
        assert task is not None
        self._clients[client] = task
        self.alone_since = None
        self.met.set()
        log.info("%s came; clients: %d", client.name, len(self._clients))
        try:
            while (message := await read_message(reader, FromClient)) is not None:
                self._obey(message, client)
        finally:
            del self._clients[client]
            self.alone_since = None if self._clients else time.monotonic()
            log.info("%s went; clients: %d", client.name, len(self._clients))

    def _obey(self, message: FromClient, client: "_Client") -> None:
        match message:
            case Submit():
                client.submit(message)
            case Cancel(id=id):
                client.cancel(id)
            case Forget(document=document):
                self._scheduler.forget(document)
            case AskStatus(id=id):
                client.outbox.put(self._status(id))
            case Stop():
                log.info("%s asks to stop", client.name)
                self._stop()
            case Hello():
                raise FrameError("message", "one Hello", "another")

    def _status(self, id: int) -> Status:
        scheduler, tally = self._scheduler, self._scheduler.tally
        return Status(
            id=id,
            version=VERSION,
            pid=os.getpid(),
            model=self._model,
            device=self._state.device if isinstance(self._state, Ready) else "",
            dtype=self.dtype,
            uptime_s=time.monotonic() - self._started,
            resident_bytes=psutil.Process().memory_info().rss,
            kv_bytes=scheduler.kv_bytes,
            documents=scheduler.documents,
            clients=len(self._clients),
            running=scheduler.num_open,
            answered=tally.answered,
            dropped=tally.dropped,
            failed=tally.failed,
            p50_ms=tally.latency_ms(0.5),
            p90_ms=tally.latency_ms(0.9),
            cached_share=tally.cached_share,
            prompt_tokens=tally.prompt_tokens,
            best_model=self.best_model,
            best_problem=self.best_problem,
        )


class _Client:
    """Whoever is at the other end of a connection, and its requests that are not answered yet."""

    def __init__(self, outbox: Outbox, scheduler: Scheduler) -> None:
        self.name = "a stranger"
        self.outbox = outbox
        self.requests: dict[int, _Request] = {}
        self._scheduler = scheduler

    def submit(self, message: Submit) -> None:
        if message.id in self.requests:
            raise FrameError("id", "one that is not in use", message.id)
        self.requests[message.id] = request = _Request(self, message)
        self._scheduler.submit(message.request, request, speculative=message.speculative)

    def cancel(self, id: int) -> None:
        if id in self.requests:
            self._scheduler.cancel(self.requests[id])

    def leave(self) -> None:
        """Lets go all that it asked for."""
        for request in list(self.requests.values()):
            self._scheduler.cancel(request)
        self.outbox.close()


class _Request:
    """One request, and the listener that the scheduler knows it by."""

    def __init__(self, client: _Client, message: Submit) -> None:
        self._client, self._id, self._wants_drafts = client, message.id, message.drafts

    def on_draft(self, text: str) -> None:
        if self._wants_drafts:
            self._client.outbox.put(Draft(id=self._id, text=text))

    def on_done(self, infill: Infill) -> None:
        self._end(Done(id=self._id, infill=infill))

    def on_dropped(self, why: Why) -> None:
        self._end(Dropped(id=self._id, why=why))

    def on_failed(self, message: str) -> None:
        self._end(Failed(id=self._id, message=message))

    def _end(self, message: Done | Dropped | Failed) -> None:
        del self._client.requests[self._id]
        self._client.outbox.put(message)
