"""A small editor for tests: it speaks LSP to a real `midfill lsp` on stdio, whose engine is a scripted one."""

import asyncio
import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Literal

from lsprotocol import types
from pytest_lsp import ClientServerConfig, LanguageClient, make_test_lsp_client

from midfill.engine.client import EngineClient
from midfill.engine.endpoint import Endpoint
from midfill.engine.errors import EngineGone
from midfill.engine.wire import Status

MIDFILL = str(Path(sys.executable).with_name("midfill"))
INVOKED, AUTOMATIC = types.InlineCompletionTriggerKind.Invoked, types.InlineCompletionTriggerKind.Automatic
Encoding = Literal["utf-8", "utf-16", "utf-32"]


@contextlib.contextmanager
def home() -> Iterator[dict[str, str]]:
    """The environment of a user of one's own: short paths, as Unix sockets want; its engine is stopped in the end."""
    folder = tempfile.mkdtemp(prefix="mf", dir="/tmp")
    directories = {f"XDG_{kind}_HOME": f"{folder}/{kind.lower()}" for kind in ("CONFIG", "DATA", "STATE", "CACHE")}
    runtime = Path(folder, "run")
    runtime.mkdir(mode=0o700)
    env = {**os.environ, **directories, "HOME": folder, "MIDFILL_RUNTIME_DIR": str(runtime), "OMP_NUM_THREADS": "1"}
    try:
        yield env
    finally:
        asyncio.run(_stop_engine(env))
        shutil.rmtree(folder, ignore_errors=True)


async def engine_status(env: dict[str, str]) -> Status:
    """How the engine of `env` is doing."""
    client = EngineClient(endpoint=_endpoint(env), launches=False)
    try:
        return await client.status()
    finally:
        await client.aclose()


async def _stop_engine(env: dict[str, str]) -> None:
    client = EngineClient(endpoint=_endpoint(env), launches=False)
    with contextlib.suppress(EngineGone):
        await client.stop_engine()
    await client.aclose()


def _endpoint(env: dict[str, str]) -> Endpoint:
    return Endpoint(directory=Path(env["MIDFILL_RUNTIME_DIR"]))


class Editor:
    """One open document, a cursor, and the connection. Positions are in the negotiated encoding's units."""

    def __init__(self, client: LanguageClient, encoding: Encoding, env: dict[str, str]) -> None:
        self.client, self.encoding, self.env = client, encoding, env
        self.uri, self.text, self.cursor, self.version = "", "", 0, 0

    def open(self, text: str, uri: str = "file:///work/a.py", language: str = "python") -> None:
        """Opens a document; the cursor is where `|` stands in `text`, or at its end."""
        before, _, after = text.partition("|")
        self.uri, self.text, self.cursor, self.version = uri, before + after, len(before), 1
        item = types.TextDocumentItem(uri, language, self.version, self.text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))

    def close(self) -> None:
        identifier = types.TextDocumentIdentifier(self.uri)
        self.client.text_document_did_close(types.DidCloseTextDocumentParams(identifier))

    def position(self, offset: int) -> types.Position:
        """LSP's position of a code point offset."""
        before = self.text[:offset].replace("\r\n", "\n").replace("\r", "\n")
        line, column = before.count("\n"), before.rpartition("\n")[2]
        units = {"utf-8": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}[self.encoding]
        size = {"utf-8": 1, "utf-16": 2, "utf-32": 4}[self.encoding]
        return types.Position(line, len(column.encode(units)) // size)

    def offset(self, position: types.Position) -> int:
        """The code point offset of a position, by trying all."""
        return next(offset for offset in range(len(self.text) + 1) if self.position(offset) == position)

    def replace(self, start: int, end: int, text: str) -> None:
        """An edit; the cursor goes behind it."""
        self.version += 1
        span = types.Range(self.position(start), self.position(end))
        self.text = self.text[:start] + text + self.text[end:]
        self.cursor = start + len(text)
        identifier = types.VersionedTextDocumentIdentifier(uri=self.uri, version=self.version)
        change = types.TextDocumentContentChangePartial(span, text)
        self.client.text_document_did_change(types.DidChangeTextDocumentParams(identifier, [change]))

    def type(self, text: str) -> None:
        for letter in text:
            self.replace(self.cursor, self.cursor, letter)

    def backspace(self) -> None:
        self.replace(self.cursor - 1, self.cursor, "")

    def params(self, kind: types.InlineCompletionTriggerKind = INVOKED) -> types.InlineCompletionParams:
        context = types.InlineCompletionContext(kind)
        return types.InlineCompletionParams(context, types.TextDocumentIdentifier(self.uri), self.position(self.cursor))

    async def ask(self, kind: types.InlineCompletionTriggerKind = INVOKED) -> list[types.InlineCompletionItem] | None:
        """The suggestions at the cursor; None where the server says that the question is out of date."""
        answer = await self.client.text_document_inline_completion_async(self.params(kind))
        return None if answer is None else _items(answer)

    async def send_raw(self, method: str, params: dict[str, Any]) -> Any:
        """The answer to a request whose parameters no well-behaved library would send."""
        protocol = self.client.protocol
        answer: Future[Any] = Future()
        name = f"raw-{self.version}-{method}"
        protocol._request_futures[name] = answer  # pyright: ignore[reportPrivateUsage]
        protocol._result_types[name] = protocol.get_result_type(method)  # pyright: ignore[reportPrivateUsage]
        protocol._send_data({"jsonrpc": "2.0", "id": name, "method": method, "params": params})  # pyright: ignore[reportPrivateUsage]
        return await asyncio.wrap_future(answer)

    async def accept(self, item: types.InlineCompletionItem) -> None:
        """Takes a suggestion as an editor does: replaces its range, runs its command."""
        assert item.range is not None
        assert item.command is not None
        start, end = self.offset(item.range.start), self.offset(item.range.end)
        self.replace(start, end, str(item.insert_text))
        await self.run(item.command)

    async def run(self, command: types.Command) -> Any:
        return await self.client.workspace_execute_command_async(
            types.ExecuteCommandParams(command=command.command, arguments=command.arguments)
        )


def _items(
    answer: types.InlineCompletionList | Sequence[types.InlineCompletionItem],
) -> list[types.InlineCompletionItem]:
    return list(answer.items if isinstance(answer, types.InlineCompletionList) else answer)


@contextlib.asynccontextmanager
async def editing(
    env: dict[str, str],
    rules: Sequence[dict[str, Any]] | None = None,
    *,
    encoding: Encoding = "utf-16",
    options: dict[str, Any] | None = None,
    client_name: str = "test",
    root: Path | None = None,
) -> AsyncIterator[Editor]:
    """An editor whose server starts or joins the engine of `env`: one with `rules`, or, with None, the real model."""
    command = [MIDFILL, "lsp"]
    if rules is not None:
        script = Path(env["HOME"], "rules.json")
        script.write_text(json.dumps(rules), encoding="utf-8")
        command += ["--script", str(script)]
    client = await ClientServerConfig(command, make_test_lsp_client, server_env=env).start()
    assert isinstance(client, LanguageClient)
    is_ready = asyncio.Event()
    client.feature("midfill/status")(lambda params: is_ready.set() if params.phase == "ready" else None)
    capabilities = types.ClientCapabilities(
        general=types.GeneralClientCapabilities(position_encodings=[types.PositionEncodingKind(encoding)]),
        window=types.WindowClientCapabilities(work_done_progress=True),
        workspace=types.WorkspaceClientCapabilities(
            apply_edit=True, workspace_edit=types.WorkspaceEditClientCapabilities(document_changes=True)
        ),
    )
    await client.initialize_session(
        types.InitializeParams(
            capabilities=capabilities,
            client_info=types.ClientInfo(client_name),
            initialization_options=options,
            root_uri=root.as_uri() if root else None,
        )
    )
    await is_ready.wait()
    try:
        yield Editor(client, encoding, env)
    finally:
        await client.shutdown_session()
        await client.stop()
