"""Post-filters: what the engine wrote, made fit to be shown at the cursor. Pure.

A filter acts on evidence only, since a good fill mangled is worse than a poor one shown: a line is a repetition if the
same line stands right beside it, a bracket is one too many if those around come out worse with it than without.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from math import gcd
from typing import NamedTuple

NUM_LINES = 64
"""How many lines each side of the cursor's are looked at. Above fewer, the file is taken to begin."""

_LINE_CHARS = 2048
_OVERLAP_CHARS = 256
_NUM_ROUNDS = 8
_TAB = 4
"""Columns a tab is taken for where nothing tells."""
_LINE_END = re.compile(r"\r\n?")
_STRING = re.compile(r'"(?:\\.|[^"\\])*"|(?<!\w)[bBfFrRuU]{0,2}\'(?:\\.|[^\'\\])*\'|`[^`]*`')
_BRACKET = re.compile(r"[()\[\]{}]")
_QUOTE = re.compile(r"\\.|(?<=\w)'(?=\w)|([\"'`])")
_PAIR = re.compile(r"(?=([)\]}])\1)")
_CLOSERS = re.compile(r"[)\]}\"'`]*")


class Surroundings(NamedTuple):
    """What stands around the cursor. No line has its end."""

    line_before: str
    line_after: str
    above: Sequence[str]
    """At most `NUM_LINES` lines, the nearest last."""
    below: Sequence[str]
    """At most `NUM_LINES` lines, the nearest first."""
    eol: str
    indent: str | None
    """The editor's unit, a tab or some spaces; None if unknown."""


class Ghost(NamedTuple):
    """What an editor shows. What it replaces on the cursor's line is contained, in order, in `text`.

    VS Code shows no other replacements.
    """

    text: str
    back: int
    """Code points left of the cursor that `text` begins with, so that its first line is not empty."""
    replaced: int
    """Code points right of the cursor that `text` replaces."""


def ghost(fill: str, around: Surroundings, *, single_line: bool = False) -> Ghost | None:
    """The fill as it may be shown, or None if nothing worth showing is left.

    With `single_line` at most a line of it is shown, or nothing where the text to the right continues its last line.
    """
    around = _clipped(around)
    place = _Place(around, _Balance(around))
    text = _until_stable(_LINE_END.sub("\n", fill), place)
    if single_line:
        text = _until_stable(_first_line(text, around), place)
    replaced = _num_replaced(text, place)
    if not text.strip() or text == around.line_after[:replaced]:
        return None
    back = _num_back(around.line_before) if text.startswith("\n") else 0
    text = around.line_before[len(around.line_before) - back :] + text
    return Ghost(text.replace("\n", around.eol), back, replaced)


def _clipped(around: Surroundings) -> Surroundings:
    """Without what is too far from the cursor to matter: a line may hold megabytes."""
    return around._replace(
        line_before=around.line_before[-_LINE_CHARS:],
        line_after=around.line_after[:_LINE_CHARS],
        above=[line[:_LINE_CHARS] for line in around.above[-NUM_LINES:]],
        below=[line[:_LINE_CHARS] for line in around.below[:NUM_LINES]],
    )


def _until_stable(text: str, place: "_Place") -> str:
    """The text when no filter changes it any more: one may lay bare what another cuts."""
    for _ in range(_NUM_ROUNDS):
        before = text
        for apply in _FILTERS:
            text = apply(text, place)
        if text == before:
            break
    return text


# How well brackets and quotes come out.


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
        bare, column = _STRING.sub("", line), _column(line)
        for match in _BRACKET.finditer(bare):
            opens = match[0] in "([{"
            kind = ")]}"["([{".index(match[0])] if opens else match[0]
            yield _Bracket(kind, opens, column, not opens and not bare[: match.start()].strip(" \t)]}"))


class _Tally:
    """Brackets read so far: the columns of those open, and how many others have no partner."""

    def __init__(self) -> None:
        self.columns: dict[str, list[int]] = {")": [], "]": [], "}": []}
        self.num_single = 0

    def copy(self) -> "_Tally":
        copy = _Tally()
        copy.columns = {kind: list(columns) for kind, columns in self.columns.items()}
        copy.num_single = self.num_single
        return copy

    def read(self, brackets: Iterable[_Bracket], outermost: dict[str, int] | None = None) -> "_Tally":
        """Self. Where the text above is not known to its start, a closer that leads a line left of `outermost` ends it.

        Its partner may stand in what is not known, and so may that of all after it.
        """
        for kind, opens, column, leads in brackets:
            columns = self.columns[kind]
            # A closer that leads its line never stands left of its partner's line: those in between were left open.
            while leads and columns and columns[-1] > column:
                columns.pop()
                self.num_single += 1
            if opens:
                columns.append(column)
            elif columns:
                columns.pop()
            elif outermost is None or not leads or column >= outermost[kind]:
                self.num_single += 1
            else:
                break
        return self

    def cost(self) -> int:
        return self.num_single + sum(map(len, self.columns.values()))


class _Balance:
    """Judges how well the brackets and quotes around the cursor come out with a text put there."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._above = _Tally().read(_brackets(around.above))
        self._below = list(_brackets(around.below))
        open_here = self._above.copy().read(_brackets([around.line_before])).columns
        knows_all = len(around.above) < NUM_LINES
        self._outermost = None if knows_all else {kind: min(open_here[kind], default=1 << 30) for kind in open_here}
        self._costs: dict[tuple[str, int], int] = {}

    def cost(self, text: str, replaced: int = 0) -> int:
        """How many brackets and quotes have no partner when the text replaces so much of the line's rest."""
        if (text, replaced) not in self._costs:
            here = self._around.line_before + text + self._around.line_after[replaced:]
            brackets = [*_brackets(here.split("\n")), *self._below]
            cost = self._above.copy().read(brackets, self._outermost).cost()
            self._costs[text, replaced] = cost + _num_odd_quotes(here)
        return self._costs[text, replaced]


def _num_odd_quotes(text: str) -> int:
    quotes = [match[1] for match in _QUOTE.finditer(text)]
    return sum(quotes.count(quote) % 2 for quote in "\"'`")


# The filters, each of a text in its place.


class _Place(NamedTuple):
    around: Surroundings
    balance: _Balance


def _drop_leading_breaks(text: str, place: _Place) -> str:
    """On a blank line the text starts there; the indentation that the line has is taken off."""
    before = place.around.line_before
    body = re.sub(r"\A(?:[ \t]*\n)+", "", text)
    return text if before.strip() or body == text or not body.startswith(before) else body[len(before) :]


def _indent_as_around(text: str, place: _Place) -> str:
    """Indented by tabs where all around is, by spaces where all around is, else as the editor's setting says."""
    around = place.around
    near = [_indent(line) for line in (*around.above, *around.below) if line.strip()]
    has_tabs, has_spaces = any(i.startswith("\t") for i in near), any(i.startswith("  ") for i in near)
    if (has_tabs and has_spaces) or not (has_tabs or has_spaces or around.indent):
        return text
    lines = text.split("\n")
    first = 1 if around.line_before.strip() else 0
    if has_tabs or (around.indent == "\t" and not has_spaces):
        width = _width_of_fill(lines[first:], _depth(around))
        return "\n".join([*lines[:first], *(_tabbed(line, width) for line in lines[first:])]) if width else text
    width = _width(near, around.indent)
    return "\n".join([*lines[:first], *(_spaced(line, width) for line in lines[first:])])


def _drop_second_indent(text: str, place: _Place) -> str:
    """The first line does not repeat the indentation that stands before it and so land deeper than code nests."""
    around = place.around
    last = next((line for line in reversed(around.above) if line.strip()), "")
    unit = _width([_indent(line) for line in (*around.above, *around.below)], around.indent)
    if around.line_before.strip() or not around.line_before or not text.startswith(around.line_before):
        return text
    first = text.split("\n", 1)[0]
    is_too_deep = _column(around.line_before + first, unit) > _column(last, unit) + unit
    # Arguments and operands go on at any column.
    return text[len(around.line_before) :] if is_too_deep and re.search(r"[\w:;)\]}{]\s*$", last) else text


def _drop_loop(text: str, place: _Place) -> str:
    """One copy of lines that the text repeats to its end: four times one line, three times two to four."""
    around = place.around
    lines, last = _own_lines(text, around)
    for period, num_copies in ((1, 4), (2, 3), (3, 3), (4, 3)):
        block = lines[len(lines) - period :]
        num_same = 1
        while lines[len(lines) - period * (num_same + 1) : len(lines) - period * num_same] == block:
            num_same += 1
        if num_same >= num_copies and any(map(_tells, block)) and not _is_twice(block, around):
            return "\n".join([*_bare(lines[: len(lines) - period * (num_same - 1)], around), *last])
    return text


def _drop_lines_below(text: str, place: _Place) -> str:
    """Ends before the lines that follow anyway, if brackets come out no worse; a sole bracket, only if better."""
    around = place.around
    lines, last = _own_lines(text, around)
    follows = [last[0] + around.line_after] if last and around.line_after.strip() else []
    ahead = [line for line in (*follows, *around.below) if line.strip()]
    own = [index for index, line in enumerate(lines) if line.strip()]
    for num_same in range(min(len(own), len(ahead)), 0, -1):
        start = own[-num_same]
        same = [lines[index] for index in own[-num_same:]]
        if not _leads_into(same, ahead[:num_same]) or (num_same == 1 and _is_twice(same, around)):
            continue
        if start == 0 and around.line_before.strip() and num_same == 1:
            continue  # begun by hand: the second such line is meant
        # Blank lines count as repeated too, as many as stand between the cursor and those lines.
        num_blank = 0 if last else next(index for index, line in enumerate(around.below) if line.strip())
        rest = "\n".join([*_bare(_without_blank_end(lines[:start], num_blank), around), *last])
        gain = _cost(text, place) - _cost(rest, place)
        if gain > 0 or (gain == 0 and any(map(_tells, same))):
            return rest
    return text


def _drop_lines_above(text: str, place: _Place) -> str:
    """Nothing, if on a new line it only says again what the lines just above say."""
    around = place.around
    lines, last = _own_lines(text, around)
    while lines and not lines[-1].strip():
        lines.pop()
    is_same = bool(lines) and lines == [*around.above][-len(lines) :]
    starts_a_line = not around.line_before.strip() and (bool(last) or not around.line_after.strip())
    return "" if is_same and starts_a_line and any(map(_tells, lines)) and not _is_twice(lines, around) else text


def _drop_rest_of_line(text: str, place: _Place) -> str:
    """Ends before what stands to the right anyway, if brackets and quotes come out better or the repetition is plain.

    Plain are three characters or more to the line's end, a whole word that would be glued to itself, a line's last `:`.
    """
    rest, cost = place.around.line_after.rstrip(), place.balance.cost
    same = [num for num in range(1, min(len(rest), len(text), _OVERLAP_CHARS) + 1) if text.endswith(rest[:num])]
    if not same:
        return text
    best = min(same, key=lambda num: (cost(text[:-num]), -num))
    longest = same[-1]
    is_to_the_end = longest == len(rest) and bool(re.search(r"\w", rest)) and longest > 2
    is_plain = is_to_the_end or rest in {":", ";", ","} or _is_word_at(longest, text, place.around)
    if cost(text[:-best]) < cost(text):
        return text[:-best]
    return text[:-longest] if is_plain and cost(text[:-longest]) == cost(text) else text


def _is_word_at(num_same: int, text: str, around: Surroundings) -> bool:
    """Whether the text's last characters and as many of the line's rest are one and the same whole word."""
    word, end = around.line_after[:num_same], around.line_after[num_same : num_same + 1]
    start = (around.line_before + text)[: -num_same or None][-1:]
    return bool(re.fullmatch(r"[^\W\d]\w+", word)) and not re.search(r"\w", start + end)


def _drop_doubled_closers(text: str, place: _Place) -> str:
    """One of two equal closing brackets in a row, if brackets come out better without and it is plain on which line."""
    before, cost = place.around.line_before, _cost(text, place)
    shorter = {
        index: text[:index] + text[index + 1 :]
        for match in _PAIR.finditer(before + text)
        if (index := match.start() + 1 - len(before)) >= 0
    }
    better = [index for index, short in shorter.items() if _cost(short, place) < cost]
    even = [index for index in better if _is_even_line(shorter[index], index, place.around)]
    lines = {text.count("\n", 0, index) for index in even or better}
    return shorter[(even or better)[-1]] if len(lines) == 1 else text


def _is_even_line(text: str, index: int, around: Surroundings) -> bool:
    """Whether all brackets of the line at `index` of the text have partners on it."""
    line = (around.line_before + text + around.line_after).split("\n")[text.count("\n", 0, index)]
    return _Tally().read(_brackets([line])).cost() == 0


def _drop_lines_that_do_not_fit(text: str, place: _Place) -> str:
    """Its first line alone, if with it the brackets come out and with all lines they do not."""
    first, *more = text.split("\n")
    if not more or not first.strip() or not more[-1].strip() or not place.around.line_after.strip():
        return text
    return first if _cost(first, place) < _cost(text, place) else text


def _drop_trailing_spaces(text: str, place: _Place) -> str:
    """Unless lines around have some. What joins the text to the right stays."""
    around = place.around
    if any(line[-1:] in (" ", "\t") for line in (*around.above, *around.below)):
        return text
    *lines, last = text.split("\n")
    return "\n".join([*(line.rstrip(" \t") for line in lines), last if around.line_after else last.rstrip(" \t")])


_FILTERS: tuple[Callable[[str, _Place], str], ...] = (
    _drop_leading_breaks,
    _indent_as_around,
    _drop_second_indent,
    _drop_trailing_spaces,
    _drop_loop,
    _drop_lines_below,
    _drop_lines_above,
    _drop_rest_of_line,
    _drop_doubled_closers,
    _drop_lines_that_do_not_fit,
)


def _first_line(text: str, around: Surroundings) -> str:
    """The first line, or nothing if what stands to the right goes on from a later one."""
    first, *more = text.split("\n")
    rest = around.line_after.strip()
    if not more or _CLOSERS.fullmatch(rest) or first.endswith(rest):
        return first
    is_line_above = not around.line_before.strip() and not more[-1].strip()
    return f"{first}\n{more[-1]}" if is_line_above else ""


def _num_replaced(text: str, place: _Place) -> int:
    """How much of the line's rest the text makes superfluous by closing what it closes."""
    rest, cost = place.around.line_after, place.balance.cost
    if not rest or cost(text) <= cost(""):
        return 0
    first = text.split("\n", 1)[0]
    closers = _CLOSERS.match(rest)
    longest = min(len(rest), _OVERLAP_CHARS)
    repeated = [num for num in range(1, longest + 1) if first.endswith(rest[:num])]
    candidates = {0, *range(len(closers[0]) + 1 if closers else 1), *repeated}
    allowed = [num for num in candidates if _contains_in_order(text, rest[:num])]
    return min(allowed, key=lambda num: (cost(text, num), num not in repeated, -num if num in repeated else num))


def _num_back(before: str) -> int:
    """The last word and the white space after it; a long one's last character only."""
    match = re.search(r"\S{1,40}\s*\Z", before)
    return len(match[0]) if match else len(before)


def _cost(text: str, place: _Place) -> int:
    return place.balance.cost(text, _num_replaced(text, place))


def _contains_in_order(text: str, part: str) -> bool:
    """Whether `part` is what is left when some characters of `text` are taken out."""
    characters = iter(text)
    return all(character in characters for character in part)


# Lines.


def _own_lines(text: str, around: Surroundings) -> tuple[list[str], list[str]]:
    """The text's lines as they will stand, the first from its start; and apart, the blank that leads into the rest."""
    lines = (around.line_before + text).split("\n")
    leads_into_rest = len(lines) > 1 and not lines[-1].strip() and around.line_after.strip()
    return (lines[:-1], lines[-1:]) if leads_into_rest else (lines, [])


def _bare(lines: list[str], around: Surroundings) -> list[str]:
    """Lines as they will stand, without what stands there already."""
    return [lines[0][len(around.line_before) :], *lines[1:]] if lines else []


def _without_blank_end(lines: list[str], at_most: int) -> list[str]:
    num_blank = next((num for num, line in enumerate(reversed(lines)) if line.strip()), len(lines))
    return lines[: len(lines) - min(num_blank, at_most)]


def _leads_into(lines: list[str], ahead: list[str]) -> bool:
    """Whether they are the same; after a whole line the last one may be cut short."""
    return lines == ahead or (len(lines) > 1 and lines[:-1] == ahead[:-1] and ahead[-1].startswith(lines[-1]))


def _tells(line: str) -> bool:
    """Whether a line says so much that it hardly stands twice in a row by chance."""
    return len(re.findall(r"\w", line)) > 1 or (len(line.strip()) > 2 and not _BRACKET.search(line))


def _is_twice(lines: list[str], around: Surroundings) -> bool:
    """Whether the code around has these lines twice in a row itself."""
    num = len(lines)
    if num == 1:
        return any(
            [one] == lines and one == two for part in (around.above, around.below) for one, two in pairwise(part)
        )
    above = [*around.above]
    return any(above[start : start + num] == lines for start in range(len(above) - 2 * num + 1))


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]


def _column(line: str, tab: int = _TAB) -> int:
    return len(_indent(line).expandtabs(tab))


def _width(indents: list[str], unit: str | None) -> int:
    """Columns of one level: the editor's, if most of the indents around are multiples of it."""
    wanted = len(unit) if unit and not unit.strip(" ") else _TAB
    columns = [len(indent) for indent in indents if indent.startswith("  ")]
    fits = (width for width in (wanted, 4, 2, 3) if 4 * sum(c % width == 0 for c in columns) >= 3 * len(columns))
    return next(fits, wanted)


def _depth(around: Surroundings) -> int:
    """How many tabs the cursor's line, or else the last one above with text, begins with."""
    last = next((line for line in reversed(around.above) if line.strip()), "")
    return _indent(around.line_before or last).count("\t")


def _width_of_fill(lines: list[str], depth: int) -> int | None:
    """Spaces that stand for one tab in these lines; None if no number fits."""
    indents = [len(_indent(line)) for line in lines if line.startswith("  ") and line.strip()]
    fits = (w for w in (4, 2, 8, 3) if indents and gcd(*indents) % w == 0 and indents[0] // w <= depth + 1)
    return next(fits, None)


def _tabbed(line: str, width: int) -> str:
    column = _column(line, width)
    return "\t" * (column // width) + " " * (column % width) + line.lstrip(" \t") if line.startswith("  ") else line


def _spaced(line: str, width: int) -> str:
    indent = _indent(line)
    return indent.expandtabs(width) + line[len(indent) :]
