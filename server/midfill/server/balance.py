"""How well the brackets and quotes around the cursor come out with a text put there. Pure."""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from midfill.server.indents import column

_STRING = re.compile(r'"(?:\\.|[^"\\])*"|(?<!\w)[bBfFrRuU]{0,2}\'(?:\\.|[^\'\\])*\'|`[^`]*`')
_BRACKET = re.compile(r"[()\[\]{}]")
_CLOSER = {"(": ")", "[": "]", "{": "}"}
_QUOTE = re.compile(r"\\.|(?<=\w)'(?=\w)|([\"'`])")  # without escaped ones and apostrophes


class _Bracket(NamedTuple):
    kind: str
    """The closing one of its pair."""
    opens: bool
    column: int
    """How far its line is indented."""
    leads: bool
    """Whether it closes and nothing but closing brackets stands before it on its line."""


def _brackets(lines: Iterable[str]) -> Iterator[_Bracket]:
    """The brackets outside those strings that begin and end on one line."""
    for line in lines:
        bare = _STRING.sub("", line)
        for match in _BRACKET.finditer(bare):
            closer = _CLOSER.get(match[0])
            leads = closer is None and not bare[: match.start()].strip(" \t)]}")
            yield _Bracket(closer or match[0], closer is not None, column(line), leads)


class _Tally:
    """Brackets read so far: the columns of those open, and how many others have no partner."""

    def __init__(self) -> None:
        self.columns: dict[str, list[int]] = {closer: [] for closer in _CLOSER.values()}
        self.num_single = 0

    def copy(self) -> "_Tally":
        copy = _Tally()
        copy.columns = {kind: list(columns) for kind, columns in self.columns.items()}
        copy.num_single = self.num_single
        return copy

    def read(self, brackets: Iterable[_Bracket], outermost: dict[str, int] | None = None) -> "_Tally":
        """Self. A sole closer that leads a line left of `outermost` ends it.

        Its partner may stand above all that is known, and so may those of all that follow.
        """
        for kind, opens, indent, leads in brackets:
            columns = self.columns[kind]
            # A closer that leads its line never stands left of its partner's line: those in between were left open.
            while leads and columns and columns[-1] > indent:
                columns.pop()
                self.num_single += 1
            if opens:
                columns.append(indent)
            elif columns:
                columns.pop()
            elif outermost is None or not leads or indent >= outermost[kind]:
                self.num_single += 1
            else:
                break
        return self

    def cost(self) -> int:
        return self.num_single + sum(map(len, self.columns.values()))


class Balance:
    """The lines above and below the cursor, and what stands before and after it on its own.

    Unless it `knows_start`, brackets may have partners above all those lines.
    """

    def __init__(
        self, above: Sequence[str], before: str, after: str, below: Sequence[str], *, knows_start: bool
    ) -> None:
        self._lines_above, self._before, self._after, self._lines_below = above, before, after, below
        self._knows_start = knows_start
        self._costs: dict[tuple[str, int], int] = {}

    def cost(self, text: str, replaced: int = 0) -> int:
        """How many have no partner when the text replaces so many characters after the cursor.

        Only differences mean something: some of the lines may be prose, or in a string.
        """
        if (text, replaced) not in self._costs:
            here = self._before + text + self._after[replaced:]
            brackets = [*_brackets(here.split("\n")), *self._below]
            cost = self._above.copy().read(brackets, self._outermost).cost()
            self._costs[text, replaced] = cost + _num_odd_quotes(here)
        return self._costs[text, replaced]

    @cached_property
    def _above(self) -> _Tally:
        return _Tally().read(_brackets(self._lines_above))

    @cached_property
    def _below(self) -> list[_Bracket]:
        return list(_brackets(self._lines_below))

    @cached_property
    def _outermost(self) -> dict[str, int] | None:
        """The columns left of which partners are not known; None if all are."""
        open_here = self._above.copy().read(_brackets([self._before])).columns
        return None if self._knows_start else {kind: min(open_here[kind], default=1 << 30) for kind in open_here}


def is_even(line: str) -> bool:
    """Whether each bracket of the line has its partner on it."""
    return _Tally().read(_brackets([line])).cost() == 0


def _num_odd_quotes(text: str) -> int:
    quotes = [match[1] for match in _QUOTE.finditer(text)]
    return sum(quotes.count(quote) % 2 for quote in "\"'`")
