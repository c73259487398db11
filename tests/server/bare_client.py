"""A language client that knows nothing: it sends what it is told to, sense or not, and keeps all that comes back."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from tests.server.editor import MIDFILL

T = TypeVar("T")
Message = dict[str, Any]
PATIENCE_S = 60.0
"""For what takes milliseconds, on a busy machine."""


class BareClient:
    """A language server's process, and the messages to and from it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.received: list[Message] = []
        """All that the server sent, in order."""
        self._numbers = itertools.count(1)
        self._came = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    # Sending

    def write(self, data: bytes) -> None:
        """Sends bytes as they are."""
        assert self.process.stdin
        self.process.stdin.write(data)

    def send(self, message: object) -> None:
        """Sends anything that JSON can say."""
        self.write(framed(json.dumps(message).encode()))

    def notify(self, method: str, params: object = None) -> None:
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def ask(self, method: str, params: object = None) -> str:
        """Sends a request; its id."""
        id = f"bare-{next(self._numbers)}"
        self.send({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
        return id

    async def request(self, method: str, params: object = None) -> Message:
        """The whole message that answers."""
        return await self.answer(self.ask(method, params))

    # Receiving

    async def answer(self, id: str) -> Message:
        return await self.until(lambda: next(iter(self.answers(id)), None))

    def answers(self, id: object) -> list[Message]:
        """Those that came for a request so far."""
        return [message for message in self.received if "method" not in message and message.get("id") == id]

    def told(self, method: str) -> list[Any]:
        """Parameters of the notifications and requests of this method that came so far."""
        return [message.get("params") for message in self.received if message.get("method") == method]

    async def until(self, found: Callable[[], T | None]) -> T:
        """What `found` gives, once it is something. Fails if the server ends before."""
        async with asyncio.timeout(PATIENCE_S):
            while not (something := found()):
                assert not self._reading.done(), "the server ended"
                self._came.clear()
                await self._came.wait()
            return something

    async def ended(self) -> int:
        """The exit code of a server that ends."""
        async with asyncio.timeout(PATIENCE_S):
            await self._reading
            return await self.process.wait()

    async def _read(self) -> None:
        assert self.process.stdout
        try:
            while (message := await read_message(self.process.stdout)) is not None:
                self.received.append(message)
                if "id" in message and "method" in message:
                    self.send({"jsonrpc": "2.0", "id": message["id"], "result": None})
                self._came.set()
        finally:
            self._came.set()

    # What most sessions do

    async def initialize(self, **params: object) -> Message:
        """The whole answer."""
        given = {"processId": None, "rootUri": None, "capabilities": {}, **params}
        answer = await self.request("initialize", given)
        self.notify("initialized", {})
        return answer

    async def ready(self) -> None:
        """Waits for the engine's model."""
        await self.until(lambda: any(status["phase"] == "ready" for status in self.told("midfill/status")))

    def open(self, uri: str, text: str, language: str = "python", version: int = 1) -> None:
        document = {"uri": uri, "languageId": language, "version": version, "text": text}
        self.notify("textDocument/didOpen", {"textDocument": document})

    def change(self, uri: str, version: int, *changes: object) -> None:
        document = {"uri": uri, "version": version}
        self.notify("textDocument/didChange", {"textDocument": document, "contentChanges": changes})

    def close(self, uri: str) -> None:
        self.notify("textDocument/didClose", {"textDocument": {"uri": uri}})

    async def suggestions(self, uri: str, line: int, character: int) -> list[str]:
        """The texts suggested at a place, where somebody asks for them."""
        answer = await self.request("textDocument/inlineCompletion", inline_completion(uri, line, character))
        return [item["insertText"] for item in answer["result"]["items"]]


def inline_completion(uri: str, line: int, character: int, kind: int = 1) -> Message:
    """Parameters of the request."""
    position = {"line": line, "character": character}
    return {"textDocument": {"uri": uri}, "position": position, "context": {"triggerKind": kind}}


def framed(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n\r\n%s" % (len(body), body)


async def read_message(stream: asyncio.StreamReader) -> Message | None:
    """The next message; None at the end."""
    length = 0
    while line := await stream.readline():
        if line.startswith(b"Content-Length:"):
            length = int(line.split(b":")[1])
        elif not line.strip():
            return json.loads(await stream.readexactly(length))
    return None


@asynccontextmanager
async def bare_client(
    env: dict[str, str], rules: Sequence[dict[str, Any]] | None = None, *, command: Sequence[str] = (MIDFILL, "lsp")
) -> AsyncIterator[BareClient]:
    """A server that starts or joins the engine of `env`: one with `rules`, or, with None, the real model.

    Its log is `lsp.log` in the home of `env`. It is killed in the end, if it still lives.
    """
    arguments: list[str] = []
    if rules is not None:
        script = Path(env["HOME"], "rules.json")
        script.write_text(json.dumps(rules), encoding="utf-8")
        arguments = ["--script", str(script)]
    pipe = asyncio.subprocess.PIPE
    with Path(env["HOME"], "lsp.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *command, *arguments, stdin=pipe, stdout=pipe, stderr=log, env=env, limit=1 << 26
        )
    client = BareClient(process)
    try:
        yield client
    finally:
        if process.returncode is None:
            process.kill()
        await client.ended()
        assert process.stdin
        process.stdin.close()
