"""What the other open files have to say at the cursor: their pieces whose identifiers are those around it."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

from midfill.engine.wire import Snippet
from midfill.server.ignored import Ignored

MAX_DOCUMENTS = 16
"""Those edited last; all others are forgotten."""
MAX_READ_LINES = 800
"""Of one document, around where it was edited last."""
MIN_CHUNK_LINES = 16
MAX_CHUNK_LINES = 48
MAX_LINE_CHARS = 300
"""Longer lines are data or minified, and say little for their length."""
MIN_SIMILARITY = 0.05
SAME_PLACE = 0.5
"""The cursor is where it was, while what surrounds it is as similar as this to what did."""
REPEATED = 0.5
"""A chunk more of whose lines than this are in the prompt already makes the model repeat itself."""

WORD = re.compile(r"[^\W\d]\w\w+")
KEYWORDS = frozenset(
    WORD.findall("""
    abstract and any async await bool boolean break case catch char class const constexpr continue def default
    defer del delete dict double elif else end enum except export extends extern false False final finally float
    for foreach from func function global goto have impl implements import include int interface internal lambda
    let list local long loop match mod module mut namespace new nil none None nonlocal not null number object
    package pass private protected pub public raise readonly ref return self Self set short signed sizeof static
    std str string String struct super switch template that the then this throw throws trait true True try tuple
    type typedef typename typeof undefined union unknown unsafe unsigned until use using var virtual void
    volatile when where while with yield
    """)
)


class Chunk(NamedTuple):
    """Some lines of a document that stand together."""

    text: str
    words: frozenset[str]
    lines: frozenset[str]
    """Without indentation, blank ones left out."""


class Choice(NamedTuple):
    """What was answered, and what that depended on."""

    words: frozenset[str]
    seen: int
    """The last change of another document."""
    budget_chars: int
    snippets: tuple[Snippet, ...]


class Neighbour:
    """A document as it was told last."""

    def __init__(self, path: Path, lines: Sequence[str], line: int, changed: int) -> None:
        self.path, self.changed = path, changed
        self._lines, self._line = lines, line
        self._chunks: list[Chunk] | None = None

    def read(self) -> list[Chunk]:
        """Its pieces: 2 ms for `MAX_READ_LINES` the first time."""
        if self._chunks is None:
            start = max(self._line - MAX_READ_LINES // 2, 0)
            self._chunks = list(chunks(self._lines[start : start + MAX_READ_LINES]))
        return self._chunks


class Neighbours:
    """The documents of one workspace. What `ignored` says is ignored is never shown."""

    def __init__(self, ignored: Ignored) -> None:
        self._ignored = ignored
        self._documents: dict[str, Neighbour] = {}  # the one that changed last at the end
        self._choices: dict[str, Choice] = {}
        self._changes = count(1)
        self._forgotten = 0

    def update(self, uri: str, path: Path | None, lines: Sequence[str], line: int = 0) -> None:
        """Takes note of a document that was opened or changed, at `line`. It keeps `lines`, and reads them later.

        A new one is read at once: with a key waiting for a fill, it would be all that were opened since the last.
        """
        is_new = self._documents.pop(uri, None) is None
        if path is not None:
            self._documents[uri] = Neighbour(path, lines, line, next(self._changes))
            if is_new:
                self._documents[uri].read()
        if len(self._documents) > MAX_DOCUMENTS:
            self.forget(next(iter(self._documents)))

    def forget(self, uri: str) -> None:
        """Lets go of a document. One that was closed may stay: it was read or written lately."""
        self._documents.pop(uri, None)
        self._choices.pop(uri, None)
        self._forgotten = next(self._changes)

    def snippets(self, uri: str, before: str, after: str, budget_chars: int) -> tuple[Snippet, ...]:
        """Pieces of the other documents that fit what is around the cursor in `uri`, the most helpful last.

        They stay the same, and so the prompt that starts with them stays cached, until the cursor goes to another
        place or another document changes.
        """
        around = words(before + after)
        changes = (document.changed for name, document in self._documents.items() if name != uri)
        seen = max(changes, default=0)
        seen = max(seen, self._forgotten)
        choice = self._choices.get(uri)
        if (
            choice is None
            or (choice.seen, choice.budget_chars) != (seen, budget_chars)
            or similarity(choice.words, around) < SAME_PLACE
        ):
            chosen = choose(self._candidates(uri), around, distinct_lines((before + after).split("\n")), budget_chars)
            choice = self._choices[uri] = Choice(around, seen, budget_chars, chosen)
            if len(self._choices) > MAX_DOCUMENTS:  # those of documents in no file are not forgotten with them
                del self._choices[next(iter(self._choices))]
        return choice.snippets

    def _candidates(self, uri: str) -> Iterator[tuple[str, Chunk]]:
        """Path and chunk, of the documents that may be shown, the one that changed last first."""
        here = self._documents.get(uri)
        for name, document in reversed(self._documents.items()):
            path = self._path_in_workspace(document.path, here)
            if name != uri and path is not None and self._ignored.reason(document.path) is None:
                for chunk in document.read():
                    yield path, chunk

    def _path_in_workspace(self, path: Path, here: Neighbour | None) -> str | None:
        """None outside. Where there is no workspace, files of the same folder belong together."""
        for root in self._ignored.roots:
            if path.is_relative_to(root):
                return path.relative_to(root).as_posix()
        is_beside = not self._ignored.roots and here is not None and here.path.parent == path.parent
        return path.name if is_beside else None


def choose(
    candidates: Iterable[tuple[str, Chunk]], around: frozenset[str], present: frozenset[str], budget_chars: int
) -> tuple[Snippet, ...]:
    """The candidates most similar to the words around, as many as the budget holds, the most similar last. Pure.

    Left out are those that nearly repeat lines that are present, or one another.
    """
    scored = [(similarity(chunk.words, around), path, chunk) for path, chunk in candidates]
    ranked = sorted((entry for entry in scored if entry[0] >= MIN_SIMILARITY), key=lambda entry: -entry[0])
    chosen: list[Snippet] = []
    for _, path, chunk in ranked:
        num_chars = len(path) + len(chunk.text)
        if num_chars <= budget_chars and len(chunk.lines & present) <= REPEATED * len(chunk.lines):
            chosen.append(Snippet(path=path, text=chunk.text))
            present |= chunk.lines
            budget_chars -= num_chars
    return tuple(reversed(chosen))


def chunks(lines: Iterable[str]) -> Iterator[Chunk]:
    """The document in pieces, which start at paragraphs without indentation where there are any. Pure."""
    piece: list[str] = []
    for line in (line.rstrip() for line in lines if len(line) <= MAX_LINE_CHARS):
        begins = bool(line) and not line[0].isspace() and (not piece or not piece[-1])
        if len(piece) >= MAX_CHUNK_LINES or (begins and len(piece) >= MIN_CHUNK_LINES):
            yield from _chunk(piece)
            piece = []
        piece.append(line)
    yield from _chunk(piece)


def _chunk(piece: Sequence[str]) -> Iterator[Chunk]:
    text = "\n".join(piece).strip("\n")
    if found := words(text):
        yield Chunk(text + "\n", found, distinct_lines(piece))


def words(text: str) -> frozenset[str]:
    """The identifiers in a text, and the words of its comments. Pure."""
    return frozenset(WORD.findall(text)) - KEYWORDS


def distinct_lines(lines: Iterable[str]) -> frozenset[str]:
    """The lines without what is around them, blank ones left out. Pure."""
    return frozenset(line.strip() for line in lines) - {""}


def similarity(some: frozenset[str], others: frozenset[str]) -> float:
    """Dice's coefficient: 0 for nothing in common, 1 for the same; 1 for two empty sets. Pure."""
    size = len(some) + len(others)
    return 2 * len(some & others) / size if size else 1.0
