"""`midfill.engine.outbox`: over a real socket, to a client that reads or does not."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.engine.peer import Peer

from midfill.engine.outbox import MAX_BYTES, Outbox
from midfill.engine.wire import Broken, Draft, Dropped


@asynccontextmanager
async def outbox() -> AsyncIterator[tuple[Outbox, Peer]]:
    """An outbox, and the client that it belongs to."""
    ours, theirs = socket.socketpair()
    _, writer = await asyncio.open_connection(sock=ours)
    peer = Peer(*await asyncio.open_connection(sock=theirs))
    made = Outbox(writer)
    sending = asyncio.create_task(made.run())
    try:
        yield made, peer
        made.close()
        await asyncio.wait_for(sending, 5)
    finally:
        sending.cancel()
        peer.leave()


@pytest.mark.asyncio
async def test_messages_come_in_order() -> None:
    async with outbox() as (out, peer):
        sent = [Draft(id=1, text="a"), Dropped(id=2, why="busy"), Dropped(id=1, why="cancelled")]
        for message in sent:
            out.put(message)
            await asyncio.sleep(0)
        assert [await peer.receive() for _ in sent] == sent


@pytest.mark.asyncio
async def test_a_draft_gives_way_to_the_next_and_to_the_end() -> None:
    async with outbox() as (out, peer):
        for message in (
            Draft(id=1, text="a"),
            Draft(id=2, text="x"),
            Draft(id=1, text="ab"),
            Draft(id=3, text="z"),
            Dropped(id=2, why="busy"),
        ):
            out.put(message)
        received = [await peer.receive() for _ in range(3)]
        assert received == [Draft(id=1, text="ab"), Draft(id=3, text="z"), Dropped(id=2, why="busy")]


@pytest.mark.asyncio
async def test_what_was_put_before_closing_is_sent() -> None:
    async with outbox() as (out, peer):
        out.put(Broken(message="x" * 1_000_000))
        out.close()
        assert await peer.receive() == Broken(message="x" * 1_000_000)
        assert await peer.receive() is None


@pytest.mark.asyncio
async def test_drafts_that_nobody_reads_do_not_pile_up() -> None:
    async with outbox() as (out, peer):
        for step in range(2_000):
            out.put(Draft(id=1, text=f"{step} " * 2_000))
            await asyncio.sleep(0)
        assert out._num_bytes < 20_000
        last = None
        while last is None or not last.text.startswith("1999 "):
            last = await peer.receive()


@pytest.mark.asyncio
async def test_a_client_that_does_not_read_is_cut_off() -> None:
    async with outbox() as (out, peer):
        for _ in range(2 + MAX_BYTES // 1_000_000):
            out.put(Broken(message="x" * 1_000_000))
            await asyncio.sleep(0)
        with pytest.raises(Exception, match="frame"):  # the one that was being sent breaks off
            await peer.receive()


@pytest.mark.asyncio
async def test_a_client_that_went_is_no_error() -> None:
    async with outbox() as (out, peer):
        peer.leave()
        for _ in range(3):
            out.put(Broken(message="x" * 1_000_000))
            await asyncio.sleep(0.01)
