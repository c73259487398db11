"""The language server's own time, with a scripted engine or the real one behind it: a JSON line a measurement.

Times are wall times on the machine at hand; run it when nothing else does.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parent))
from lsp_wire import MIDFILL, Wire

URI = "file:///bench/a.py"
INSTANT = [{"text": "suggested", "steps": 1, "prefill_steps": 0}]
WORDY = [{"text": "x" * 400, "steps": 1, "prefill_steps": 0}]
SLOW = [{"text": "suggested", "steps": 1000, "step_ms": 10}]
MIB = "".join(f"def function_{number}(argument):\n    return argument + {number}\n\n" for number in range(19_000))
NO_EXTRAS = {"speculate": False, "otherFiles": False, "debounceMs": 0, "statistics": False}


def report(name: str, times_ms: list[float], **facts: object) -> None:
    """Prints one line."""
    times_ms = sorted(times_ms)
    line = {
        "bench": name,
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "count": len(times_ms),
        "p50_ms": round(statistics.median(times_ms), 2),
        "p95_ms": round(times_ms[int(0.95 * (len(times_ms) - 1))], 2),
        **facts,
    }
    print(json.dumps(line), flush=True)


@asynccontextmanager
async def connected(rules: list[dict[str, Any]] | None, **settings: object) -> AsyncIterator[Wire]:
    """A server with an engine of its own: a scripted one, or, with None, the embedded model."""
    with tempfile.TemporaryDirectory(prefix="mf", dir="/tmp") as folder:
        env = {**os.environ, "MIDFILL_RUNTIME_DIR": f"{folder}/run", "XDG_STATE_HOME": folder}
        arguments: list[str] = []
        if rules is not None:
            script = Path(folder, "rules.json")
            script.write_text(json.dumps(rules), encoding="utf-8")
            arguments = ["--script", str(script)]
        try:
            async with Wire(arguments, env) as wire:
                await wire.initialize(initializationOptions=settings)
                await wire.until_ready()
                yield wire
        finally:
            subprocess.run([MIDFILL, "engine", "stop"], env=env, check=True, capture_output=True)


class Typist:
    """One document, typed into at the end of a line in its middle."""

    def __init__(self, wire: Wire, text: str) -> None:
        self.wire, self.version = wire, 1
        self.line, self.column = text[: len(text) // 2].count("\n"), 0
        document = {"uri": URI, "languageId": "python", "version": 1, "text": text}
        wire.notify("textDocument/didOpen", {"textDocument": document})

    def type(self, text: str) -> None:
        self.version += 1
        here = {"line": self.line, "character": self.column}
        change = {"range": {"start": here, "end": here}, "text": text}
        document = {"uri": URI, "version": self.version}
        self.wire.notify("textDocument/didChange", {"textDocument": document, "contentChanges": [change]})
        self.column += len(text)

    def params(self, kind: int) -> dict[str, Any]:
        position = {"line": self.line, "character": self.column}
        return {"textDocument": {"uri": URI}, "position": position, "context": {"triggerKind": kind}}

    async def ask(self, kind: int = 2) -> list[dict[str, Any]]:
        answer = await self.wire.request("textDocument/inlineCompletion", self.params(kind))
        return answer["items"]


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    await work()
    return (time.perf_counter() - started) * 1e3


async def startup() -> None:
    """From the start of the process to the answer to `initialize`; the process must not load torch."""
    times = []
    with tempfile.TemporaryDirectory(prefix="mf", dir="/tmp") as folder:
        env = {**os.environ, "MIDFILL_RUNTIME_DIR": f"{folder}/run", "XDG_STATE_HOME": folder}
        for _ in range(10):
            started = time.perf_counter()
            async with Wire([], env) as wire:
                await wire.request("initialize", {"processId": None, "rootUri": None, "capabilities": {}})
                times.append((time.perf_counter() - started) * 1e3)
                maps = Path(f"/proc/{wire.process.pid}/maps").read_text(encoding="utf-8")
    report("initialize", times, torch_loaded="torch" in maps)


async def overhead() -> None:
    """didChange and inlineCompletion on a 1 MiB file, the engine's part too: a fill of one instant step."""
    async with connected(INSTANT, **NO_EXTRAS) as wire:
        typist = Typist(wire, MIB)
        times = []
        for number in range(300):
            typist.type("+ " if number % 2 else "a ")
            times.append(await timed(lambda: typist.ask(1)))
        report("overhead_1mib", times, file_bytes=len(MIB))


async def type_through() -> None:
    """A key that agrees with what is shown, in a 1 MiB file: answered from memory."""
    async with connected(WORDY, **NO_EXTRAS) as wire:
        typist = Typist(wire, MIB)
        await typist.ask(1)
        times = []
        for _ in range(300):
            typist.type("x")
            times.append(await timed(typist.ask))
        report("type_through_1mib", times)


async def cancelling() -> None:
    """From $/cancelRequest to the answer, while the engine is at work in steps of 10 ms."""
    async with connected(SLOW, **NO_EXTRAS) as wire:
        typist = Typist(wire, "\n")
        times = []
        for _ in range(50):
            typist.type("y ")
            number, answer = wire.send("textDocument/inlineCompletion", typist.params(1))
            await asyncio.wait([answer], timeout=0.05)  # it is running by then
            wire.notify("$/cancelRequest", {"id": number})
            started = time.perf_counter()
            assert (await answer)["error"]["code"] == -32800
            times.append((time.perf_counter() - started) * 1e3)
        report("cancel", times)


async def ghost_text(source: Path) -> None:
    """Keystroke to ghost text with the embedded model: keys typed at 5 a second, each asked about."""
    async with connected(None) as wire:
        text = source.read_text(encoding="utf-8")
        typist = Typist(wire, text)
        await typist.ask(1)
        times, num_shown = [], 0
        for letter in "def total(values):":
            typist.type(letter)
            started = time.perf_counter()
            num_shown += bool(await typist.ask(1))
            times.append((time.perf_counter() - started) * 1e3)
        report("ghost_text_nano", times, shown=num_shown, **_memory(wire))


def _memory(wire: Wire) -> dict[str, int]:
    server = psutil.Process(wire.process.pid)
    engines = [
        one for one in psutil.process_iter(["cmdline"]) if "midfill.engine.worker" in (one.info["cmdline"] or [])
    ]
    return {
        "server_rss_bytes": server.memory_info().rss,
        "engine_rss_bytes": max((engine.memory_info().rss for engine in engines), default=0),
    }


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, default=Path(argparse.__file__), help="a file to type into")
    arguments = parser.parse_args()
    await startup()
    await overhead()
    await type_through()
    await cancelling()
    await ghost_text(arguments.source)


if __name__ == "__main__":
    asyncio.run(main())
