"""What the world does to the language server: it lives on, quietly, and the next request is served."""

import asyncio
import gzip
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
from tests.server.bare_client import PATIENCE_S, BareClient, bare_client, framed, inline_completion
from tests.server.editor import engine_status, home

from midfill.engine.endpoint import Endpoint

RULES = [
    {"after": "x = ", "text": "42"},
    {"after": "slow(", "text": "one)", "steps": 1000, "step_ms": 20},
]
FILE, OTHER = "file:///work/a.py", "file:///work/b.py"
INLINE, SHOW_MESSAGE = "textDocument/inlineCompletion", "window/showMessage"
RECORDED = Path(__file__).parents[3] / "shared" / "bench" / "dev" / "lsp"
SESSIONS = sorted(RECORDED.glob("session-*.jsonl.gz"))
CLIENTS = sorted(RECORDED.glob("client-capabilities/*.json"))

one_server = pytest.mark.asyncio(loop_scope="module")
"""For tests that share the server `served`: each leaves it as it found it."""


@pytest.fixture(scope="module")
def shared_env() -> Iterator[dict[str, str]]:
    """A user whose disk is full where the statistics are kept."""
    with home() as env:
        statistics = Path(env["XDG_STATE_HOME"], "midfill", "statistics.jsonl")
        statistics.parent.mkdir(parents=True)
        statistics.symlink_to("/dev/full")
        yield env


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(shared_env: dict[str, str]) -> AsyncIterator[BareClient]:
    async with bare_client(shared_env, RULES) as client:
        await client.initialize()
        client.open(FILE, "x = ")
        yield client


async def serves(client: BareClient, file: str = FILE) -> None:
    """Asks until there is a suggestion: without an engine there is none, but always an answer."""
    async with asyncio.timeout(PATIENCE_S):
        while (texts := await client.suggestions(file, 0, 4)) != ["42"]:
            assert texts == []


async def asked_slow(client: BareClient, env: dict[str, str], file: str = FILE, running: int = 1) -> str:
    """The id of a request that keeps the engine busy for 20 s."""
    await client.ready()
    client.open(file, "slow(")
    id = client.ask(INLINE, inline_completion(file, 0, 5))
    async with asyncio.timeout(PATIENCE_S):
        while (await engine_status(env)).running < running:
            pass
    return id


async def idle(env: dict[str, str]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await engine_status(env)).running:
            pass


def engine_processes(env: dict[str, str]) -> list[int]:
    wanted = {"midfill.engine.worker", str(Path(env["HOME"], "rules.json"))}
    return [process.pid for process in psutil.process_iter(["cmdline"]) if wanted <= {*(process.info["cmdline"] or ())}]


# Bytes and messages that no client should send

NOISE = {
    "no header": b"\x00\xff garbage\n\n\r\n{}{}\r\n",
    "a length too short": b'Content-Length: 5\r\n\r\n{"jsonrpc":"2.0","method":"$/cut","params":{}}',
    "a length too long": b'Content-Length: 75\r\n\r\n{"jsonrpc":"2.0","method":"$/cut","params":{}}',
    "a length that no memory holds": b"Content-Length: %d\r\n\r\n" % 10**20,
    "a length below nothing": b"Content-Length: -5\r\n\r\n",
    "no length": b"Content-Type: application/json\r\n\r\n{}",
    "small letters": b"content-length:2\r\n\r\n{}",
    "half a message": framed(b'{"jsonrpc":'),
    "text that is no UTF-8": framed(b'{"jsonrpc":"2.0","id":7,"method":"\xff"}'),
    "a batch": framed(b'[{"jsonrpc":"2.0","id":7,"method":"shutdown"}]'),
    "a number": framed(b"5"),
    "null": framed(b"null"),
    "no method": framed(b'{"jsonrpc":"2.0","id":7}'),
    "another version": framed(b'{"jsonrpc":"1.0","id":7,"method":"shutdown"}'),
    "a deep message": framed(b"[" * 100_000),
}


@pytest.mark.parametrize("noise", NOISE.values(), ids=NOISE.keys())
@one_server
async def test_after_noise_on_stdin_the_server_finds_the_next_messages(served: BareClient, noise: bytes) -> None:
    served.write(noise)
    served.notify("$/swallowed")  # by a length that was too long
    await serves(served)


@pytest.mark.parametrize("method", ['"midfill/noSuchRequest"', '["a"]', "{}", "5"])
@one_server
async def test_an_unknown_request_is_answered_as_unknown(served: BareClient, method: str) -> None:
    served.write(framed(b'{"jsonrpc":"2.0","id":"unknown","method":%s,"params":{}}' % method.encode()))
    answer = await served.answer("unknown")
    assert answer["error"]["code"] in (-32601, -32602, -32603)
    served.received.remove(answer)
    await serves(served)


@one_server
async def test_unknown_notifications_are_passed_over(served: BareClient) -> None:
    served.notify("midfill/noSuchNotification", {"a": 1})
    served.notify("$/noSuchNotification")
    served.notify("workspace/didDeleteFiles", 5)
    await serves(served)


@one_server
async def test_a_second_initialize_is_refused(served: BareClient) -> None:
    answer = await served.request("initialize", {"processId": None, "rootUri": None, "capabilities": {}})
    assert answer["error"]["code"] == -32600
    await serves(served)


@one_server
async def test_changes_that_make_no_sense_change_nothing(served: BareClient) -> None:
    served.change("file:///never/opened.py", 3, {"text": "y = "})
    served.close("file:///never/opened.py")
    for change in ("text", {}, {"range": None}, {"range": {"start": {"line": -1}}, "text": ""}):
        served.change(FILE, 2, change)
    served.notify("textDocument/didChange", [])
    served.notify("textDocument/didOpen")
    assert await served.suggestions("file:///never/opened.py", 0, 4) == []
    await serves(served)


@one_server
async def test_versions_that_go_backwards_lose_no_edit(served: BareClient) -> None:
    served.open(OTHER, "x =", version=7)
    end = {"line": 0, "character": 3}
    served.change(OTHER, 3, {"text": " ", "range": {"start": end, "end": end}})
    await serves(served, OTHER)
    served.close(OTHER)


@one_server
async def test_a_range_that_ends_before_it_starts_is_turned_round(served: BareClient) -> None:
    served.open(OTHER, "y = 1")
    span = {"start": {"line": 0, "character": 9}, "end": {"line": 0, "character": 0}}
    served.change(OTHER, 2, {"text": "x = ", "range": span})
    await serves(served, OTHER)
    served.close(OTHER)


@one_server
async def test_a_document_may_be_opened_or_closed_twice(served: BareClient) -> None:
    served.open(OTHER, "y = ")
    served.open(OTHER, "x = ")
    await serves(served, OTHER)
    served.close(OTHER)
    served.close(OTHER)
    assert await served.suggestions(OTHER, 0, 4) == []


@one_server
async def test_a_lone_surrogate_does_not_silence_a_document(served: BareClient) -> None:
    served.open(OTHER, "x = \n# \ud83d")
    await serves(served, OTHER)
    served.close(OTHER)


@one_server
async def test_a_line_of_20_mb_is_left_alone(served: BareClient) -> None:
    served.open(OTHER, "x = " + "a+" * 10_000_000)
    middle = {"line": 0, "character": 10_000_000}
    served.change(OTHER, 2, {"text": "b", "range": {"start": middle, "end": middle}})
    assert await served.suggestions(OTHER, 0, 4) == []
    await serves(served)
    served.close(OTHER)


@one_server
async def test_a_full_disk_costs_statistics_one_line_of_the_log(served: BareClient, shared_env: dict[str, str]) -> None:
    log = Path(shared_env["HOME"], "lsp.log")
    async with asyncio.timeout(PATIENCE_S):
        while "statistics are not kept" not in log.read_text():
            await serves(served)
    assert log.read_text().count("statistics are not kept") == 1


@one_server
async def test_nothing_of_all_that_was_told_the_user(served: BareClient) -> None:
    assert served.told(SHOW_MESSAGE) == []


# Engines that end


@pytest.mark.asyncio
async def test_an_engine_that_is_killed_or_loses_its_socket_is_missed_by_one_request_at_most(
    env: dict[str, str],
) -> None:
    async with bare_client(env, RULES) as client:
        await client.initialize()
        slow = await asked_slow(client, env)
        killed = (await engine_status(env)).pid
        os.kill(killed, signal.SIGKILL)
        assert (await client.answer(slow))["result"] == {"items": []}
        client.open(OTHER, "x = ")
        await serves(client, OTHER)
        pid = (await engine_status(env)).pid
        assert pid != killed

        Endpoint(directory=Path(env["MIDFILL_RUNTIME_DIR"])).socket.unlink()
        await serves(client, OTHER)
        async with bare_client(env, RULES) as late:
            await late.initialize()
            late.open(FILE, "x = ")
            await serves(late)
            assert (await engine_status(env)).pid == pid
        assert client.told(SHOW_MESSAGE) == []


@pytest.mark.asyncio
async def test_a_missing_model_is_told_once_and_every_request_is_answered(env: dict[str, str]) -> None:
    async with bare_client(env) as client:
        await client.initialize(initializationOptions={"model": "/no/such/model"})
        client.open(FILE, "x = ")
        assert await client.suggestions(FILE, 0, 4) == []
        await client.until(lambda: client.told(SHOW_MESSAGE))
        client.notify("workspace/didChangeConfiguration", {"settings": {"midfill": {"model": "/no/such/model"}}})
        assert await client.suggestions(FILE, 0, 4) == []
        (message,) = client.told(SHOW_MESSAGE)
        assert "/no/such/model" in message["message"]
        assert client.told("midfill/status")[-1]["phase"] == "failed"


# Clients that come and go


@pytest.mark.asyncio
async def test_two_servers_that_start_at_once_share_one_engine_which_outlives_them(env: dict[str, str]) -> None:
    async with bare_client(env, RULES) as one, bare_client(env, RULES) as other:
        await asyncio.gather(one.initialize(), other.initialize())
        one.open(OTHER, "x = ")
        other.open(OTHER, "x = ")
        await asyncio.gather(serves(one, OTHER), serves(other, OTHER))
        (pid,) = engine_processes(env)
        assert ((await engine_status(env)).pid, (await engine_status(env)).clients) == (pid, 3)  # who asks is one

        await asked_slow(one, env, "file:///work/one.py")
        await asked_slow(other, env, "file:///work/other.py", running=2)
        one.process.kill()
        assert other.process.stdin
        other.process.stdin.close()
        assert await other.ended() == 0
        await idle(env)
        status = await engine_status(env)
        assert (status.pid, status.clients) == (pid, 1)


@pytest.mark.asyncio
async def test_requests_are_served_between_initialize_and_shutdown(env: dict[str, str]) -> None:
    async with bare_client(env, RULES) as client:
        early = await client.request(INLINE, inline_completion(FILE, 0, 4))
        assert early["error"]["code"] == -32002
        client.open(FILE, "x = ")
        assert "result" in await client.request("initialize", {"processId": None, "rootUri": None, "capabilities": {}})
        assert (await client.request("shutdown"))["result"] is None
        late = await client.request(INLINE, inline_completion(FILE, 0, 4))
        assert late["error"]["code"] == -32600
        client.notify("exit")
        assert await client.ended() == 0


# What real clients sent


@pytest.mark.skipif(not CLIENTS, reason=f"no {RECORDED}")
@pytest.mark.asyncio
async def test_real_clients_are_offered_inline_completion(env: dict[str, str]) -> None:
    async def capabilities(given: dict[str, Any]) -> dict[str, Any]:
        async with bare_client(env, RULES) as client:
            params = {"processId": None, "rootUri": None, **given}
            return (await client.request("initialize", params))["result"]["capabilities"]

    given = [json.loads(path.read_text()) for path in CLIENTS]
    for answer in await asyncio.gather(*map(capabilities, given)):
        assert answer["inlineCompletionProvider"] == {}


@pytest.mark.skipif(not SESSIONS, reason=f"no {RECORDED}")
@pytest.mark.asyncio
async def test_recorded_sessions_are_answered_to_the_end(env: dict[str, str]) -> None:
    for path in SESSIONS:
        sent = list(filter(None, map(as_sent, lines(path))))
        async with bare_client(env, RULES) as client:
            for message in sent:
                client.send(message)
            ids = [message["id"] for message in sent if "method" in message and "id" in message]
            await client.until(lambda ids=ids, client=client: all(map(client.answers, ids)))
            if ids:
                client.open(FILE, "x = ")
                await serves(client)


def as_sent(entry: dict[str, Any]) -> dict[str, Any] | None:
    """The message that a client sent, of a line of its log."""
    message = {"jsonrpc": "2.0", "id": entry.get("msgId")}
    match entry["msgKind"]:
        case "send-request":
            return {**message, "method": entry["msgType"], "params": entry.get("arg")}
        case "send-notification":
            return {"jsonrpc": "2.0", "method": entry["msgType"], "params": entry.get("arg")}
        case "send-response":
            return {**message, "result": entry.get("arg")}
    return None


@pytest.mark.skipif(not SESSIONS, reason=f"no {RECORDED}")
@pytest.mark.asyncio
async def test_messages_of_each_kind_right_or_wrong_are_taken_and_every_request_is_answered(
    env: dict[str, str],
) -> None:
    messages = [line["message"] for line in lines(RECORDED / "messages.jsonl.gz")]
    asked = Counter(message["id"] for message in messages if "method" in message and message.get("id") is not None)
    async with bare_client(env, RULES) as client:
        await client.initialize()
        for message in sorted(messages, key=lambda message: message.get("method") == "shutdown"):
            client.send(message)
        await client.until(lambda: asked <= Counter(m.get("id") for m in client.received if "method" not in m))
        assert (await client.request("shutdown"))["error"]["code"] == -32600


def lines(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]
