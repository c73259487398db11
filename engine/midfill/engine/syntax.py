"""Whether a fill breaks the syntax around it: how many errors tree-sitter finds with it that need not be there."""

import logging
from collections.abc import Callable, Sequence
from time import thread_time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tree_sitter import Node, Parser, Tree

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
BEFORE_CHARS, AFTER_CHARS = 3000, 1500
"""Around the gap, in whole lines. Of Python, parsing so much takes 0.8 ms, and with a fill again 0.3 (two busy cores).

The edges cut brackets and strings in two; such errors are there with every fill, and so count for none.
"""

LONGEST_S = 0.03
"""Of processor time. Some broken text takes a parser seconds: it looks for the best of many ways to mend it.

Where a slow machine gives up, a seed may choose another fill than on a fast one.
"""


class SyntaxCheck:
    """The grammars that were needed so far. The first fill in a language waits for its own to be loaded."""

    def __init__(self) -> None:
        self._parsers: dict[str, Parser | None] = {}

    def added_errors(self, language: str | None, prefix: str, suffix: str, fills: Sequence[str]) -> list[int]:
        """Errors of the text with each fill, beyond the fewest that it has with any of them or with none.

        Never below 0. The text without a fill is no measure alone: `x = ` is broken, and no worse with `= 3` behind it.
        Of gaps in JSON files, a line of elsewhere is found out so in 52 of 60, and in 24 if only what was there counts;
        what had stood there in none. All 0 for a language without a grammar, and where it takes too long.
        """
        parser = self._parser(language)
        if parser is None or not fills:
            return [0] * len(fills)
        try:
            found = _errors(_in_time(parser), *_window(prefix, suffix), fills)
        except ValueError:
            parser.reset()  # or it would go on with this text
            log.debug("syntax not checked: parsing took too long")
            return [0] * len(fills)
        return [errors - min(found) for errors in found[1:]]

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


def _window(prefix: str, suffix: str) -> tuple[str, str]:
    """What of the text around a gap is parsed. Pure."""
    if len(prefix) > BEFORE_CHARS:
        prefix = prefix[-BEFORE_CHARS:]
        prefix = prefix[prefix.find("\n") + 1 :]
    if len(suffix) > AFTER_CHARS:
        suffix = suffix[:AFTER_CHARS]
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
