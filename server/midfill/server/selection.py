"""Infill on a selection: what is selected is the hole, all around it the context."""

from collections.abc import Callable

import msgspec
from lsprotocol import types

from midfill.engine.errors import MidfillError
from midfill.engine.wire import Mode
from midfill.server.offers import Gap, edit_of
from midfill.server.session import Session

FILL_SELECTION = "midfill.infillSelection"
TITLES: dict[Mode, str] = {"fast": "Fill selection (fast)", "best": "Fill selection (best quality)"}


class Point(msgspec.Struct, frozen=True):
    """LSP's Position."""

    line: int
    character: int


class Span(msgspec.Struct, frozen=True):
    """LSP's Range."""

    start: Point
    end: Point

    @property
    def ends(self) -> tuple[Point, Point]:
        return self.start, self.end


class SelectionArguments(msgspec.Struct, frozen=True):
    """The command's one argument."""

    uri: str
    range: Span
    mode: Mode = "fast"
    version: int | None = None
    """The document version that the range belongs to."""


class SelectionError(MidfillError):
    """Why a selection could not be filled, in one sentence for the person."""

    def __init__(self, message: str) -> None:
        Exception.__init__(self, message)


def code_actions(params: types.CodeActionParams, version: int) -> list[types.CodeAction]:
    """The two ways to fill the range of `params`; none if it is empty or another kind of action is wanted. Pure."""
    only = params.context.only
    if params.range.start == params.range.end or (only is not None and not any(_covers(kind) for kind in only)):
        return []
    return [_action(params, mode, version) for mode in TITLES]


def _covers(kind: types.CodeActionKind | str) -> bool:
    name = kind.value if isinstance(kind, types.CodeActionKind) else kind
    rewrite = types.CodeActionKind.RefactorRewrite.value
    return name == "" or rewrite == name or rewrite.startswith(f"{name}.")


def _action(params: types.CodeActionParams, mode: Mode, version: int) -> types.CodeAction:
    start, end = params.range.start, params.range.end
    span = Span(Point(start.line, start.character), Point(end.line, end.character))
    arguments = SelectionArguments(params.text_document.uri, span, mode, version)
    command = types.Command(title=TITLES[mode], command=FILL_SELECTION, arguments=[msgspec.to_builtins(arguments)])
    return types.CodeAction(title=TITLES[mode], kind=types.CodeActionKind.RefactorRewrite, command=command)


def read_arguments(given: list[object]) -> SelectionArguments:
    """The command's argument. Raises `SelectionError` saying what is wrong with it."""
    try:
        return msgspec.convert(given[0] if given else None, SelectionArguments)
    except msgspec.ValidationError as error:
        raise SelectionError(f"{FILL_SELECTION}: {error}") from None


async def fill_selection(
    session: Session, arguments: SelectionArguments, on_draft: Callable[[str], None]
) -> types.TextDocumentEdit:
    """The edit that fills the selection, for the version of the document that it was made from.

    Raises `SelectionError` if there is nothing to fill it with or the document has changed, `EngineError` if the
    engine does not answer.
    """
    document = session.document
    if arguments.version is not None and arguments.version != document.version:
        raise SelectionError("the file has changed since the selection was made")
    if (reason := session.reason_to_refuse()) is not None:
        raise SelectionError(f"nothing is filled here: {reason}")
    version = document.version
    start, end = sorted(document.place(types.Position(*msgspec.structs.astuple(p))) for p in arguments.range.ends)
    gap = Gap(start, end)
    await session.wait_for_schema(gap.start)
    if document.version != version:
        raise SelectionError("the file has changed while its schema was fetched")
    infill = await session.fill_span(gap, arguments.mode, _most_tokens(session, gap), on_draft)
    if document.version != version:
        raise SelectionError("the file has changed while it was filled")
    return _edit(session, gap, infill.text, version)


def _most_tokens(session: Session, gap: Gap) -> int:
    """About as many as the selection has, but at most 256, a large model's canvas; more if the settings allow more."""
    selected = session.document.offset(gap.end) - session.document.offset(gap.start)
    return max(session.shared.settings.max_tokens, min(256, selected // 3))


def _edit(session: Session, gap: Gap, text: str, version: int) -> types.TextDocumentEdit:
    suggestion = session.ghost(text, gap)
    if suggestion is None:
        raise SelectionError("found nothing to fill the selection with")
    document = session.document
    identifier = types.OptionalVersionedTextDocumentIdentifier(uri=document.uri, version=version)
    return types.TextDocumentEdit(identifier, [edit_of(document, gap, suggestion)])
