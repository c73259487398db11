"""Schemas as a client of the language server sees them: a notice, an allowed download, a setting that is wrong."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcRequestCancelled
from tests.server.editor import Editor, editing
from tests.server.engine_here import PATIENCE_S, until
from tests.server.web_here import WebHere, web_here

RULES = [{"after": '"a": ', "text": "1", "valid": True}]

pytestmark = pytest.mark.asyncio


@pytest.fixture
def web() -> Iterator[WebHere]:
    with web_here() as web:
        yield web


async def ask(editor: Editor, name: str, text: str = '{"a": |}') -> None:
    editor.open(text, uri=f"file:///work/{name}", language="json")
    items = await editor.ask()
    assert items is not None
    assert [item.insert_text for item in items] == ["1"]


async def test_that_a_schema_could_be_fetched_is_said_once_to_a_user(env: dict[str, str]) -> None:
    async with editing(env, RULES) as editor:
        await ask(editor, "package.json")
        while not editor.client.messages:
            await ask(editor, "package.json", '{ "a": |}')
        await ask(editor, "tsconfig.json")
        (message,) = editor.client.messages
        assert message.type == types.MessageType.Info
        assert "a schema for package.json is known at https://" in message.message
        assert "fetchSchemas" in message.message
    async with editing(env, RULES) as editor:
        for _ in range(3):
            await ask(editor, "package.json")
        assert editor.client.messages == []


async def test_a_schema_is_fetched_once_the_user_allows_it(env: dict[str, str], web: WebHere) -> None:
    web.pages["/a.json"] = b"{}"
    text = f'{{"$schema": "{web.url("/a.json")}", "a": |}}'
    async with editing(env, RULES) as editor:
        await ask(editor, "b.json", text)
        assert web.asked == []
        settings = {"midfill": {"fetchSchemas": True}}
        editor.client.workspace_did_change_configuration(types.DidChangeConfigurationParams(settings))
        await ask(editor, "b.json", text)
        cache = Path(env["XDG_CACHE_HOME"], "midfill", "schemas")
        await until(lambda: [*cache.glob("*.json")])
        assert web.asked == ["/a.json"]
        assert {file.stat().st_mode & 0o777 for file in cache.iterdir()} == {0o600}
        assert cache.stat().st_mode & 0o777 == 0o700


async def test_a_schema_that_the_settings_name_and_is_not_there_is_told_once(env: dict[str, str]) -> None:
    rule = {"fileMatch": ["b.json"], "url": "missing.json"}
    async with editing(env, RULES, options={"schemas": [rule, {"fileMatch": ["c.json"]}]}) as editor:
        await ask(editor, "b.json")
        await ask(editor, "b.json", '{ "a": |}')
        wrong, missing = [message.message for message in editor.client.messages]
        assert "schemas: wanted an object with fileMatch, and url or schema" in wrong
        assert "missing.json" in missing


def titles(editor: Editor) -> dict[str, types.ProgressToken]:
    """The progresses that were begun: their tokens, by title."""
    reports = editor.client.progress_reports.items()
    begun = ((token, value) for token, values in reports for value in values)
    return {value.title: token for token, value in begun if isinstance(value, types.WorkDoneProgressBegin)}


async def test_waiting_for_a_schema_is_shown_and_can_be_cancelled(env: dict[str, str], web: WebHere) -> None:
    never = threading.Event()
    web.pages["/a.json"] = lambda request: [never.wait(PATIENCE_S)].clear()
    async with editing(env, RULES, options={"fetchSchemas": True}) as editor:
        editor.open(f'{{"$schema": "{web.url("/a.json")}", "a": |}}', uri="file:///work/b.json", language="json")
        asking = asyncio.create_task(editor.ask())
        while "Waiting for the schema" not in (shown := titles(editor)):
            await editor.client.wait_for_notification(types.PROGRESS)
        token = shown["Waiting for the schema"]
        editor.client.window_work_done_progress_cancel(types.WorkDoneProgressCancelParams(token))
        with pytest.raises(JsonRpcRequestCancelled):
            await asking
        never.set()
