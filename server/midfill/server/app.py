"""The language server: one thin function for each method of the protocol."""
# pyright: reportUnknownMemberType=false
# (pygls' decorators have no types)

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.uris import to_fs_path

from midfill.engine.client import EngineClient, EngineState
from midfill.engine.errors import MidfillError, RequestFailed
from midfill.server.connection import Server
from midfill.server.document import Document
from midfill.server.offers import Gap, Offer, edit_of
from midfill.server.progress import WorkDone
from midfill.server.protocol import DID_PARTIALLY_ACCEPT, DID_SHOW
from midfill.server.selection import (
    FILL_SELECTION,
    TITLES,
    SelectionError,
    code_actions,
    fill_selection,
    read_arguments,
)
from midfill.server.session import Session
from midfill.server.settings import Settings, read_settings
from midfill.server.shared import Shared
from midfill.server.statistics import Statistics

log = logging.getLogger(__name__)

ACCEPTED = "midfill.accepted"
REJECTED = "midfill.rejected"
REMEMBERED_OFFERS = 256


# The connection


def initialize(ls: Server, params: types.InitializeParams) -> None:
    settings, ls.untold = read_settings(params.initialization_options)
    engine = EngineClient(name="midfill lsp", on_state=lambda state: on_engine_state(ls, state))
    folders = [folder.uri for folder in params.workspace_folders or []] or [params.root_uri or ""]
    ls.shared = Shared(engine, Statistics(), _paths(folders))
    ls.shared.tell = lambda message: ls.complain([message])
    ls.shared.inform = lambda message: ls.say(message, types.MessageType.Info)
    ls.shared.show = lambda title, cancel: show(ls, title, cancel)
    use(ls, settings)


def show(ls: Server, title: str, cancel: Callable[[], object]) -> Callable[[], None]:
    """Shows a progress that can be cancelled; what it returns takes it away."""
    progress = WorkDone(ls, title)
    ls.spawn(progress.begin(on_cancel=cancel))  # not waited for: some clients never answer
    return lambda: progress.end("")


def _paths(folders: Iterable[str]) -> list[Path]:
    return [Path(path) for folder in folders if folder and (path := to_fs_path(folder))]


async def initialized(ls: Server, params: types.InitializedParams) -> None:
    ls.complain(ls.untold)
    await configure(ls, None)
    ls.tell_status()
    await start_engine(ls)


async def start_engine(ls: Server) -> None:
    """Starts or joins the engine, so that the model is loaded before the first key."""
    try:
        await ls.shared.engine.start()
    except MidfillError as error:
        log.warning("%s", error)


def on_engine_state(ls: Server, state: EngineState) -> None:
    """The engine came, went, or loads its model."""
    ls.tell_status()
    if state.phase == "loading":
        if ls.loading is None:
            ls.loading = WorkDone(ls, "Loading the model")
            ls.spawn(ls.loading.begin())
        ls.loading.report(state.model, state.share)
    elif ls.loading is not None:
        ls.loading.end(state.message or state.model)
        ls.loading = None
    if state.phase == "failed" or (state.phase == "ready" and state.message):
        ls.complain([state.message])


async def shutdown(ls: Server, params: None) -> None:
    for session in ls.sessions.values():
        session.close()
    ls.shared.statistics.close()
    await ls.shared.engine.aclose()


async def did_change_configuration(ls: Server, params: types.DidChangeConfigurationParams) -> None:
    await configure(ls, params.settings)


async def configure(ls: Server, given: Any) -> None:
    """Takes settings over: those that came, or, where none did, those that the client gives when asked."""
    workspace = ls.client_capabilities.workspace
    if given is None and workspace is not None and workspace.configuration:
        item = types.ConfigurationItem(section="midfill")
        try:
            answer = await ls.workspace_configuration_async(types.ConfigurationParams([item]))
        except JsonRpcException as error:
            log.warning("the client does not give its settings: %s", error)
            return
        given = answer[0] if answer else None
    if given is not None:
        settings, complaints = read_settings(given)
        use(ls, settings)
        ls.complain(complaints)
        ls.tell_status()


def use(ls: Server, settings: Settings) -> None:
    """Takes settings over. The models are those of the next engine which this server has to start."""
    ls.shared.use(settings)
    models = (
        *model_arguments("--model", settings.model, ls.shared.roots),
        *model_arguments("--best-model", settings.best_model, ls.shared.roots),
    )
    ls.shared.engine.arguments = (*ls.engine_arguments, *models)
    for session in ls.sessions.values():
        session.show_to_neighbours()


def model_arguments(option: str, model: str | None, roots: Sequence[Path]) -> tuple[str, ...]:
    """The engine's arguments for a model's directory, which may be relative to the workspace or start with a tilde.

    They say it in full: the engine runs in another folder.
    """
    if model is None:
        return ()
    with suppress(RuntimeError):  # there is no such user: then it is a folder's name
        model = str(Path(model).expanduser())
    return option, str(Path(*roots[:1], model).absolute())


def did_change_workspace_folders(ls: Server, params: types.DidChangeWorkspaceFoldersParams) -> None:
    ls.shared.roots = _paths(ls.workspace.folders)
    use(ls, ls.shared.settings)


# Documents


def did_open(ls: Server, params: types.DidOpenTextDocumentParams) -> None:
    item = params.text_document
    encoding = types.PositionEncodingKind(ls.workspace.position_encoding).value
    document = Document(item.uri, item.language_id, item.version, item.text, encoding)
    ls.sessions[item.uri] = Session(document, _path(item.uri), ls.shared)


def did_change(ls: Server, params: types.DidChangeTextDocumentParams) -> None:
    if (session := ls.sessions.get(params.text_document.uri)) is not None:
        session.change(params.content_changes, params.text_document.version)


def did_close(ls: Server, params: types.DidCloseTextDocumentParams) -> None:
    if (session := ls.sessions.pop(params.text_document.uri, None)) is not None:
        session.close()
        for id in [id for id, (of, _) in ls.offers.items() if of is session]:
            del ls.offers[id]  # it holds the whole text


def _path(uri: str) -> Path | None:
    """The file of a `file:` URI; None for documents that are in no file."""
    path = to_fs_path(uri) if uri.startswith("file:") else None
    return Path(path) if path else None


# Suggestions


async def inline_completion(ls: Server, params: types.InlineCompletionParams) -> types.InlineCompletionList | None:
    """A list, empty where nothing is to be shown. None, which lets Neovim keep what it shows, if it is out of date."""
    session = ls.sessions.get(params.text_document.uri)
    if session is None:
        return types.InlineCompletionList([])
    started, num_edits = time.monotonic(), session.num_edits
    gap = _gap(session.document, params)
    automatic = params.context.trigger_kind == types.InlineCompletionTriggerKind.Automatic
    offers = await session.suggest(gap, automatic=automatic)
    if session.num_edits != num_edits:
        return None
    if not offers:
        return types.InlineCompletionList([])
    for offer in offers:
        _remember(ls, session, offer)
    best = offers[0]
    if best.is_new:
        ls.shared.count("shown", session.document.language, best.source, (time.monotonic() - started) * 1e3)
    if best.source == "engine":
        ls.tell_status()
    session.speculate(best)
    return types.InlineCompletionList([_item(session.document, offer) for offer in offers])


def _gap(document: Document, params: types.InlineCompletionParams) -> Gap:
    """The cursor; with an entry of the completion menu selected, what that entry would replace."""
    if (selected := params.context.selected_completion_info) is not None:
        start, end = document.place(selected.range.start), document.place(selected.range.end)
        return Gap(min(start, end), max(start, end), selected.text)
    place = document.place(params.position)
    return Gap(place, place)


def _item(document: Document, offer: Offer) -> types.InlineCompletionItem:
    edit = edit_of(document, offer.gap, offer.ghost)
    accepted = types.Command(title="Accepted", command=ACCEPTED, arguments=[offer.id])
    return types.InlineCompletionItem(insert_text=edit.new_text, range=edit.range, command=accepted)


def _remember(ls: Server, session: Session, offer: Offer) -> None:
    ls.offers[offer.id] = (session, offer)
    if len(ls.offers) > REMEMBERED_OFFERS:
        ls.offers.popitem(last=False)


def accepted(ls: Server, params: types.ExecuteCommandParams) -> None:
    """The command of each item: the editor runs it when the person takes the item."""
    if (found := _offer(ls, params.arguments)) is not None:
        session, _ = found
        ls.shared.count("accepted", session.document.language)


def rejected(ls: Server, params: types.ExecuteCommandParams) -> None:
    """The person dismissed the item: it is not offered there again."""
    if (found := _offer(ls, params.arguments)) is not None:
        session, offer = found
        session.reject(offer)


def did_show(ls: Server, params: Any) -> None:
    """Copilot's notification that an item became visible. Ours are counted when they are sent."""


def did_partially_accept(ls: Server, params: Any) -> None:
    """Copilot's notification that a word or a line of an item was taken."""
    match params:
        case {"item": {"command": {"arguments": [int(id), *_]}}} if found := _offer(ls, [id]):
            session, _ = found
            ls.shared.count("partly", session.document.language)
        case _:
            log.debug("%s of an item that is not known", DID_PARTIALLY_ACCEPT)


def _offer(ls: Server, arguments: Sequence[object] | None) -> tuple[Session, Offer] | None:
    match arguments:
        case [int(id)] if not isinstance(id, bool):  # JSON's true is no number, but Python's is 1
            return ls.offers.get(id)
        case _:
            return None


# Selections


def code_action(ls: Server, params: types.CodeActionParams) -> list[types.CodeAction]:
    session = ls.sessions.get(params.text_document.uri)
    if session is None or session.reason_for_silence() is not None:
        return []
    return code_actions(params, session.document.version)


async def infill_selection(ls: Server, params: types.ExecuteCommandParams) -> bool:
    """Fills a selection with one edit. Answers whether the editor applied it; what stands in the way is told."""
    progress: WorkDone | None = None
    try:
        arguments = read_arguments([*(params.arguments or [])])
        session = ls.sessions.get(arguments.uri)
        if session is None:
            raise SelectionError("the file is not open")
        progress = WorkDone(ls, TITLES[arguments.mode], token=params.work_done_token)
        work = asyncio.current_task()
        assert work is not None
        ls.spawn(progress.begin(on_cancel=work.cancel))  # not waited for: some clients never answer
        edit = await fill_selection(session, arguments, lambda text: progress.report(_so_far(text)))
        applied = await ls.workspace_apply_edit_async(types.ApplyWorkspaceEditParams(_workspace_edit(ls, edit)))
    except MidfillError as error:
        offers_fast = isinstance(error, RequestFailed) and error.is_mode_missing
        ls.say(f"{error}; it can be filled fast" if offers_fast else str(error), types.MessageType.Warning)
        return False
    finally:
        if progress is not None:
            progress.end("")
    return applied.applied


def _so_far(text: str) -> str:
    return f"{len(text)} characters"


def _workspace_edit(ls: Server, edit: types.TextDocumentEdit) -> types.WorkspaceEdit:
    workspace = ls.client_capabilities.workspace
    if workspace and workspace.workspace_edit and workspace.workspace_edit.document_changes:
        return types.WorkspaceEdit(document_changes=[edit])
    edits = cast("list[types.TextEdit]", edit.edits)
    return types.WorkspaceEdit(changes={edit.text_document.uri: edits})


HANDLERS: tuple[tuple[str, Callable[..., Any], Any], ...] = (
    (types.INITIALIZE, initialize, None),
    (types.INITIALIZED, initialized, None),
    (types.SHUTDOWN, shutdown, None),
    (types.WORKSPACE_DID_CHANGE_CONFIGURATION, did_change_configuration, None),
    (types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS, did_change_workspace_folders, None),
    (types.TEXT_DOCUMENT_DID_OPEN, did_open, None),
    (types.TEXT_DOCUMENT_DID_CHANGE, did_change, None),
    (types.TEXT_DOCUMENT_DID_CLOSE, did_close, None),
    (types.TEXT_DOCUMENT_INLINE_COMPLETION, inline_completion, types.InlineCompletionOptions()),
    (
        types.TEXT_DOCUMENT_CODE_ACTION,
        code_action,
        types.CodeActionOptions(code_action_kinds=[types.CodeActionKind.RefactorRewrite]),
    ),
    (DID_SHOW, did_show, None),
    (DID_PARTIALLY_ACCEPT, did_partially_accept, None),
)
COMMANDS = ((ACCEPTED, accepted), (REJECTED, rejected), (FILL_SELECTION, infill_selection))


def make_server(engine_arguments: Sequence[str] = ()) -> Server:
    """A server whose engine, if it has to start one, is started with `engine_arguments`."""
    server = Server(engine_arguments)
    for method, handler, options in HANDLERS:
        server.feature(method, options)(handler)
    for name, handler in COMMANDS:
        server.command(name)(handler)
    return server
