"""How well the brackets and quotes around the cursor come out with a text put there. Pure."""

import re
from collections.abc import Iterable, Sequence
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


def _brackets(line: str) -> list[_Bracket]:
    """Those outside strings that begin and end on the line."""
    bare, indent = _STRING.sub("", line), column(line)
    brackets: list[_Bracket] = []
    for match in _BRACKET.finditer(bare):
        closer = _CLOSER.get(match[0])
        leads = closer is None and not bare[: match.start()].strip(" \t)]}")
        brackets.append(_Bracket(closer or match[0], closer is not None, indent, leads))
    return brackets


class _Tally:
    """Brackets read so far: the columns of those open, and how many others have no partner, or one that is askew."""

    def __init__(self) -> None:
        self.columns: dict[str, list[int]] = {closer: [] for closer in _CLOSER.values()}
        self.num_odd = 0

    def copy(self) -> "_Tally":
        copy = _Tally()
        copy.columns = {kind: list(columns) for kind, columns in self.columns.items()}
        copy.num_odd = self.num_odd
        return copy

    def read(self, lines: Iterable[Sequence[_Bracket]], outermost: dict[str, int] | None = None) -> "_Tally":
        """Self. A sole closer that leads a line left of `outermost` ends it.

        Its partner may stand above all that is known, and so may those of all that follow.
        """
        for brackets in lines:
            start = brackets[0].column if brackets else 0
            for kind, opens, indent, leads in brackets:
                columns = self.columns[kind]
                if opens:
                    columns.append(start)
                    continue
                # A closer that leads its line never stands left of its partner's: those in between were left open.
                while leads and columns and columns[-1] > indent:
                    columns.pop()
                    self.num_odd += 1
                if columns:
                    self.num_odd += leads and columns[-1] != indent
                    # What opens after it belongs to the line that its partner is on: `if (a &&`, `b) {`.
                    start = min(start, columns.pop())
                elif outermost is None or not leads or indent >= outermost[kind]:
                    self.num_odd += 1
                else:
                    return self
        return self

    def cost(self) -> int:
        return self.num_odd + sum(map(len, self.columns.values()))


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
        """How many have no partner, or one askew, when the text replaces so many characters after the cursor.

        Only differences mean something: some of the lines may be prose, or in a string.
        """
        if (text, replaced) not in self._costs:
            here = self._before + text + self._after[replaced:]
            lines = [*map(_brackets, here.split("\n")), *self._below]
            cost = self._above.copy().read(lines, self._outermost).cost()
            self._costs[text, replaced] = cost + _num_odd_quotes(here)
        return self._costs[text, replaced]

    @cached_property
    def _above(self) -> _Tally:
        return _Tally().read(map(_brackets, self._lines_above))

    @cached_property
    def _below(self) -> list[list[_Bracket]]:
        return list(map(_brackets, self._lines_below))

    @cached_property
    def _outermost(self) -> dict[str, int] | None:
        """The columns left of which partners are not known; None if all are."""
        open_here = self._above.copy().read([_brackets(self._before)]).columns
        return None if self._knows_start else {kind: min(open_here[kind], default=1 << 30) for kind in open_here}


def is_even(line: str) -> bool:
    """Whether each bracket of the line has its partner on it."""
    return _Tally().read([_brackets(line)]).cost() == 0


def _num_odd_quotes(text: str) -> int:
    quotes = [match[1] for match in _QUOTE.finditer(text)]
    return sum(quotes.count(quote) % 2 for quote in "\"'`")
