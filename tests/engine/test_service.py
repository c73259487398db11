"""`midfill.engine.service`: connections over a real socket to a scripted engine in this process."""

import asyncio
import os
import shutil
import struct
import tempfile
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.engine.peer import Peer, client, stranger

from midfill.engine.frames import MAX_FRAME_BYTES
from midfill.engine.scheduler import Scheduler
from midfill.engine.scripted import Rule, ScriptedFiller
from midfill.engine.service import Service
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
    Hello,
    Loading,
    Ready,
    Status,
    Stop,
    Unwelcome,
)

RULES = [
    Rule(after="slow", text="abcd", steps=200, step_ms=10),
    Rule(after="bad", text="abcd", crash="raise"),
    Rule(after="x = ", text="1 + 2"),
]


class Served:
    """A service, and the ways to it."""

    def __init__(self, path: Path, executor: ThreadPoolExecutor, rules: Sequence[Rule]) -> None:
        loop = asyncio.get_running_loop()
        self.path, self.stopped = path, asyncio.Event()
        self.scheduler = Scheduler(lambda work: loop.run_in_executor(executor, work))
        self.service = Service(self.scheduler, "script", lambda token: token == "", self.stopped.set)
        self.filler = ScriptedFiller(rules)

    @asynccontextmanager
    async def stranger(self) -> AsyncIterator[Peer]:
        async with stranger(*await asyncio.open_unix_connection(self.path)) as peer:
            yield peer

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Peer]:
        async with client(*await asyncio.open_unix_connection(self.path)) as peer:
            yield peer


@asynccontextmanager
async def loading() -> AsyncIterator[Served]:
    """A service whose model is still being loaded."""
    folder = Path(tempfile.mkdtemp(prefix="mf", dir="/tmp"))  # a socket's path must be short
    with ThreadPoolExecutor(1) as executor:
        served = Served(folder / "s", executor, RULES)
        server = await asyncio.start_unix_server(served.service.serve, served.path)
        try:
            yield served
        finally:
            server.close()
            await served.service.close()
            shutil.rmtree(folder)


@asynccontextmanager
async def serving() -> AsyncIterator[Served]:
    """A service that answers; nothing may be left in it at the end."""
    async with loading() as served:
        served.service.tell(Ready(model="script", device="none"))
        running = asyncio.create_task(served.scheduler.run(served.filler))
        yield served
        served.scheduler.stop()
        await asyncio.wait_for(running, 10)
        assert served.scheduler.num_open == 0


async def status(peer: Peer) -> Status:
    peer.send(AskStatus(id=99))
    return await peer.until(Status)


@pytest.mark.asyncio
async def test_a_request_is_answered_with_its_drafts_if_it_wants_them() -> None:
    async with serving() as served, served.client() as peer:
        peer.submit(1, "x = ")
        peer.submit(2, "x = ", document="b", drafts=True)
        messages = [await peer.receive()]
        while sum(isinstance(message, Done) for message in messages) < 2:
            messages.append(await peer.receive())
        assert {message.id for message in messages if isinstance(message, Draft)} == {2}
        assert {message.infill.text for message in messages if isinstance(message, Done)} == {"1 + 2"}


@pytest.mark.asyncio
async def test_another_protocol_is_told_why_it_cannot_stay() -> None:
    async with serving() as served, served.stranger() as peer:
        peer.send(Hello(protocol=PROTOCOL + 1, client="of the future"))
        assert await peer.receive() == Unwelcome(reason=f"protocol: wanted {PROTOCOL}, got {PROTOCOL + 1}")
        assert await peer.receive() is None


@pytest.mark.asyncio
async def test_a_wrong_token_is_not_let_in() -> None:
    async with serving() as served, served.stranger() as peer:
        peer.send(Hello(protocol=PROTOCOL, client="a thief", token="guess"))
        assert isinstance(await peer.receive(), Unwelcome)
        assert await peer.receive() is None


GARBAGE = {
    "no MessagePack": struct.pack(">I", 3) + b"\xc1\xc1\xc1",
    "no message": struct.pack(">I", 1) + b"\x01",
    "of another kind": struct.pack(">I", 15) + b"\x81\xa4type\xa8Sabotage",
    "too large": struct.pack(">I", MAX_FRAME_BYTES + 1),
    "lines of text": b"GET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.asyncio
@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
@pytest.mark.parametrize("greeted", [True, False])
async def test_garbage_ends_its_own_connection_only(garbage: bytes, greeted: bool) -> None:
    async with serving() as served, served.client() as other, served.stranger() as peer:
        if greeted:
            await peer.greet()
            assert isinstance(await peer.receive(), Ready)
            peer.submit(1, "slow")
        peer.writer.write(garbage)
        while await peer.receive() is not None:
            assert greeted
        other.submit(1, "x = ")
        assert isinstance(await other.end(1), Done)
        assert (await status(other)).clients == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("again", [Hello(protocol=PROTOCOL, client="again"), None])
async def test_a_second_hello_and_an_id_in_use_end_the_connection(again: Hello | None) -> None:
    async with serving() as served, served.client() as peer:
        peer.submit(1, "slow")
        if again is None:
            peer.submit(1, "slow", document="b")
        else:
            peer.send(again)
        await peer.until(Dropped)
        assert await peer.receive() is None


@pytest.mark.asyncio
async def test_a_client_that_vanishes_takes_its_requests_with_it() -> None:
    async with serving() as served, served.client() as other:
        async with served.client() as peer:
            for id in range(5):
                peer.submit(id, "slow", document=str(id), drafts=True)
            await peer.until(Draft)
        other.submit(1, "x = ")
        await other.end(1)
        while (now := await status(other)).running:
            await asyncio.sleep(0.01)
        assert (now.clients, now.answered, now.dropped) == (1, 1, 5)


@pytest.mark.asyncio
async def test_a_cancelled_request_is_dropped_within_a_step() -> None:
    async with serving() as served, served.client() as peer:
        peer.submit(1, "slow", drafts=True)
        await peer.until(Draft)
        peer.send(Cancel(id=1), Cancel(id=1), Cancel(id=7))
        assert await peer.end(1) == Dropped(id=1, why="cancelled")
        assert (await status(peer)).running == 0


@pytest.mark.asyncio
async def test_the_newest_request_of_a_document_lives_whoever_sent_the_older() -> None:
    async with serving() as served, served.client() as one, served.client() as other:
        one.submit(1, "slow", drafts=True)
        await one.until(Draft)
        other.submit(1, "x = ")
        assert isinstance(await other.end(1), Done)
        assert await one.end(1) == Dropped(id=1, why="superseded")


@pytest.mark.asyncio
async def test_a_failure_is_told_and_the_engine_goes_on() -> None:
    async with serving() as served, served.client() as peer:
        peer.submit(1, "bad")
        assert await peer.end(1) == Failed(id=1, message="internal error, see the log")
        peer.submit(2, "x = ")
        assert isinstance(await peer.end(2), Done)


@pytest.mark.asyncio
async def test_an_id_can_be_used_again_once_it_is_over() -> None:
    async with serving() as served, served.client() as peer:
        for _ in range(3):
            peer.submit(1, "x = ")
            assert isinstance(await peer.end(1), Done)


@pytest.mark.asyncio
async def test_of_a_flood_the_newest_are_answered_and_the_rest_told_busy() -> None:
    async with loading() as served, served.client() as peer:
        for id in range(100):
            peer.submit(id, "x = ", document=str(id))
        assert [await peer.until(Dropped) for _ in range(36)] == [Dropped(id=id, why="busy") for id in range(36)]
        running = asyncio.create_task(served.scheduler.run(served.filler))
        assert {(await peer.until(Done)).id for _ in range(64)} == set(range(36, 100))
        served.scheduler.stop()
        await running


@pytest.mark.asyncio
async def test_the_status_counts_what_happened() -> None:
    async with serving() as served, served.client() as peer:
        peer.submit(1, "x = ")
        await peer.end(1)
        peer.submit(2, "yx = ")
        await peer.end(2)
        peer.submit(3, "bad", document="b")
        await peer.end(3)
        told = await status(peer)
        assert (told.pid, told.model, told.device) == (os.getpid(), "script", "none")
        assert (told.clients, told.running, told.documents) == (1, 0, 2)
        assert (told.answered, told.dropped, told.failed) == (2, 0, 1)
        assert told.p50_ms is not None
        assert told.p90_ms is not None
        assert 0 < told.p50_ms <= told.p90_ms
        assert told.kv_bytes > 0
        assert told.resident_bytes > 1_000_000
        peer.send(Forget(document="a"), Forget(document="b"))
        while (await status(peer)).documents:
            await asyncio.sleep(0.01)


@pytest.mark.asyncio
async def test_requests_wait_while_the_model_is_loaded_and_all_are_told_how_it_goes() -> None:
    async with loading() as served, served.client() as peer:
        assert await peer.receive() == Loading(model="script", share=0.0)
        peer.submit(1, "x = ")
        assert (await status(peer)).running == 1
        served.service.tell(Loading(model="script", share=0.5))
        assert await peer.receive() == Loading(model="script", share=0.5)
        async with served.client() as late:
            assert await late.receive() == Loading(model="script", share=0.5)
            served.service.tell(Ready(model="script", device="none"))
            running = asyncio.create_task(served.scheduler.run(served.filler))
            assert await late.receive() == await peer.receive() == Ready(model="script", device="none")
            assert isinstance(await peer.end(1), Done)
        served.scheduler.stop()
        await running


@pytest.mark.asyncio
async def test_those_who_come_after_a_failed_load_are_told() -> None:
    async with loading() as served:
        assert not served.service.met.is_set()
        served.service.tell(Broken(message="no weights"))
        async with served.client() as peer:
            assert await peer.receive() == Broken(message="no weights")
            assert served.service.met.is_set()


@pytest.mark.asyncio
async def test_any_client_may_ask_to_stop() -> None:
    async with serving() as served, served.client() as peer:
        peer.send(Stop())
        await asyncio.wait_for(served.stopped.wait(), 5)


@pytest.mark.asyncio
async def test_it_knows_since_when_it_is_alone() -> None:
    async with serving() as served:
        first = served.service.alone_since
        assert first is not None
        async with served.stranger(), served.client() as other:
            await status(other)
            assert served.service.alone_since is None
        while served.service.alone_since is None:
            await asyncio.sleep(0.01)
        assert served.service.alone_since > first
        async with served.stranger() as peer:
            peer.writer.write_eof()
            assert await peer.receive() is None
        assert served.service.alone_since > first


@pytest.mark.asyncio
async def test_a_frame_that_breaks_off_is_as_if_the_client_went() -> None:
    async with serving() as served, served.client() as other, served.stranger() as peer:
        await peer.greet()
        peer.writer.write(struct.pack(">I", 100) + b"half")
        peer.writer.write_eof()
        while await peer.receive() is not None:
            pass
        assert (await status(other)).clients == 1
