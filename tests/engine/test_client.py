"""`midfill.engine.client`: each answer reaches who asked, and whatever the engine does, who asked gets an answer."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import pytest_asyncio
from tests.engine.engine_peer import READY, WELCOME, peer_at

from midfill.engine import connection as connection_module
from midfill.engine.client import BackOff, EngineClient, EngineState
from midfill.engine.endpoint import Endpoint
from midfill.engine.errors import EngineGone, RequestDropped, RequestFailed
from midfill.engine.frames import MAX_FRAME_BYTES
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
    Infill,
    InfillRequest,
    Loading,
    Ready,
    Status,
    Stop,
    Submit,
    Unwelcome,
)

T = TypeVar("T")


def request(document: str = "a.py", prefix: str = "x = ") -> InfillRequest:
    return InfillRequest(document=document, prefix=prefix, suffix="\n")


def infill(text: str) -> Infill:
    return Infill(
        text=text,
        shown=True,
        confidence=0.5,
        steps=1,
        prompt_tokens=1,
        cached_tokens=0,
        prefill_ms=1.0,
        decode_ms=1.0,
    )


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    folder = Path(tempfile.mkdtemp(prefix="mf", dir="/tmp"))
    yield Endpoint(folder / "run", tcp=False, log=folder / "engine.log")
    shutil.rmtree(folder)


@pytest_asyncio.fixture
async def client(endpoint: Endpoint) -> AsyncIterator[EngineClient]:
    """It joins an engine and never starts one."""
    client = EngineClient(endpoint=endpoint, launches=False)
    yield client
    await client.aclose()


def begin(asking: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    return asyncio.create_task(asking)


async def outcome(asked: asyncio.Task[Any]) -> str:
    with pytest.raises((EngineGone, RequestDropped, RequestFailed)) as raised:
        await asked
    return f"{raised.type.__name__}: {raised.value}"


@pytest.mark.asyncio
async def test_each_answer_finds_who_asked(endpoint: Endpoint, client: EngineClient) -> None:
    async with peer_at(endpoint) as peer:
        first, second = begin(client.fill(request("a"))), begin(client.fill(request("b"), speculative=True))
        submits: list[Submit] = [await peer.heard.get(), await peer.heard.get()]
        assert submits[0] == Submit(id=submits[0].id, request=request("a"))
        assert submits[1] == Submit(id=submits[1].id, request=request("b"), speculative=True)
        peer.say(*(Done(id=submit.id, infill=infill(submit.request.document)) for submit in reversed(submits)))
        assert [(await asked).text for asked in (first, second)] == ["a", "b"]


@pytest.mark.asyncio
async def test_drafts_come_in_order_before_the_answer(endpoint: Endpoint, client: EngineClient) -> None:
    drafts: list[str] = []
    async with peer_at(endpoint) as peer:
        asked = begin(client.fill(request(), on_draft=drafts.append))
        submit = await peer.heard.get()
        assert submit.drafts
        said = [Draft(id=submit.id, text=text) for text in ("1", "12")]
        peer.say(*said, Draft(id=submit.id + 1, text="of nobody"), Done(id=submit.id, infill=infill("123")))
        assert (await asked).text == "123"
    assert drafts == ["1", "12"]


@pytest.mark.asyncio
async def test_the_end_of_a_request_that_was_not_answered_is_told(endpoint: Endpoint, client: EngineClient) -> None:
    async with peer_at(endpoint) as peer:
        first, second = begin(client.fill(request("a"))), begin(client.fill(request("b")))
        submits = [await peer.heard.get(), await peer.heard.get()]
        peer.say(Dropped(id=submits[0].id, why="superseded"), Failed(id=submits[1].id, message="too long"))
        assert await outcome(first) == "RequestDropped: the engine let the request go: superseded"
        assert await outcome(second) == "RequestFailed: too long"


@pytest.mark.asyncio
async def test_a_cancelled_fill_is_cancelled_in_the_engine(endpoint: Endpoint, client: EngineClient) -> None:
    async with peer_at(endpoint) as peer:
        asked = begin(client.fill(request("a")))
        submit = await peer.heard.get()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert await peer.heard.get() == Cancel(id=submit.id)
        peer.say(Draft(id=submit.id, text="x"), Done(id=submit.id, infill=infill("late")))
        other = begin(client.fill(request("b")))
        peer.say(Done(id=(await peer.heard.get()).id, infill=infill("b")))
        assert (await other).text == "b"


@pytest.mark.asyncio
async def test_a_fill_cancelled_before_there_is_an_engine_is_never_sent(
    endpoint: Endpoint, client: EngineClient
) -> None:
    async with peer_at(endpoint) as peer:
        asked, other = begin(client.fill(request("a"))), begin(client.fill(request("b")))
        await asyncio.sleep(0)
        asked.cancel()
        submit = await peer.heard.get()
        assert submit.request.document == "b"
        peer.say(Done(id=submit.id, infill=infill("b")))
        await other
        assert asked.cancelled()
        assert peer.heard.empty()


@pytest.mark.asyncio
async def test_callers_at_once_share_one_connection(endpoint: Endpoint, client: EngineClient) -> None:
    async with peer_at(endpoint) as peer:
        asked = [begin(client.start()) for _ in range(5)]
        await asyncio.sleep(0)
        asked[0].cancel()  # the one that began it
        await asyncio.gather(*asked[1:])
        await client.start()
        assert [hello.client for hello in peer.hellos] == [f"midfill ({os.getpid()})"]


@pytest.mark.asyncio
async def test_all_who_wait_hear_that_the_engine_is_gone(endpoint: Endpoint, client: EngineClient) -> None:
    async with peer_at(endpoint) as peer:
        asked = [begin(client.fill(request("a"))), begin(client.fill(request("b"))), begin(client.status())]
        for _ in asked:
            await peer.heard.get()
        peer.hang_up()
        assert {await outcome(one) for one in asked} == {"EngineGone: the engine ended"}
        assert client.state == EngineState(phase="stopped", message="the engine ended")


@pytest.mark.asyncio
@pytest.mark.parametrize("garbage", [b"\x00\x00\x00\x01\xc1", b"\xff\xff\xff\xff", b"HTTP/1.1 400 Bad Request\r\n"])
async def test_an_engine_that_talks_garbage_is_gone(garbage: bytes, endpoint: Endpoint, client: EngineClient) -> None:
    async with peer_at(endpoint) as peer:
        asked = begin(client.fill(request()))
        await peer.heard.get()
        peer.say_bytes(garbage)
        assert (await outcome(asked)).startswith("EngineGone: the connection to the engine broke: frame: wanted")


@pytest.mark.asyncio
async def test_a_refused_client_says_why(endpoint: Endpoint, client: EngineClient) -> None:
    async with peer_at(endpoint, Unwelcome(reason="protocol 1 is too old")):
        told = "EngineGone: the engine refused this client: protocol 1 is too old"
        assert await outcome(begin(client.fill(request()))) == told
    assert client.state == EngineState(phase="failed", message="the engine refused this client: protocol 1 is too old")


@pytest.mark.asyncio
async def test_an_engine_without_a_welcome_is_none(endpoint: Endpoint, client: EngineClient) -> None:
    async with peer_at(endpoint, READY):
        assert await outcome(begin(client.start())) == "EngineGone: the engine said no welcome"


@pytest.mark.asyncio
async def test_an_engine_that_hangs_is_not_waited_for_for_ever(
    endpoint: Endpoint, client: EngineClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "WELCOME_S", 0.02)
    async with peer_at(endpoint) as peer:
        peer.greeting = ()
        assert "did not answer within" in await outcome(begin(client.start()))


@pytest.mark.asyncio
async def test_to_an_engine_that_hangs_no_more_is_said_than_a_pipe_holds(
    endpoint: Endpoint, client: EngineClient
) -> None:
    async with peer_at(endpoint) as peer:
        await client.start()
        peer.listens.clear()
        for _ in range(40):
            asked = begin(client.fill(request(prefix="x" * 1_000_000)))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            asked.cancel()
            await asyncio.wait({asked})
        transport = client._connection._writer.transport  # pyright: ignore
        assert transport.get_write_buffer_size() < 3_000_000
        peer.listens.set()


@pytest.mark.asyncio
@pytest.mark.parametrize("prefix", ["\ud800", "x" * MAX_FRAME_BYTES], ids=["surrogate", "oversized"])
async def test_a_request_that_no_frame_can_say_fails_alone(
    prefix: str, endpoint: Endpoint, client: EngineClient
) -> None:
    async with peer_at(endpoint) as peer:
        assert (await outcome(begin(client.fill(request(prefix=prefix))))).startswith("RequestFailed: ")
        asked = begin(client.fill(request("b")))
        peer.say(Done(id=(await peer.heard.get()).id, infill=infill("b")))
        assert (await asked).text == "b"


@pytest.mark.asyncio
async def test_a_listener_that_raises_harms_no_fill(endpoint: Endpoint, client: EngineClient) -> None:
    raised: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: raised.append(context))

    def fail(text: str) -> None:
        raise ZeroDivisionError(text)

    async with peer_at(endpoint) as peer:
        asked = begin(client.fill(request(), on_draft=fail))
        number = (await peer.heard.get()).id
        peer.say(Draft(id=number, text="1"), Done(id=number, infill=infill("12")))
        assert (await asked).text == "12"
    assert [type(context["exception"]) for context in raised] == [ZeroDivisionError]


@pytest.mark.asyncio
async def test_the_states_of_an_engine_are_told_in_order(endpoint: Endpoint) -> None:
    told: asyncio.Queue[EngineState] = asyncio.Queue()
    client = EngineClient(endpoint=endpoint, launches=False, on_state=told.put_nowait)
    assert client.state == EngineState(phase="stopped")
    async with peer_at(endpoint, WELCOME, Loading(model="m", share=0.0)) as peer:
        await client.start()
        peer.say(Loading(model="m", share=0.5), Ready(model="m", device="cpu"), Ready(model="m", device="cpu"))
        peer.hang_up()
        assert [await told.get() for _ in range(5)] == [
            EngineState(phase="starting"),
            EngineState(phase="loading", model="m"),
            EngineState(phase="loading", model="m", share=0.5),
            EngineState(phase="ready", model="m", device="cpu"),
            EngineState(phase="stopped", message="the engine ended"),
        ]
    await client.aclose()


@pytest.mark.asyncio
async def test_a_model_that_cannot_be_loaded_is_told_and_not_tried_at_each_key(
    endpoint: Endpoint, client: EngineClient
) -> None:
    async with peer_at(endpoint) as peer:
        asked = begin(client.fill(request()))
        await peer.heard.get()
        peer.say(Broken(message="no such model"))
        peer.hang_up()
        assert await outcome(asked) == "EngineGone: no such model"
        assert client.state == EngineState(phase="failed", message="no such model")
        assert await outcome(begin(client.fill(request()))) == "EngineGone: no such model"
        assert len(peer.hellos) == 1


@pytest.mark.asyncio
async def test_a_lost_engine_is_left_alone_for_a_moment_and_then_found_again(
    endpoint: Endpoint, client: EngineClient
) -> None:
    async with peer_at(endpoint) as peer:
        await client.start()
        peer.hang_up()
        assert await outcome(begin(client.status())) == "EngineGone: the engine ended"
        assert await outcome(begin(client.fill(request()))) == "EngineGone: the engine ended"
        assert len(peer.hellos) == 1
        await asyncio.sleep(BackOff.FIRST_S)
        asked = begin(client.fill(request()))
        peer.say(Done(id=(await peer.heard.get()).id, infill=infill("x")))
        assert (await asked).text == "x"


def test_the_pause_doubles_to_a_limit_and_starts_anew_after_a_life() -> None:
    back_off = BackOff()
    assert not back_off.is_on(0.0)
    pauses: list[float] = []
    now = 100.0
    for _ in range(8):
        back_off.gone(now, 1.0)
        pauses.append(next(ms for ms in range(100, 10_000, 100) if not back_off.is_on(now + ms / 1000 + 1e-6)) / 1000)
        assert back_off.is_on(now + pauses[-1] - 0.01)
        now += 60.0
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    back_off.gone(now, 10.0)
    assert back_off.is_on(now + 0.09)
    assert not back_off.is_on(now + 0.11)


@pytest.mark.asyncio
@pytest.mark.parametrize("ask", [EngineClient.start, EngineClient.status, EngineClient.stop_engine])
async def test_a_client_that_launches_none_says_that_there_is_none(
    ask: Callable[[EngineClient], Coroutine[Any, Any, object]], endpoint: Endpoint, client: EngineClient
) -> None:
    assert "EngineGone: no engine serves at" in await outcome(begin(ask(client)))
    assert not endpoint.directory.exists()


@pytest.mark.asyncio
async def test_to_forget_a_document_starts_nothing(endpoint: Endpoint, client: EngineClient) -> None:
    client.forget("a.py")
    async with peer_at(endpoint) as peer:
        await client.start()
        client.forget("\ud800")  # which no request can have named
        client.forget("b.py")
        assert await peer.heard.get() == Forget(document="b.py")


@pytest.mark.asyncio
async def test_the_status_is_the_engines(endpoint: Endpoint, client: EngineClient) -> None:
    async with peer_at(endpoint) as peer:
        asked = begin(client.status())
        question = await peer.heard.get()
        assert isinstance(question, AskStatus)
        status = Status(
            id=question.id,
            version="1",
            pid=7,
            model="m",
            device="cpu",
            dtype="float32",
            uptime_s=1.0,
            resident_bytes=1,
            kv_bytes=0,
            documents=0,
            clients=1,
            running=0,
            answered=0,
            dropped=0,
            failed=0,
            p50_ms=None,
            p90_ms=None,
            cached_share=None,
        )
        peer.say(status)
        assert await asked == status


@pytest.mark.asyncio
async def test_a_stopped_engine_is_waited_for_and_may_be_started_at_once(
    endpoint: Endpoint, client: EngineClient
) -> None:
    async with peer_at(endpoint) as peer:
        stopping = begin(client.stop_engine())
        assert await peer.heard.get() == Stop()
        assert not stopping.done()
        peer.hang_up()
        await stopping
        await client.start()


@pytest.mark.asyncio
async def test_a_closed_client_answers_all_and_starts_nothing(endpoint: Endpoint, client: EngineClient) -> None:
    async with peer_at(endpoint) as peer:
        asked = begin(client.fill(request()))
        await peer.heard.get()
        await client.aclose()
        assert await outcome(asked) == "EngineGone: the connection to the engine was closed"
        assert await outcome(begin(client.fill(request()))) == "EngineGone: the engine's client was closed"
        await client.aclose()


@pytest.mark.asyncio
async def test_closing_a_client_ends_its_attempt(endpoint: Endpoint, client: EngineClient) -> None:
    async with peer_at(endpoint) as peer:
        peer.greeting = ()
        asked = begin(client.fill(request()))
        await asyncio.sleep(0)
        await client.aclose()
        assert await outcome(asked) == "EngineGone: the engine's client was closed"


@pytest.mark.asyncio
async def test_over_tcp_the_token_is_said(endpoint: Endpoint) -> None:
    tcp = Endpoint(endpoint.directory, tcp=True, log=endpoint.log)
    client = EngineClient(endpoint=tcp, launches=False, name="test")
    async with peer_at(tcp) as peer:
        await client.start()
        (hello,) = peer.hellos
        assert hello.protocol == PROTOCOL
        assert hello.client == f"test ({os.getpid()})"
        assert tcp.accepts(hello.token)
        await client.aclose()


def test_importing_the_client_loads_nothing_heavy() -> None:
    heavy = {"torch", "numpy", "tokenizers", "safetensors", "transformers", "cyclopts", "rich"}
    script = f"import sys, midfill.engine.client; sys.exit(', '.join({heavy!r} & set(sys.modules)) or None)"
    subprocess.run([sys.executable, "-c", script], check=True)
