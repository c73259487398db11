"""Somebody's typing, keystroke by keystroke, sent to a language server by an editor that asks after each edit."""

import asyncio
import json
import sys
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import psutil
from tests.server.bare_client import BareClient, Message, bare_client, inline_completion
from tests.server.editor import engine_status

TELLING_SERVER = (sys.executable, str(Path(__file__).with_name("telling_server.py")))
BURST_MS = 100.0
"""A key that follows the last one so soon is not held back until that one's suggestion is there."""


class Edit(NamedTuple):
    """What an editor sends at once."""

    at_ms: float
    changes: list[Message]
    """LSP's contentChanges, with ranges in UTF-16 units."""
    cursor: tuple[int, int] | None = None
    """Where it is afterwards, if that is not behind the last change: inside a pair of brackets, say."""


class Trace(NamedTuple):
    """A document's life."""

    language: str
    start: str
    edits: list[Edit]


@dataclass
class Report:
    """What was seen of a replay."""

    edits: int = 0
    suggested: int = 0
    overtaken: int = 0
    """Questions that were out of date before they were answered."""
    mismatches: int = 0
    """Times that the server's text was not the editor's."""
    text: str = ""
    """The server's, at the end."""
    stale: list[str] = field(default_factory=list)
    """Suggestions that did not belong where they were asked for, or came after newer ones."""
    times_ms: list[float] = field(default_factory=list)
    """From an edit to the answer."""
    cached_share: float = 0.0
    prompt_tokens: int = 0
    fills: int = 0
    """Of the engine: what was typed along with a suggestion needs none."""
    engine_rss: list[int] = field(default_factory=list)
    """Bytes, after each part of the replay."""
    server_rss: list[int] = field(default_factory=list)


def read_trace(path: Path) -> Trace:
    """A trace in JSON lines: the document, then each edit with its time, `[line, character, line, character]`, text."""
    first, *rest = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return Trace(first["language"], first["text"], [_edit(line) for line in rest])


def _edit(line: dict[str, Any]) -> Edit:
    start_line, start, end_line, end = line["range"]
    span = {"start": {"line": start_line, "character": start}, "end": {"line": end_line, "character": end}}
    cursor = line.get("cursor")
    return Edit(line["at_ms"], [{"range": span, "text": line["text"]}], (cursor[0], cursor[1]) if cursor else None)


class Text:
    """The editor's text in UTF-16 units, each a character of a string. Nothing that the server does with it is used."""

    def __init__(self, text: str) -> None:
        self._units = _units(text)

    def __str__(self) -> str:
        return self._units.encode("utf-16-le", "surrogatepass").decode("utf-16-le")

    def apply(self, edit: Edit) -> tuple[int, int]:
        """Makes the edit; where the cursor is then."""
        end = 0
        for change in edit.changes:
            start, stop = (self._offset(**change["range"][side]) for side in ("start", "end"))
            new = _units(change["text"])
            self._units = self._units[:start] + new + self._units[stop:]
            end = start + len(new)
        before = self._units[:end]
        return edit.cursor or (before.count("\n"), len(before.rpartition("\n")[2]))

    def between(self, line: int, start: int, end: int) -> str:
        """A part of a line."""
        offset = self._offset(line, 0)
        return self._units[offset + start : offset + end]

    def _offset(self, line: int, character: int) -> int:
        offset = 0
        for _ in range(line):
            offset = self._units.index("\n", offset) + 1
        return offset + character


def _units(text: str) -> str:
    return "".join(map(chr, array("H", text.encode("utf-16-le", "surrogatepass"))))


class Replay:
    """A trace that is being replayed in an open document."""

    def __init__(self, client: BareClient, env: dict[str, str], trace: Trace, uri: str, kind: int) -> None:
        self._client, self._env, self._trace, self._uri, self._kind = client, env, trace, uri, kind
        self._text = Text(trace.start)
        self._answered = 0
        self.report = Report()

    async def run(self, parts: int = 2) -> Report:
        """Replays it in so many parts, and looks at texts and memory after each."""
        self._client.open(self._uri, self._trace.start, self._trace.language)
        await self._client.ready()
        edits = list(enumerate(self._trace.edits, 1))
        size = -(-len(edits) // parts)
        for start in range(0, len(edits), size):
            await self._part(edits[start : start + size])
            await self._look()
        return self.report

    async def _part(self, edits: Sequence[tuple[int, Edit]]) -> None:
        asked: set[asyncio.Task[None]] = set()
        for number, edit in edits:
            if asked and edit.at_ms - self._trace.edits[number - 2].at_ms >= BURST_MS:
                await asyncio.wait(asked)
            asked.add(asyncio.create_task(self._edit(number, edit)))
            await asyncio.sleep(0)  # it is sent
            asked = {task for task in asked if not task.done()}
        await asyncio.gather(*asked)

    async def _edit(self, number: int, edit: Edit) -> None:
        """Makes an edit and asks what comes next."""
        line, character = self._text.apply(edit)
        before = self._text.between(line, 0, character)
        started = time.perf_counter()
        self._client.change(self._uri, number + 1, *edit.changes)
        params = inline_completion(self._uri, line, character, self._kind)
        answer = await self._client.request("textDocument/inlineCompletion", params)
        self.report.times_ms.append((time.perf_counter() - started) * 1e3)
        self.report.edits += 1
        self._judge(number, answer["result"], line, before)

    def _judge(self, number: int, result: Message | None, line: int, before: str) -> None:
        """Whether the answer belongs to the text as it was when it was asked for."""
        self.report.overtaken += result is None
        items = [] if result is None else result["items"]
        self.report.suggested += bool(items)
        for item in items:
            start, end = item["range"]["start"], item["range"]["end"]
            fits = start["line"] == end["line"] == line and start["character"] <= len(before) <= end["character"]
            if not fits or not _units(item["insertText"]).startswith(before[start["character"] :]):
                self.report.stale.append(f"edit {number}: at {start} to {end}, but the cursor is in line {line}")
            if number < self._answered:
                self.report.stale.append(f"edit {number}: came after that of edit {self._answered}")
        self._answered = max(number, self._answered)

    async def _look(self) -> None:
        """Compares the texts, and notes how large the processes are."""
        answer = await self._client.request("test/text", {"uri": self._uri})
        self.report.text = answer["result"]
        self.report.mismatches += self.report.text != str(self._text)
        status = await engine_status(self._env)
        self.report.cached_share, self.report.fills = status.cached_share or 0.0, status.answered
        self.report.prompt_tokens = status.prompt_tokens
        self.report.engine_rss.append(status.resident_bytes)
        self.report.server_rss.append(psutil.Process(self._client.process.pid).memory_info().rss)


async def replay(
    env: dict[str, str],
    trace: Trace,
    rules: Sequence[dict[str, Any]] | None = None,
    *,
    kind: int = 1,
    parts: int = 2,
    **settings: object,
) -> Report:
    """Replays a trace with a server and an engine of its own: one with `rules`, or, with None, the embedded model.

    Each edit waits for the suggestion of the one before, but those that were typed too fast for that.
    """
    async with bare_client(env, rules, command=TELLING_SERVER) as client:
        await client.initialize(initializationOptions=settings)
        return await Replay(client, env, trace, "file:///replay/trace", kind).run(parts)
