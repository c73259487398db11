"""A bare LSP client for timings: it costs nothing itself, and its requests are sent when the caller says so."""

import asyncio
import json
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

MIDFILL = str(Path(sys.executable).with_name("midfill"))


class Wire:
    """A `midfill lsp` process and the JSON-RPC messages to and from it."""

    def __init__(self, arguments: list[str], env: dict[str, str]) -> None:
        self._arguments, self._env = arguments, env
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._next = 0
        self.statuses: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def __aenter__(self) -> "Wire":
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(
            MIDFILL, "lsp", *self._arguments, stdin=pipe, stdout=pipe, env=self._env, limit=1 << 24
        )
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.request("shutdown", None)
        self.notify("exit", None)
        await self.process.wait()
        await self._reading

    async def initialize(self, **params: Any) -> dict[str, Any]:
        answer = await self.request("initialize", {"processId": None, "rootUri": None, "capabilities": {}, **params})
        self.notify("initialized", {})
        return answer

    async def until_ready(self) -> None:
        """Waits for the engine's model."""
        while (await self.statuses.get())["phase"] != "ready":
            pass

    def notify(self, method: str, params: Any) -> None:
        self._send({"method": method, "params": params})

    def send(self, method: str, params: Any) -> tuple[int, "asyncio.Future[dict[str, Any]]"]:
        """Sends a request; its id, and the whole message that will answer it."""
        self._next += 1
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[self._next] = answer
        self._send({"id": self._next, "method": method, "params": params})
        return self._next, answer

    async def request(self, method: str, params: Any) -> Any:
        _, answer = self.send(method, params)
        message = await answer
        assert "error" not in message, message
        return message["result"]

    def _send(self, message: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))

    async def _read(self) -> None:
        stdout = self.process.stdout
        assert stdout is not None
        while header := await stdout.readline():
            length = int(header.split(b":")[1])
            while (await stdout.readline()).strip():
                pass
            message = json.loads(await stdout.readexactly(length))
            if "method" not in message:
                self._answers.pop(message["id"]).set_result(message)
            elif message["method"] == "midfill/status":
                self.statuses.put_nowait(message["params"])
            elif "id" in message:
                self._send({"id": message["id"], "result": None})
