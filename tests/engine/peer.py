"""The other end of an engine's connection, in bare messages."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec

from midfill.engine.frames import pack, read_message
from midfill.engine.wire import PROTOCOL, Done, Dropped, Failed, FromEngine, Hello, InfillRequest, Submit, Welcome

T = TypeVar("T")
PATIENCE_S = 30.0
"""For an answer on a busy machine; none takes so long elsewhere."""


class Peer:
    """Sends and receives messages one by one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, *messages: msgspec.Struct) -> None:
        for message in messages:
            self.writer.write(pack(message))

    async def receive(self) -> Any:
        """The next message; None at the end of the connection."""
        async with asyncio.timeout(PATIENCE_S):
            return await read_message(self.reader, FromEngine)

    async def until(self, *kinds: type[T]) -> T:
        """The next message of one of these kinds; others are passed over."""
        while (message := await self.receive()) is not None:
            if isinstance(message, kinds):
                return message
        raise AssertionError(f"the connection ended before {kinds}")

    async def end(self, id: int) -> Done | Dropped | Failed:
        """How a request ended."""
        while (end := await self.until(Done, Dropped, Failed)).id != id:
            pass
        return end

    async def greet(self, token: str = "") -> Welcome:
        self.send(Hello(protocol=PROTOCOL, client="a test", token=token))
        return await self.until(Welcome)

    def submit(self, id: int, prefix: str, document: str = "a", **options: Any) -> None:
        request = InfillRequest(document=document, prefix=prefix, suffix="\n")
        self.send(Submit(id=id, request=request, **options))

    def leave(self) -> None:
        self.writer.transport.abort()


@asynccontextmanager
async def stranger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> AsyncIterator[Peer]:
    """A peer that has not said anything."""
    peer = Peer(reader, writer)
    try:
        yield peer
    finally:
        peer.leave()


@asynccontextmanager
async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str = "") -> AsyncIterator[Peer]:
    """A peer that was welcomed."""
    async with stranger(reader, writer) as peer:
        await peer.greet(token)
        yield peer
