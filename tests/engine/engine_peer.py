"""The other side of a client: a peer that speaks the wire's messages and does what a test says, and no more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from midfill.engine.endpoint import Endpoint
from midfill.engine.frames import pack, read_message
from midfill.engine.locks import try_lock
from midfill.engine.wire import PROTOCOL, FromClient, Hello, Ready, Welcome

WELCOME = Welcome(protocol=PROTOCOL, version="0", pid=1)
READY = Ready(model="peer", device="cpu")


class Peer:
    """Says `greeting` to each client's `Hello`, and keeps all else that it hears."""

    def __init__(self, greeting: tuple[msgspec.Struct, ...]) -> None:
        self.greeting = greeting
        self.hellos: list[Hello] = []
        self.heard: asyncio.Queue[Any] = asyncio.Queue()
        self.listens = asyncio.Event()
        """Cleared, it reads no further."""
        self.listens.set()
        self.server: asyncio.Server
        self._writer: asyncio.StreamWriter

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        try:
            while (message := await read_message(reader, FromClient)) is not None:
                self.heard.put_nowait(message)
                if isinstance(message, Hello):
                    self.hellos.append(self.heard.get_nowait())
                    self.say(*self.greeting)
                await self.listens.wait()
        finally:
            writer.close()

    def say(self, *messages: msgspec.Struct) -> None:
        """To the client that came last."""
        self.say_bytes(b"".join(map(pack, messages)))

    def say_bytes(self, data: bytes) -> None:
        self._writer.write(data)

    def hang_up(self) -> None:
        self._writer.close()


@asynccontextmanager
async def peer_at(endpoint: Endpoint, *greeting: msgspec.Struct) -> AsyncIterator[Peer]:
    """A peer that serves at `endpoint` as its owner; it welcomes clients, unless `greeting` says something else."""
    endpoint.prepare()
    lock = try_lock(endpoint.owner_lock)
    assert lock is not None
    peer = Peer(greeting or (WELCOME, READY))
    try:
        async with await endpoint.listen(peer.serve) as peer.server:
            yield peer
    finally:
        lock.close()
