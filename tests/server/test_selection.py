"""Infill on a selection: the code actions, and the command as an editor runs it."""

import asyncio
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcRequestCancelled
from tests.server.editor import Editor, editing, engine_status

from midfill.server.selection import SelectionError, code_actions, read_arguments

RULES = [
    {"after": "total = ", "before": "\n", "text": "sum(values)"},
    {"after": "slow = ", "text": "1 + 1", "steps": 40, "step_ms": 50},
    {"after": "nothing = ", "text": "", "shown": False},
    {"after": "unsure = ", "text": "maybe", "shown": False, "confidence": 0.1},
]
ONE_LINE = types.Range(types.Position(0, 0), types.Position(0, 3))


def params(span: types.Range, only: list[str] | None = None) -> types.CodeActionParams:
    context = types.CodeActionContext(diagnostics=[], only=only)
    return types.CodeActionParams(types.TextDocumentIdentifier("file:///a.py"), span, context)


@pytest.mark.parametrize("only", [None, ["refactor"], ["refactor.rewrite"], [""]])
def test_a_selection_offers_both_qualities(only: list[str] | None) -> None:
    titles = [action.title for action in code_actions(params(ONE_LINE, only), 3)]
    assert titles == ["Fill selection (fast)", "Fill selection (best quality)"]


def test_a_cursor_or_another_kind_of_action_offers_nothing() -> None:
    cursor = types.Range(types.Position(1, 2), types.Position(1, 2))
    assert code_actions(params(cursor), 3) == []
    assert code_actions(params(ONE_LINE, ["quickfix", "refactor.extract"]), 3) == []


def test_the_commands_argument_is_what_the_command_reads() -> None:
    (action, _) = code_actions(params(ONE_LINE), 3)
    assert action.command is not None
    read = read_arguments([*(action.command.arguments or [])])
    assert (read.uri, read.mode, read.version) == ("file:///a.py", "fast", 3)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ([], "Expected `object`, got `null`"),
        ([{"uri": "file:///a.py"}], "missing required field `range`"),
        ([{"uri": "u", "range": {"start": {"line": "1"}}}], r"\$\.range\.start"),
    ],
)
def test_a_wrong_argument_is_told(given: list[object], complaint: str) -> None:
    with pytest.raises(SelectionError, match=complaint):
        read_arguments(given)


def command(editor: Editor, start: int, end: int, **changes: Any) -> types.Command:
    """The command as a client sends it, for code points `start` to `end`."""
    to_builtins = editor.client.protocol._converter.unstructure  # pyright: ignore[reportPrivateUsage]
    span = to_builtins(types.Range(editor.position(start), editor.position(end)))
    arguments = {"uri": editor.uri, "range": span, "mode": "fast", "version": editor.version, **changes}
    return types.Command(title="", command="midfill.infillSelection", arguments=[arguments])


def applying(editor: Editor) -> list[types.WorkspaceEdit]:
    """Lets the editor's client apply edits to its text; the list fills with them."""
    edits: list[types.WorkspaceEdit] = []

    def apply(request: types.ApplyWorkspaceEditParams) -> types.ApplyWorkspaceEditResult:
        edits.append(request.edit)
        (change,) = request.edit.document_changes or []
        assert isinstance(change, types.TextDocumentEdit)
        assert change.text_document.version == editor.version
        (edit,) = change.edits
        assert isinstance(edit, types.TextEdit)
        editor.replace(editor.offset(edit.range.start), editor.offset(edit.range.end), edit.new_text)
        return types.ApplyWorkspaceEditResult(applied=True)

    editor.client.feature(types.WORKSPACE_APPLY_EDIT)(apply)
    return edits


@pytest.mark.asyncio
async def test_the_selection_is_filled_by_one_edit(env: dict[str, str]) -> None:
    async with editing(env, RULES) as editor:
        edits = applying(editor)
        editor.open("🙂 = 1; total = TODO, later|\nprint(total)\n")
        start = editor.text.index("TODO")
        assert await editor.run(command(editor, editor.cursor, start)) is True
        assert editor.text == "🙂 = 1; total = sum(values)\nprint(total)\n"
        assert len(edits) == 1
        assert len(editor.client.progress_reports) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("options", [{"enabled": False}, {"languages": {"*": False}}, {"maxFileBytes": 1}])
async def test_a_command_fills_where_suggestions_are_switched_off(env: dict[str, str], options: dict[str, Any]) -> None:
    async with editing(env, RULES) as editor:
        applying(editor)
        editor.client.workspace_did_change_configuration(types.DidChangeConfigurationParams({"midfill": options}))
        editor.open("total = TODO|\n")
        assert await editor.ask() == []
        assert await editor.run(command(editor, 8, 12)) is True
        assert editor.text == "total = sum(values)\n"


@pytest.mark.asyncio
@pytest.mark.parametrize(("name", "options"), [(".env", {}), ("out.py", {"exclude": ["out.py"]})])
async def test_a_command_fills_no_secret_and_nothing_excluded(
    env: dict[str, str], name: str, options: dict[str, Any]
) -> None:
    async with editing(env, RULES, options=options) as editor:
        editor.open("total = TODO|\n", uri=f"file:///work/{name}")
        assert await editor.run(command(editor, 8, 12)) is False
        (message,) = editor.client.messages
        assert "nothing is filled here" in message.message
        assert (await engine_status(env)).answered == 0


@pytest.mark.asyncio
async def test_a_fill_that_is_unsure_is_given_to_who_asks_for_it(env: dict[str, str]) -> None:
    async with editing(env, RULES) as editor:
        applying(editor)
        editor.open("unsure = TODO|\n")
        assert await editor.run(command(editor, 9, 13)) is True
        assert editor.text == "unsure = maybe\n"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("text", "changes", "complaint"),
    [
        ("nothing = TODO|\n", {}, "found nothing to fill the selection with"),
        ("total = TODO|\n", {"version": 0}, "the file has changed since the selection was made"),
        ("total = TODO|\n", {"uri": "file:///other.py"}, "the file is not open"),
        ("total = TODO|\n", {"mode": "best"}, "best quality is not available; a script has none; midfill models"),
    ],
)
async def test_what_stands_in_the_way_is_told(
    env: dict[str, str], text: str, changes: dict[str, Any], complaint: str
) -> None:
    async with editing(env, RULES) as editor:
        edits = applying(editor)
        editor.open(text)
        assert await editor.run(command(editor, editor.cursor - 4, editor.cursor, **changes)) is False
        (message,) = editor.client.messages
        assert complaint in message.message
        assert edits == []


@pytest.mark.asyncio
async def test_cancelling_the_progress_frees_the_engine_and_changes_nothing(env: dict[str, str]) -> None:
    async with editing(env, RULES) as editor:
        edits = applying(editor)
        editor.open("slow = TODO|\n")
        filling = asyncio.create_task(editor.run(command(editor, 7, 11)))
        while not any(editor.client.progress_reports.values()):
            await editor.client.wait_for_notification(types.PROGRESS)
        (token,) = editor.client.progress_reports
        editor.client.window_work_done_progress_cancel(types.WorkDoneProgressCancelParams(token))
        with pytest.raises(JsonRpcRequestCancelled):
            await filling
        assert edits == []
        while (await engine_status(env)).running:
            pass
        assert editor.client.messages == []
