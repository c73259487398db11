"""Indentation, and making a text's that of the lines around it. Pure."""

from collections.abc import Sequence
from math import gcd

TAB = 4
"""Columns that a tab is taken for where nothing tells."""


def indent_of(line: str) -> str:
    """The spaces and tabs it begins with."""
    return line[: len(line) - len(line.lstrip(" \t"))]


def column(line: str, tab: int = TAB) -> int:
    """Where its text begins."""
    return len(indent_of(line).expandtabs(tab))


def indented_like(lines: Sequence[str], around: Sequence[str], unit: str | None, depth: int) -> list[str]:
    """The lines indented by tabs where all around is, by spaces where all around is, else by the editor's `unit`.

    As they are where both are around, or nothing tells. `depth` is how many tabs the line before them begins with.
    """
    indents = [indent_of(line) for line in around if line.strip()]
    has_tabs = any("\t" in indent for indent in indents)
    has_spaces = any(indent.startswith("  ") for indent in indents)  # a single one begins comment lines everywhere
    if has_tabs and has_spaces:
        return list(lines)
    if has_tabs or (unit == "\t" and not has_spaces):
        width = _width_of_tab(lines, depth)
        return [_with_tabs(line, width) for line in lines] if width else list(lines)
    if has_spaces or unit:
        return [_with_spaces(line, width_of_level(around, unit)) for line in lines]
    return list(lines)


def width_of_level(around: Sequence[str], unit: str | None) -> int:
    """Columns of one level: the editor's, if most of the indents around are multiples of it."""
    wanted = len(unit) if unit and not unit.strip(" ") else TAB
    columns = [len(indent_of(line)) for line in around if line.startswith("  ") and line.strip()]
    fits = (width for width in (wanted, 4, 2, 3) if 4 * sum(c % width == 0 for c in columns) >= 3 * len(columns))
    return next(fits, wanted)


def _width_of_tab(lines: Sequence[str], depth: int) -> int | None:
    """Spaces that stand for one tab in these lines, the first at most a level deeper; None if no number fits."""
    columns = [len(indent_of(line)) for line in lines if line.startswith("  ") and line.strip()]
    fits = (w for w in (4, 2, 8, 3) if columns and gcd(*columns) % w == 0 and columns[0] // w <= depth + 1)
    return next(fits, None)


def _with_tabs(line: str, width: int) -> str:
    if not line.startswith("  "):
        return line
    tabs, spaces = divmod(column(line, width), width)
    return "\t" * tabs + " " * spaces + line.lstrip(" \t")


def _with_spaces(line: str, width: int) -> str:
    indent = indent_of(line)
    return indent.expandtabs(width) + line[len(indent) :]
