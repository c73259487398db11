"""`midfill.server.progress`: a server in this process, and what it says to a client that the test plays."""

import asyncio
import json
from typing import Any

import pytest
from pygls.lsp.server import LanguageServer

from midfill.server.progress import WorkDone

pytestmark = pytest.mark.asyncio


class Client:
    """The other end of `server`: takes its messages, and says what the test wants."""

    def __init__(self, *, has_progress: bool = True) -> None:
        self.server = LanguageServer("test", "1")
        self.sent: list[dict[str, Any]] = []
        self.server.protocol.set_writer(self, include_headers=False)
        window = {"workDoneProgress": has_progress}
        self.say(id=0, method="initialize", params={"capabilities": {"window": window}})
        self.sent.clear()

    def write(self, data: bytes) -> None:
        self.sent.append(json.loads(data))

    def close(self) -> None: ...

    def say(self, **message: Any) -> None:
        protocol = self.server.protocol
        structured: Any = protocol.structure_message({"jsonrpc": "2.0", **message})
        protocol.handle_message(structured)

    async def asked_to_create(self) -> dict[str, Any]:
        while not self.sent:
            await asyncio.sleep(0)
        return self.sent.pop(0)

    @property
    def told(self) -> list[dict[str, Any]]:
        return [message["params"]["value"] for message in self.sent if message.get("method") == "$/progress"]


async def test_the_clients_own_token_is_begun_reported_and_ended() -> None:
    client = Client()
    progress = WorkDone(client.server, "Filling", token="theirs")
    await progress.begin()
    progress.report("3 characters")
    progress.end("")
    assert [message["params"]["token"] for message in client.sent] == ["theirs"] * 3
    assert [value["kind"] for value in client.told] == ["begin", "report", "end"]
    assert client.server.work_done_progress.tokens == {}


async def test_what_was_reported_while_the_client_created_it_is_shown_with_it() -> None:
    client = Client()
    progress = WorkDone(client.server, "Loading")
    beginning = asyncio.create_task(progress.begin())
    create = await client.asked_to_create()
    progress.report("nano", 0.5)
    assert client.sent == []
    client.say(id=create["id"], result=None)
    await beginning
    progress.report("nano", 0.75)
    begin, report = client.told
    assert (begin["message"], begin["percentage"]) == ("nano", 50)
    assert report["percentage"] == 75


async def test_one_that_ended_while_the_client_created_it_is_never_shown() -> None:
    client = Client()
    progress = WorkDone(client.server, "Loading")
    beginning = asyncio.create_task(progress.begin())
    create = await client.asked_to_create()
    progress.end("loaded")
    client.say(id=create["id"], result=None)
    await beginning
    assert client.told == []
    assert client.server.work_done_progress.tokens == {}


async def test_a_client_that_refuses_is_told_nothing() -> None:
    client = Client()
    progress = WorkDone(client.server, "Loading")
    beginning = asyncio.create_task(progress.begin())
    create = await client.asked_to_create()
    client.say(id=create["id"], error={"code": -32603, "message": "no"})
    await beginning
    progress.report("nano", 0.5)
    progress.end("")
    assert client.told == []


async def test_a_client_without_progress_is_not_asked_for_one() -> None:
    client = Client(has_progress=False)
    progress = WorkDone(client.server, "Loading")
    await progress.begin()
    progress.end("")
    assert client.sent == []


async def test_cancelling_it_calls_back() -> None:
    client = Client()
    cancelled = asyncio.Event()
    progress = WorkDone(client.server, "Filling", token="theirs")
    await progress.begin(on_cancel=cancelled.set)
    assert client.told[0]["cancellable"] is True
    client.say(method="window/workDoneProgress/cancel", params={"token": "theirs"})
    await asyncio.wait_for(cancelled.wait(), 5)


async def test_nothing_is_called_back_when_it_ends_by_itself() -> None:
    client = Client()
    calls: list[None] = []
    progress = WorkDone(client.server, "Filling", token="theirs")
    await progress.begin(on_cancel=lambda: calls.append(None))
    progress.end("")
    client.say(method="window/workDoneProgress/cancel", params={"token": "theirs"})
    await asyncio.sleep(0)
    assert calls == []
