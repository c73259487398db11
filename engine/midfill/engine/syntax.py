"""Whether a fill breaks the syntax around it: how many errors tree-sitter finds with it that need not be there."""

import logging
from collections.abc import Callable, Sequence
from time import thread_time
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from tree_sitter import Node, Parser, Tree

from midfill.engine.common_prefix import common_prefix

log = logging.getLogger(__name__)

Parse = Callable[[bytes, "Tree | None"], "Tree"]
"""Of a text, beside the tree that it had before an edit, where there was one."""

GRAMMARS = {
    "c": "c",
    "cpp": "cpp",
    "csharp": "csharp",
    "css": "css",
    "dart": "dart",
    "go": "go",
    "html": "html",
    "java": "java",
    "javascript": "javascript",
    "javascriptreact": "javascript",
    "json": "json",
    "jsonc": "json",
    "kotlin": "kotlin",
    "lua": "lua",
    "php": "php",
    "python": "python",
    "ruby": "ruby",
    "rust": "rust",
    "scala": "scala",
    "scss": "scss",
    "shellscript": "bash",
    "swift": "swift",
    "toml": "toml",
    "typescript": "typescript",
    "typescriptreact": "tsx",
    "yaml": "yaml",
}
"""Name in tree-sitter-language-pack by LSP language identifier. Markdown has no syntax errors."""


class Window(NamedTuple):
    """How much of the text around a gap is parsed, in whole lines."""

    before: int
    """Characters."""
    after: int


NEAR = Window(3000, 1500)
"""Where errors are counted. Of Python, parsing so much takes 0.8 ms, and with a fill again 0.3 (two busy cores).

The edges cut brackets and strings in two; such errors are there with every fill, and so count for none.
"""
WIDE = Window(49_152, 12_288)
"""Where there may be no error at all: as much as the language server sends. To find the ways out of one takes long."""

LONGEST_S = 0.03
"""Of processor time. Some broken text takes a parser seconds: it looks for the best of many ways to mend it.

Where a slow machine gives up, a seed may choose another fill than on a fast one.
"""


class Parsed(NamedTuple):
    """A text, and its tree; None if that took too long."""

    text: bytes
    tree: "Tree | None"


class Shared(NamedTuple):
    """How many bytes two texts begin and end with alike."""

    start: int
    end: int

    @classmethod
    def of(cls, one: bytes, two: bytes) -> Self | None:
        """None if they have less than half of the second in common. Pure."""
        start = common_prefix(one, two)
        end = common_prefix(one[start:][::-1], two[start:][::-1])
        return cls(start, end) if 2 * (start + end) >= len(two) else None

    def edited(self, tree: "Tree", old: bytes, new: bytes) -> "Tree":
        """A copy of the tree of `old` that knows where `new` is another text."""
        old_end, new_end = len(old) - self.end, len(new) - self.end
        place, copy = _moved((0, 0), new[: self.start]), tree.copy()
        ends = _moved(place, old[self.start : old_end]), _moved(place, new[self.start : new_end])
        copy.edit(self.start, old_end, new_end, place, *ends)
        return copy


class SyntaxCheck:
    """The grammars that were needed so far. The first fill in a language waits for its own to be loaded."""

    def __init__(self) -> None:
        self._parsers: dict[str, Parser | None] = {}
        self._latest: dict[str, Parsed] = {}
        """The last text with a likely fill, by language: the next one is mostly nearly the same."""

    def added_errors(
        self,
        language: str | None,
        prefix: str,
        suffix: str,
        fills: Sequence[str],
        first_suffices: bool = False,
    ) -> list[int]:
        """Errors of the text with each fill, beyond the fewest that it has with any of them or with none.

        Never below 0. The text without a fill is no measure alone: `x = ` is broken, and no worse with `= 3` behind it.
        Of gaps in JSON files, a line of elsewhere is found out so in 52 of 60, and in 24 if only what was there counts;
        what had stood there in none. All 0 for a language without a grammar, and where it takes too long; and if the
        `first_suffices`, where the text has none at all with the first, which nothing can be better than.
        """
        parser = self._parser(language)
        if parser is None or language is None or not fills:
            return [0] * len(fills)
        if first_suffices and self._is_clean(parser, language, fills[0].join(_within(WIDE, prefix, suffix))):
            return [0] * len(fills)
        try:
            found = _errors(_in_time(parser), *_within(NEAR, prefix, suffix), fills)
        except ValueError:
            parser.reset()  # or it would go on with this text
            log.debug("syntax not checked: parsing took too long")
            return [0] * len(fills)
        return [errors - min(found) for errors in found[1:]]

    def _is_clean(self, parser: "Parser", language: str, text: str) -> bool:
        """Whether `text` has no errors. It is parsed from the last one on; where that took too long, not again."""
        encoded, latest, edited = text.encode(), self._latest.get(language), None
        if latest is not None and (shared := Shared.of(latest.text, encoded)) is not None:
            if latest.tree is None:
                return False
            edited = shared.edited(latest.tree, latest.text, encoded)
        try:
            tree = _in_time(parser)(encoded, edited)
        except ValueError:
            parser.reset()
            tree = None
        self._latest[language] = Parsed(encoded, tree)
        return tree is not None and not tree.root_node.has_error

    def _parser(self, language: str | None) -> "Parser | None":
        if (grammar := GRAMMARS.get(language or "")) is None:
            return None
        if grammar not in self._parsers:
            self._parsers[grammar] = _load(grammar)
        return self._parsers[grammar]


def _load(grammar: str) -> "Parser | None":
    try:
        # Here: it takes 40 ms, which no engine needs for its start.
        from tree_sitter import Language, Parser
        from tree_sitter_language_pack import get_binding

        return Parser(Language(get_binding(grammar)))  # pyright: ignore[reportArgumentType] (the pack lists its names)
    except (ImportError, LookupError, OSError, ValueError) as error:
        log.warning("syntax of %s is not checked: %s", grammar, error)
        return None


def _within(window: Window, prefix: str, suffix: str) -> tuple[str, str]:
    """What of the text around a gap is parsed. Pure."""
    if len(prefix) > window.before:
        prefix = prefix[-window.before :]
        prefix = prefix[prefix.find("\n") + 1 :]
    if len(suffix) > window.after:
        suffix = suffix[: window.after]
        suffix = suffix[: suffix.rfind("\n") + 1] or suffix
    return prefix, suffix


def _in_time(parser: "Parser") -> Parse:
    """Parses as often as is wanted. Raises `ValueError` once that has taken `LONGEST_S`."""
    end = thread_time() + LONGEST_S

    def is_over(offset: int, has_error: bool) -> bool:
        return thread_time() > end

    def parse(text: bytes, old: "Tree | None") -> "Tree":
        def ahead(offset: int, place: object) -> bytes:
            return text[offset:]

        if old is None:
            return parser.parse(ahead, progress_callback=is_over)
        return parser.parse(ahead, old, progress_callback=is_over)

    return parse


def _errors(parse: Parse, prefix: str, suffix: str, fills: Sequence[str]) -> list[int]:
    """Of the text without a fill, then with each of them: parsed once, and again where an edit of it says so."""
    before, after = prefix.encode(), suffix.encode()
    bare = parse(before + after, None)
    found = [_count(bare.root_node)]
    start, place = len(before), _moved((0, 0), before)
    for fill in fills:
        added, tree = fill.encode(), bare.copy()
        tree.edit(start, start, start + len(added), place, place, _moved(place, added))
        found.append(_count(parse(before + added + after, tree).root_node))
    return found


def _moved(place: tuple[int, int], text: bytes) -> tuple[int, int]:
    """The row and column, in bytes, behind `text` at `place`."""
    row, column = place
    above, line_break, line = text.rpartition(b"\n")
    return (row + above.count(b"\n") + 1, len(line)) if line_break else (row, column + len(line))


def _count(root: "Node") -> int:
    """Nodes of what was not understood, and of what was missing."""
    count, left = 0, [root]
    while left:
        node = left.pop()
        if node.has_error:
            count += node.is_error or node.is_missing
            left += node.children
    return count
