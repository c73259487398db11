"""`midfill.engine.client` with a real engine process, and what the world does to both."""

import asyncio
import os
import shutil
import signal
import struct
import sys
from collections.abc import AsyncIterator, Sequence

import psutil
import pytest
import pytest_asyncio
from tests.engine.engine_place import engine_place, scripted, until

from midfill.engine.client import BackOff, EngineClient, EngineState
from midfill.engine.connection import Connection
from midfill.engine.endpoint import Endpoint
from midfill.engine.errors import EngineGone, RequestDropped, RequestFailed
from midfill.engine.frames import MAX_FRAME_BYTES, pack
from midfill.engine.wire import PROTOCOL, Hello, Infill, InfillRequest, Submit

RULES = [
    {"after": "quick", "text": "answered"},
    {"after": "slow", "text": "x" * 1000, "steps": 1000, "step_ms": 20},
    {"after": "exits", "text": "xx", "steps": 2, "crash": "exit"},
    {"after": "raises", "text": "xx", "steps": 2, "crash": "raise"},
]


def request(prefix: str, document: str = "a") -> InfillRequest:
    return InfillRequest(document=document, prefix=prefix, suffix="\n")


@pytest_asyncio.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    async with engine_place() as endpoint:
        yield endpoint


@pytest_asyncio.fixture
async def client(endpoint: Endpoint) -> AsyncIterator[EngineClient]:
    client = EngineClient(scripted(endpoint, RULES), endpoint=endpoint)
    yield client
    await client.aclose()


async def pid_of(client: EngineClient) -> int:
    return (await client.status()).pid


async def begin_slow(client: EngineClient, document: str = "slow") -> "asyncio.Task[Infill]":
    """A fill of 20 s that the engine has begun."""
    begun = asyncio.Event()
    task = asyncio.create_task(client.fill(request("slow", document), on_draft=lambda text: begun.set()))
    await begun.wait()
    return task


async def fill_again(client: EngineClient) -> str:
    """A fill, as soon as the engine may be started again. As long as it may not, each is refused at once."""
    async with asyncio.timeout(30):
        while True:
            try:
                return (await client.fill(request("quick"))).text
            except EngineGone:
                await asyncio.sleep(BackOff.FIRST_S / 4)


@pytest.mark.asyncio
async def test_the_first_fill_starts_the_engine(endpoint: Endpoint, client: EngineClient) -> None:
    told: list[EngineState] = []
    client = EngineClient(scripted(endpoint, RULES), endpoint=endpoint, on_state=told.append)
    drafts: list[str] = []
    infill = await client.fill(request("quick"), on_draft=drafts.append)
    assert (infill.text, infill.shown) == ("answered", True)
    assert drafts == ["an", "answ", "answer", "answered"]
    assert [state.phase for state in told if state.phase != "loading"] == ["starting", "ready"]
    assert client.state == EngineState(phase="ready", model="script", device="none")
    await client.aclose()


@pytest.mark.asyncio
async def test_an_engine_killed_amid_a_decode_is_told_and_replaced(client: EngineClient) -> None:
    slow = await begin_slow(client)
    pid = await pid_of(client)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(EngineGone):
        await slow
    assert client.state.phase == "stopped"
    assert await fill_again(client) == "answered"
    assert await pid_of(client) != pid


@pytest.mark.asyncio
async def test_an_engine_that_crashes_fails_what_it_did_and_is_replaced(client: EngineClient) -> None:
    with pytest.raises(EngineGone):
        await client.fill(request("exits"))
    assert await fill_again(client) == "answered"


@pytest.mark.asyncio
async def test_a_step_that_raises_fails_its_request_alone(client: EngineClient) -> None:
    with pytest.raises(RequestFailed):
        await client.fill(request("raises"))
    assert (await client.fill(request("quick"))).text == "answered"


@pytest.mark.asyncio
async def test_a_cancelled_fill_frees_the_engine(client: EngineClient) -> None:
    slow = await begin_slow(client)
    slow.cancel()
    await asyncio.wait({slow})
    assert slow.cancelled()
    assert (await client.fill(request("quick"))).text == "answered"
    status = await client.status()
    assert (status.running, status.answered, status.dropped) == (0, 1, 1)


@pytest.mark.asyncio
async def test_cancelling_the_first_fill_does_not_cancel_the_start(client: EngineClient) -> None:
    first, second = (asyncio.create_task(client.fill(request("quick", document))) for document in ("a", "b"))
    await until(lambda: client.state.phase == "starting")
    first.cancel()
    assert (await second).text == "answered"


@pytest.mark.asyncio
async def test_a_removed_socket_is_made_anew_by_the_same_engine(endpoint: Endpoint, client: EngineClient) -> None:
    slow = await begin_slow(client)
    pid = await pid_of(client)
    endpoint.socket.unlink()
    other = EngineClient(scripted(endpoint, RULES), endpoint=endpoint)
    assert (await other.fill(request("quick"))).text == "answered"
    assert await pid_of(other) == pid
    assert not slow.done(), "who was connected stays connected"
    await other.aclose()


@pytest.mark.asyncio
async def test_after_the_whole_folder_was_removed_one_engine_remains(endpoint: Endpoint, client: EngineClient) -> None:
    await client.start()
    pids = {await pid_of(client)}
    shutil.rmtree(endpoint.directory)
    other = EngineClient(scripted(endpoint, RULES), endpoint=endpoint)
    await other.fill(request("quick"))
    pids.add(await pid_of(other))
    await until(lambda: sum(map(psutil.pid_exists, pids)) == 1)
    assert await fill_again(client) == await fill_again(other) == "answered"
    assert await pid_of(client) == await pid_of(other)
    await other.aclose()


GREETING = pack(Hello(protocol=PROTOCOL, client="a stranger"))
SUBMIT = pack(Submit(id=1, request=request("slow")))
RUDE = {
    "HTTP": b"GET / HTTP/1.1\r\n\r\n",
    "garbage": GREETING + b"\x00\x00\x00\x01\xc1",
    "an oversized frame": GREETING + struct.pack(">I", MAX_FRAME_BYTES + 1),
    "an id in use": GREETING + SUBMIT + SUBMIT,
    "no hello": SUBMIT,
    "a second hello": GREETING + GREETING,
}


@pytest.mark.asyncio
async def test_a_client_that_breaks_the_rules_loses_its_connection_and_nothing_else(
    endpoint: Endpoint, client: EngineClient
) -> None:
    slow = await begin_slow(client, "mine")
    for name, data in RUDE.items():
        reader, writer = await endpoint.connect()
        writer.write(data)
        await reader.read()  # to the end of the connection
        writer.close()
        assert (await client.fill(request("quick", "other"))).text == "answered", name
        assert (await client.status()).clients == 1, name
    assert not slow.done()


@pytest.mark.asyncio
async def test_a_client_that_vanishes_takes_its_requests_along(endpoint: Endpoint, client: EngineClient) -> None:
    await client.start()
    other = EngineClient(endpoint=endpoint, launches=False)
    slow = await begin_slow(other)
    assert (await client.status()).running == 1
    await other.aclose()
    with pytest.raises(EngineGone):
        await slow
    assert (await client.fill(request("quick"))).text == "answered"
    status = await client.status()
    assert (status.running, status.dropped, status.clients) == (0, 1, 1)


START = """
import asyncio, sys
from pathlib import Path
from midfill.engine.client import EngineClient
async def main():
    client = EngineClient(sys.argv[1:])
    print("here", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    print((await client.status()).pid, flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await client.aclose()
asyncio.run(main())
"""


async def each_says(programs: Sequence[asyncio.subprocess.Process]) -> list[bytes]:
    """The next line of each; then all may go on, at once."""
    said: list[bytes] = []
    for program in programs:
        assert program.stdout
        said.append((await program.stdout.readline()).strip())
    for program in programs:
        assert program.stdin
        program.stdin.write(b"\n")
    return said


@pytest.mark.asyncio
async def test_two_programs_that_start_at_once_share_one_engine(endpoint: Endpoint) -> None:
    command = [sys.executable, "-c", START, *scripted(endpoint, RULES)]
    environment = {**os.environ, **endpoint.environment, "XDG_STATE_HOME": str(endpoint.log.parent)}
    pipe = asyncio.subprocess.PIPE
    programs = [
        await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, env=environment) for _ in range(2)
    ]
    assert await each_says(programs) == [b"here", b"here"]
    said = await each_says(programs)
    assert said[0] == said[1]
    assert psutil.pid_exists(int(said[0]))
    assert [await program.wait() for program in programs] == [0, 0]


@pytest.mark.asyncio
async def test_a_missing_model_is_told(endpoint: Endpoint) -> None:
    client = EngineClient(["--model", "/no/such/model"], endpoint=endpoint)
    with pytest.raises((EngineGone, RequestDropped)):
        await client.fill(request("quick"))
    await until(lambda: client.state.phase == "failed")
    assert "/no/such/model" in client.state.message
    with pytest.raises(EngineGone, match="/no/such/model"):
        await client.fill(request("quick"))
    await client.aclose()


@pytest.mark.asyncio
async def test_an_engine_that_is_told_to_end_drops_what_it_does(endpoint: Endpoint, client: EngineClient) -> None:
    slow = await begin_slow(client)
    pid = await pid_of(client)
    os.kill(pid, signal.SIGTERM)
    with pytest.raises(RequestDropped, match="stopping"):
        await slow
    await until(lambda: not psutil.pid_exists(pid))
    assert not endpoint.socket.exists()
    assert await fill_again(client) == "answered"


@pytest.mark.asyncio
async def test_a_stopped_engine_is_gone_for_all_and_comes_back(endpoint: Endpoint, client: EngineClient) -> None:
    pid = await pid_of(client)
    await EngineClient(endpoint=endpoint, launches=False).stop_engine()
    await until(lambda: client.state.phase == "stopped")
    assert await fill_again(client) == "answered"
    assert await pid_of(client) != pid


@pytest.mark.asyncio
async def test_an_engine_that_nobody_needs_leaves(endpoint: Endpoint) -> None:
    client = EngineClient(scripted(endpoint, RULES, idle_exit_s=0.1), endpoint=endpoint)
    pid = await pid_of(client)
    await client.aclose()
    await until(lambda: not psutil.pid_exists(pid))
    assert not endpoint.socket.exists()


@pytest.mark.asyncio
async def test_an_engine_that_hangs_holds_no_one_who_cancels(client: EngineClient) -> None:
    pid = await pid_of(client)
    os.kill(pid, signal.SIGSTOP)
    try:
        asked = asyncio.create_task(client.fill(request("quick")))
        await asyncio.wait({asked}, timeout=0.05)
        asked.cancel()
        await asyncio.wait({asked})
        assert asked.cancelled()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (await client.fill(request("quick", "b"))).text == "answered"


@pytest.mark.asyncio
async def test_over_tcp_it_is_the_same() -> None:
    async with engine_place(tcp=True) as endpoint:
        client = EngineClient(scripted(endpoint, RULES), endpoint=endpoint)
        assert (await client.fill(request("quick"))).text == "answered"
        reader, writer = await endpoint.connect()
        writer.write(pack(Hello(protocol=PROTOCOL, client="a stranger", token="guessed")))
        assert b"Unwelcome" in await reader.read()
        writer.close()
        pid = await pid_of(client)
        os.kill(pid, signal.SIGKILL)
        await until(lambda: not psutil.pid_exists(pid))
        with pytest.raises(EngineGone, match="no engine serves"):
            await Connection.open(endpoint, "test")
        assert await fill_again(client) == "answered"
        await client.aclose()
