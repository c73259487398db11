"""The text of one open file, kept as lines, and where the client's positions stand in it.

An edit costs its own lines and one splice of the list; nothing here walks the whole file for a keystroke.
Lines end as LSP says, with \\n, \\r\\n or \\r, and with nothing else. Places and offsets are code points.
"""

import logging
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from lsprotocol.types import Position, TextDocumentContentChangeEvent, TextDocumentContentChangePartial

log = logging.getLogger(__name__)

Encoding = Literal["utf-8", "utf-16", "utf-32"]

PREFIX_CHARS = 49_152
SUFFIX_CHARS = 12_288
PREFIX_STEP_CHARS = 16_384

_LINE = re.compile(r"[^\r\n]*+(?:\r\n?|\n)|[^\r\n]++")
_CODECS = {"utf-8": ("utf-8", 1), "utf-16": ("utf-16-le", 2), "utf-32": ("utf-32-le", 4)}


class Place(NamedTuple):
    """A place between two characters; the column counts code points."""

    line: int
    column: int


class Window(NamedTuple):
    """What the engine is sent of the text on either side of a gap."""

    prefix: str
    suffix: str


class Document:
    """One open file, equal to the client's text. `lines` carry their ends; the last one has none and may be empty.

    A lone surrogate, which no encoding can send on, is kept as U+FFFD: it is as long in each of the client's units.
    """

    def __init__(self, uri: str, language: str, version: int, text: str, encoding: Encoding) -> None:
        self.uri = uri
        self.language = _without_surrogates(language)
        self.version = version
        self.lines: list[str] = []
        self.num_bytes = 0
        """Of the file, in UTF-8."""
        self._codec, self._unit_bytes = _CODECS[encoding]
        self._mark = (0, 0)  # a line and its offset, left where the last edit or question was: the next is near it
        self._load(text)

    def apply(self, changes: Sequence[TextDocumentContentChangeEvent], version: int) -> bool:
        """Make the client's changes, in order. False where `version` is not newer than the last one.

        They are made even then: messages arrive in the order in which they were sent, so a number that does not grow
        is the client's miscount, and leaving its edit out would part the texts for good.
        """
        newer = version > self.version
        if not newer:
            log.debug("version %d after %d: %s", version, self.version, self.uri)
        for change in changes:
            if isinstance(change, TextDocumentContentChangePartial):
                start = self.place(change.range.start)
                end = start if change.range.end == change.range.start else self.place(change.range.end)
                self._replace(min(start, end), max(start, end), _without_surrogates(change.text))
            else:
                self._load(change.text)
        self.version = version
        return newer

    @property
    def eol(self) -> str:
        """How the first line ends."""
        return "\r\n" if self.lines[0].endswith("\r\n") else "\n"

    @property
    def end(self) -> Place:
        """Behind the last character."""
        return Place(len(self.lines) - 1, len(self.lines[-1]))

    def place(self, position: Position) -> Place:
        """Past a line's end: before its line break. Past the file: its end. Inside a character: before it."""
        if position.line >= len(self.lines):
            return self.end
        line = self.lines[position.line]
        return Place(position.line, min(self._column(line, position.character), _width(line)))

    def position(self, place: Place) -> Position:
        """The place in the client's units."""
        line = self.lines[place.line]
        if line.isascii():
            return Position(place.line, place.column)
        return Position(place.line, len(line[: place.column].encode(self._codec)) // self._unit_bytes)

    def offset(self, place: Place) -> int:
        """Characters before the place."""
        return self._start_of(place.line) + place.column

    def place_at(self, offset: int) -> Place:
        """The place behind so many characters; between \\r and \\n, before both."""
        line, start = self._mark
        while line and offset < start:
            line -= 1
            start -= len(self.lines[line])
        while line < len(self.lines) - 1 and offset >= start + len(self.lines[line]):
            start += len(self.lines[line])
            line += 1
        self._mark = (line, start)
        return Place(line, max(0, min(offset - start, _width(self.lines[line]))))

    def text(self) -> str:
        """All of it."""
        return "".join(self.lines)

    def between(self, start: Place, end: Place) -> str:
        """The text from `start` to `end`, which does not lie before it."""
        if start.line == end.line:
            return self.lines[start.line][start.column : end.column]
        middle = self.lines[start.line + 1 : end.line]
        return "".join((self.lines[start.line][start.column :], *middle, self.lines[end.line][: end.column]))

    def before(self, place: Place, chars: int) -> str:
        """The last `chars` characters before the place, or all there are."""
        parts: list[str] = []
        line, column = place
        while chars > 0:
            parts.append(self.lines[line][max(0, column - chars) : column])
            chars -= len(parts[-1])
            if line == 0:
                break
            line -= 1
            column = len(self.lines[line])
        return "".join(reversed(parts))

    def after(self, place: Place, chars: int) -> str:
        """The first `chars` characters behind the place, or all there are."""
        parts: list[str] = []
        line, column = place
        while chars > 0 and line < len(self.lines):
            parts.append(self.lines[line][column : column + chars])
            chars -= len(parts[-1])
            line, column = line + 1, 0
        return "".join(parts)

    def window(self, start: Place, end: Place | None = None) -> Window:
        """The text around the gap from `start` to `end`, or at `start`.

        The prefix starts at a multiple of PREFIX_STEP_CHARS, so that what is typed leaves its start where it was:
        a prompt that starts elsewhere shares nothing with what the engine has in its cache.
        """
        offset = self.offset(start)
        steps = -(-max(0, offset - PREFIX_CHARS) // PREFIX_STEP_CHARS)
        return Window(self.before(start, offset - steps * PREFIX_STEP_CHARS), self.after(end or start, SUFFIX_CHARS))

    def _load(self, text: str) -> None:
        text = _without_surrogates(text)
        self.lines = _split(text)
        self.num_bytes = _num_bytes(text)
        self._mark = (0, 0)

    def _replace(self, start: Place, end: Place, text: str) -> None:
        first, behind = start.line, end.line + 1
        head, tail = self.lines[first][: start.column], self.lines[end.line][end.column :]
        if not head and first and self.lines[first - 1].endswith("\r") and (text or tail).startswith("\n"):
            first -= 1  # a \r that stood alone becomes \r\n
            head = self.lines[first]
        self._start_of(first)  # leaves the mark where the edit does not move it
        new = _split(text)
        if text.endswith("\r") and tail == "\n":
            new.pop()
        new[0] = head + new[0]
        new[-1] += tail
        self.num_bytes += sum(map(_num_bytes, new)) - sum(map(_num_bytes, self.lines[first:behind]))
        self.lines[first:behind] = new

    def _start_of(self, line: int) -> int:
        marked, offset = self._mark
        if line >= marked:
            offset += sum(map(len, self.lines[marked:line]))
        else:
            offset -= sum(map(len, self.lines[line:marked]))
        self._mark = (line, offset)
        return offset

    def _column(self, line: str, units: int) -> int:
        if line.isascii():
            return units
        head = line[:units].encode(self._codec)[: units * self._unit_bytes]
        return len(head.decode(self._codec, "ignore"))  # ignores the first part of a character that it cut in two


def _split(text: str) -> list[str]:
    if text.count("\r") == text.count("\r\n"):  # 10 times as fast as the expression, and nearly every file
        *lines, last = text.split("\n")
        return [line + "\n" for line in lines] + [last]
    lines = _LINE.findall(text)
    if not lines or lines[-1].endswith(("\r", "\n")):
        lines.append("")
    return lines


def _width(line: str) -> int:
    return len(line) - (2 if line.endswith("\r\n") else line.endswith(("\r", "\n")))


def _num_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _without_surrogates(text: str) -> str:
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
