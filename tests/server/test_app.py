"""The language server on stdio, with a scripted engine behind it, as a client of pytest-lsp sees it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams, JsonRpcRequestCancelled
from tests.server.bare_client import bare_client, inline_completion
from tests.server.editor import AUTOMATIC, INVOKED, Editor, Encoding, editing, engine_status

from midfill.engine.wire import Status
from midfill.server.app import model_arguments
from midfill.server.statistics import read_events

ADD = {"after": "def add(a, b):", "text": "\n    return a + b"}
GREET = {"after": "greet(", "text": '"hello, world")'}
SLOW = {"after": "slow(", "text": "one, two, three)", "steps": 40, "step_ms": 50}
RULES = [ADD, GREET, SLOW, {"after": "x = ", "text": "42"}, {"after": "return a + b", "text": "\n\n\nadd(1, 2)"}]

COMPLETION = types.TEXT_DOCUMENT_INLINE_COMPLETION

pytestmark = pytest.mark.asyncio


def texts(items: list[types.InlineCompletionItem] | None) -> list[str]:
    assert items is not None
    return [str(item.insert_text) for item in items]


async def answered(env: dict[str, str], number: int) -> None:
    while (await engine_status(env)).answered < number:
        pass


async def idle(env: dict[str, str]) -> Status:
    """Waits until the engine has nothing to do."""
    while (status := await engine_status(env)).running:
        pass
    return status


async def running(env: dict[str, str]) -> None:
    while (await engine_status(env)).running == 0:
        pass


async def test_a_suggestion_has_text_range_and_a_command_for_its_acceptance(env: dict[str, str]) -> None:
    async with editing(env, RULES) as editor:
        editor.open("x = |\n")
        (item,) = await editor.ask() or []
        assert item.insert_text == "42"
        assert item.range == types.Range(types.Position(0, 4), types.Position(0, 4))
        await editor.accept(item)
        assert editor.text == "x = 42\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32"])
async def test_positions_are_right_in_each_encoding(env: dict[str, str], encoding: Encoding) -> None:
    async with editing(env, RULES, encoding=encoding) as editor:
        editor.open("é = '🙂'; 🙂🙂 = 1; |\r\nlast\r\n")
        editor.type("x")
        editor.type(" = ")
        (item,) = await editor.ask() or []
        assert item.range == types.Range(editor.position(editor.cursor), editor.position(editor.cursor))
        await editor.accept(item)
        assert editor.text == "é = '🙂'; 🙂🙂 = 1; x = 42\r\nlast\r\n"


async def test_line_ends_are_the_documents(env: dict[str, str]) -> None:
    async with editing(env, RULES) as editor:
        editor.open("def add(a, b):|\r\n\r\nx = 1\r\n")
        (item,) = await editor.ask() or []
        await editor.accept(item)
        assert editor.text == "def add(a, b):\r\n    return a + b\r\n\r\nx = 1\r\n"


@pytest.mark.parametrize(
    "context",
    [{"triggerKind": 0}, {"triggerKind": 1}, {"triggerKind": 2}, {"triggerKind": 7}, {"triggerKind": "x"}, {}, None],
)
async def test_any_trigger_kind_and_none_is_answered(env: dict[str, str], context: dict[str, Any] | None) -> None:
    async with editing(env, RULES) as editor:
        editor.open("x = |\n")
        params = {"textDocument": {"uri": editor.uri, "version": 1}, "position": {"line": 0, "character": 4}}
        if context is not None:
            params["context"] = context
        answer = await editor.send_raw(types.TEXT_DOCUMENT_INLINE_COMPLETION, params)
        assert answer.items[0].insert_text == "42"


async def test_parameters_that_make_no_sense_are_answered_with_what_was_wanted(env: dict[str, str]) -> None:
    async with editing(env, RULES) as editor:
        editor.open("x = |\n")
        params = {"textDocument": {"uri": editor.uri}, "position": "here"}
        with pytest.raises(JsonRpcInvalidParams, match="position"):
            await editor.send_raw(types.TEXT_DOCUMENT_INLINE_COMPLETION, params)
        assert texts(await editor.ask()) == ["42"]
        assert editor.client.messages == []


@pytest.mark.parametrize("position", [types.Position(0, 900), types.Position(900, 0), types.Position(900, 900)])
async def test_a_position_past_the_end_is_the_end(env: dict[str, str], position: types.Position) -> None:
    async with editing(env, RULES) as editor:
        editor.open("x = ")
        params = editor.params()
        params.position = position
        answer = await editor.client.text_document_inline_completion_async(params)
        assert isinstance(answer, types.InlineCompletionList)
        assert answer.items[0].range == types.Range(types.Position(0, 4), types.Position(0, 4))


async def test_an_unknown_document_has_no_suggestions(env: dict[str, str]) -> None:
    async with editing(env, RULES) as editor:
        editor.uri = "file:///never/opened.py"
        assert await editor.ask() == []


async def test_typing_along_is_answered_from_memory(env: dict[str, str]) -> None:
    async with editing(env, RULES, options={"speculate": False}) as editor:
        editor.open("greet(|")
        assert texts(await editor.ask()) == ['"hello, world")']
        for typed in ('"', "h", "ello, "):
            editor.type(typed)
            (item,) = await editor.ask(AUTOMATIC) or []
            assert editor.text + str(item.insert_text) == 'greet("hello, world")'
        assert (await engine_status(env)).answered == 1


CHOICE = {"after": "x = ", "text": "one()", "others": ["one() ", "other", "two()"]}


async def test_a_choice_is_sent_where_it_is_asked_for_and_each_has_its_own_command(env: dict[str, str]) -> None:
    async with bare_client(env, [CHOICE]) as client:
        await client.initialize()
        await client.ready()
        client.open("file:///a.py", "x = \n")
        kinds = [await client.request(COMPLETION, inline_completion("file:///a.py", 0, 4, kind)) for kind in (2, 1)]
        alone, choice = (answer["result"]["items"] for answer in kinds)
        assert [item["insertText"] for item in alone] == ["one()"]
        assert [item["insertText"] for item in choice] == ["one()", "other", "two()"]
        here = {"line": 0, "character": 4}
        assert all(item["range"] == {"start": here, "end": here} for item in choice)
        commands = {str(item["command"]) for item in (*alone, *choice)}
        assert len(commands) == 4


async def test_any_of_a_choice_is_accepted_and_counted(env: dict[str, str]) -> None:
    async with editing(env, [CHOICE]) as editor:
        editor.open("x = |\n")
        items = await editor.ask() or []
        await editor.accept(items[1])
        assert editor.text == "x = other\n"
        editor.backspace()
        assert texts(await editor.ask(INVOKED)) == ["r"]
    kinds = [event.kind for event in read_events(Path(env["XDG_STATE_HOME"], "midfill/statistics.jsonl"))]
    assert kinds == ["shown", "accepted"]


async def test_another_suffix_is_another_question(env: dict[str, str]) -> None:
    async with editing(env, RULES, options={"speculate": False}) as editor:
        editor.open("greet(|")
        await editor.ask()
        end = len(editor.text)
        editor.replace(end, end, "\nother()\n")
        editor.cursor = end
        assert texts(await editor.ask()) == ['"hello, world")']
        assert (await engine_status(env)).answered == 2


async def test_what_follows_a_suggestion_is_ready_when_it_is_accepted(env: dict[str, str]) -> None:
    async with editing(env, RULES) as editor:
        editor.open("def add(a, b):|")
        (item,) = await editor.ask() or []
        await answered(env, 2)
        settings = {"midfill": {"speculate": False}}
        editor.client.workspace_did_change_configuration(types.DidChangeConfigurationParams(settings))
        await editor.accept(item)
        assert "add(1, 2)" in texts(await editor.ask(AUTOMATIC))[0]
        assert (await engine_status(env)).answered == 2


async def test_a_newer_question_ends_the_older_even_if_nobody_cancels_it(env: dict[str, str]) -> None:
    async with editing(env, RULES) as editor:
        editor.open("slow(|")
        older = asyncio.create_task(editor.ask())
        await running(env)
        editor.replace(0, len(editor.text), "x = ")
        assert texts(await editor.ask()) == ["42"]
        assert await older is None
        await idle(env)


async def test_cancelling_answers_at_once_and_frees_the_engine(env: dict[str, str]) -> None:
    async with editing(env, RULES) as editor:
        editor.open("slow(|")
        asked = editor.client.protocol.send_request(
            types.TEXT_DOCUMENT_INLINE_COMPLETION, editor.params(), msg_id="to-cancel"
        )
        await running(env)
        editor.client.protocol.notify(types.CANCEL_REQUEST, types.CancelParams("to-cancel"))
        with pytest.raises(JsonRpcRequestCancelled):
            await asyncio.wait_for(asyncio.wrap_future(asked), 1)
        status = await idle(env)
        assert (status.answered, status.dropped) == (0, 1)


async def test_where_nothing_was_found_the_engine_is_not_asked_again(env: dict[str, str]) -> None:
    async with editing(env, RULES) as editor:
        editor.open("nothing here |\n")
        assert await editor.ask(AUTOMATIC) == []
        assert await editor.ask(AUTOMATIC) == []
        assert (await engine_status(env)).answered == 1


async def test_a_storm_of_keys_leaves_nothing_behind(env: dict[str, str]) -> None:
    rules = [{"after": "", "text": "storm", "steps": 8, "step_ms": 10}]
    async with editing(env, rules) as editor:
        editor.open("|\n\nend\n")
        questions: list[asyncio.Task[Any]] = []
        for number in range(200):
            editor.type("ab \n"[number % 4])
            questions.append(asyncio.create_task(editor.ask(AUTOMATIC)))
            await asyncio.sleep(1 / 30)
        answers = await asyncio.gather(*questions)
        last = await editor.ask()
        assert texts(last) == ["storm"]
        assert all(not answer or texts(answer) == ["storm"] for answer in answers)
        assert (await idle(env)).documents == 1


async def test_a_dismissed_suggestion_does_not_come_back(env: dict[str, str]) -> None:
    async with editing(env, RULES) as editor:
        editor.open("x = |\n")
        (item,) = await editor.ask() or []
        assert item.command is not None
        await editor.run(types.Command(title="", command="midfill.rejected", arguments=item.command.arguments))
        assert await editor.ask(AUTOMATIC) == []


async def test_true_is_no_items_number(env: dict[str, str]) -> None:
    async with editing(env, RULES) as editor:
        editor.open("x = |\n")
        assert texts(await editor.ask()) == ["42"]
        await editor.run(types.Command(title="", command="midfill.rejected", arguments=[True]))
        assert texts(await editor.ask(AUTOMATIC)) == ["42"]


async def test_typing_something_else_rejects_a_suggestion(env: dict[str, str]) -> None:
    async with editing(env, RULES) as editor:
        editor.open("x = |\n")
        assert texts(await editor.ask()) == ["42"]
        editor.type("seven")
        editor.replace(4, 9, "")
        assert await editor.ask(AUTOMATIC) == []
        assert texts(await editor.ask(INVOKED)) == ["42"]


async def test_a_slip_of_the_fingers_rejects_nothing(env: dict[str, str]) -> None:
    async with editing(env, RULES) as editor:
        editor.open("x = |\n")
        assert texts(await editor.ask()) == ["42"]
        editor.type("5")
        editor.backspace()
        assert texts(await editor.ask(AUTOMATIC)) == ["42"]


async def test_nothing_is_suggested_after_a_delete_unless_it_is_asked_for(env: dict[str, str]) -> None:
    async with editing(env, RULES) as editor:
        editor.open("x = 7|\n")
        editor.backspace()
        assert await editor.ask(AUTOMATIC) == []
        assert texts(await editor.ask(INVOKED)) == ["42"]


SECRETS = ("file:///work/.env", "file:///work/id_rsa", "untitled:.env", "vscode-vfs://host/work/server%2Epem")


async def test_secrets_are_never_asked_about(env: dict[str, str]) -> None:
    async with editing(env, RULES) as editor:
        for uri in SECRETS:
            editor.open("x = |\n", uri=uri, language="plaintext")
            assert await editor.ask() == []
        assert (await engine_status(env)).answered == 0


async def test_best_quality_that_is_not_there_is_told_and_fast_comes_instead(env: dict[str, str]) -> None:
    async with editing(env, RULES, options={"explicitMode": "best"}) as editor:
        editor.open("x = |\n")
        assert texts(await editor.ask(INVOKED)) == ["42"]
        (message,) = editor.client.messages
        assert message.message.startswith("midfill: best quality is not available; a script has none; midfill models")
        assert message.message.endswith("; fast is used instead")


async def test_a_model_for_best_quality_that_cannot_be_used_is_told_at_once(env: dict[str, str]) -> None:
    async with editing(env, None, options={"bestModel": "/nowhere/gemma", "maxTokens": 4}) as editor:
        editor.open("x = |\n")
        await editor.ask()
        (message,) = editor.client.messages
        assert message.message.startswith("midfill: best quality: /nowhere/gemma")


async def test_wrong_settings_are_named_once(env: dict[str, str]) -> None:
    async with editing(env, RULES, options={"midfill": {"maxTokens": "many", "colour": 1}}) as editor:
        editor.open("x = |\n")
        assert texts(await editor.ask()) == ["42"]
        settings = {"midfill": {"maxTokens": "many", "enabled": False}}
        editor.client.workspace_did_change_configuration(types.DidChangeConfigurationParams(settings))
        assert await editor.ask() == []
        (message,) = editor.client.messages
        assert "maxTokens: wanted 1 to 1024 tokens, got 'many'" in message.message
        assert "colour: no such setting" in message.message


async def test_a_menu_entry_is_extended_and_replaces_what_it_would(env: dict[str, str]) -> None:
    async with editing(env, RULES) as editor:
        editor.open("gr|")
        params = editor.params()
        span = types.Range(types.Position(0, 0), types.Position(0, 2))
        params.context.selected_completion_info = types.SelectedCompletionInfo(span, "greet(")
        answer = await editor.client.text_document_inline_completion_async(params)
        assert isinstance(answer, types.InlineCompletionList)
        assert [(item.insert_text, item.range) for item in answer.items] == [('greet("hello, world")', span)]


async def test_a_folder_that_joins_the_workspace_brings_what_it_ignores(env: dict[str, str]) -> None:
    folder = Path(env["HOME"], "joined")
    folder.mkdir()
    (folder / ".gitignore").write_text("*.gen.py\n", encoding="utf-8")
    async with editing(env, RULES) as editor:
        added = types.WorkspaceFoldersChangeEvent([types.WorkspaceFolder(folder.as_uri(), "joined")], [])
        editor.client.workspace_did_change_workspace_folders(types.DidChangeWorkspaceFoldersParams(added))
        editor.open("x = |\n", uri=(folder / "a.gen.py").as_uri())
        assert await editor.ask() == []
        editor.open("x = |\n", uri=(folder / "a.py").as_uri())
        assert texts(await editor.ask()) == ["42"]


@pytest.mark.parametrize(
    ("model", "roots", "arguments"),
    [
        (None, ["/work"], ()),
        ("/models/nano", ["/work"], ("--model", "/models/nano")),
        ("models/nano", ["/work", "/other"], ("--model", "/work/models/nano")),
        ("~/nano", ["/work"], ("--model", f"{Path.home()}/nano")),
        ("~nobody-of-that-name/nano", ["/work"], ("--model", "/work/~nobody-of-that-name/nano")),
        ("nano", [], ("--model", f"{Path.cwd()}/nano")),
    ],
)
async def test_a_models_directory_is_said_in_full(model: str | None, roots: list[str], arguments: object) -> None:
    assert model_arguments("--model", model, list(map(Path, roots))) == arguments


async def test_the_scenario_of_a_morning(env: dict[str, str]) -> None:
    """Typing, accepting a word, typing on, closing and opening: the text is what an editor would have."""
    async with editing(env, RULES) as editor:
        await _morning(editor)
        editor.close()
        editor.open("x = |\n", uri="file:///work/b.py")
        assert texts(await editor.ask()) == ["42"]


async def _morning(editor: Editor) -> None:
    editor.open("|\n")
    editor.type("def add(a, b):")
    (item,) = await editor.ask(AUTOMATIC) or []
    assert item.range is not None
    word = "\n    return"
    whole = str(item.insert_text)
    assert whole.endswith("\n    return a + b")
    editor.type(word)
    (rest,) = await editor.ask(AUTOMATIC) or []
    await editor.accept(rest)
    assert editor.text == "def add(a, b):\n    return a + b\n"
