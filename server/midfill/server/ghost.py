"""Post-filters: what the engine wrote, made fit to be shown at the cursor. Pure.

A filter acts on evidence only, since a good fill mangled is worse than a poor one shown: a line is a repetition if the
same line stands right beside it, a bracket is one too many if those around come out worse with it than without.
"""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from midfill.server.balance import Balance, is_even
from midfill.server.indents import column, indent_of, indented_like, width_of_level

NUM_LINES = 64
"""How many lines each side of the cursor's are looked at. Above fewer, the file is taken to begin."""

_LINE_CHARS = 2048
_OVERLAP_CHARS = 256
_NUM_ROUNDS = 8
_LINE_END = re.compile(r"\r\n?")
_PAIR = re.compile(r"(?=([)\]}])\1)")
_CLOSERS = re.compile(r"[)\]}\"'`]*")
_CLOSERS_AND_COMMAS = re.compile(r"[\]}\"\s,]*")


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


def ghost(fill: str, around: Surroundings, *, may_split: bool = True) -> Ghost | None:
    """The fill as it may be shown, or None if nothing worth showing is left.

    Unless it `may_split` a line, none that would push text from behind the cursor down to a line of its own; closing
    brackets and quotes may go.
    """
    around = _clipped(around)
    knows_start = len(around.above) < NUM_LINES
    sides = around.above, around.line_before, around.line_after, around.below
    place = _Place(around, Balance(*sides, knows_start=knows_start))
    text = _until_stable(_LINE_END.sub("\n", fill), place)
    replaced = _num_replaced(text, place)
    if not text.strip() or text == around.line_after[:replaced]:
        return None
    if not may_split and not _keeps_line(text, replaced, around):
        return None
    return _with_back(text, replaced, around)


def verbatim(fill: str, around: Surroundings, replaced: int, *, may_split: bool = True) -> Ghost | None:
    """The fill with nothing but its line ends made fit; None if it is blank, or cannot be shown so.

    It takes the place of `replaced` characters behind it. It may push commas down too, as JSON has them behind values.
    """
    around = _clipped(around)
    text = _LINE_END.sub("\n", fill)
    if not text.strip() or not _contains_in_order(text, around.line_after[:replaced]):
        return None
    if not may_split and not _keeps_line(text, replaced, around, _CLOSERS_AND_COMMAS):
        return None
    return _with_back(text, replaced, around)


def _with_back(text: str, replaced: int, around: Surroundings) -> Ghost:
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


class _Place(NamedTuple):
    around: Surroundings
    balance: Balance


def _drop_leading_breaks(text: str, place: _Place) -> str:
    """On a blank line the text starts there; the indentation that the line has is taken off."""
    before = place.around.line_before
    body = re.sub(r"\A(?:[ \t]*\n)+", "", text)
    return text if before.strip() or body == text or not body.startswith(before) else body[len(before) :]


def _indent_as_around(text: str, place: _Place) -> str:
    around = place.around
    lines = text.split("\n")
    num_begun = 1 if around.line_before.strip() else 0
    depth = indent_of(around.line_before or _line_above(around)).count("\t")
    indented = indented_like(lines[num_begun:], [*around.above, *around.below], around.indent, depth)
    return "\n".join([*lines[:num_begun], *indented])


def _drop_second_indent(text: str, place: _Place) -> str:
    """The first line does not repeat the indentation that stands before it and so land deeper than code nests."""
    around = place.around
    before, last, first = around.line_before, _line_above(around), text.split("\n", 1)[0]
    if before.strip() or not before or indent_of(first) != before:
        return text
    level = width_of_level([*around.above, *around.below], around.indent)
    deepest = column(last, level) + level
    repeats = column(first, level) <= deepest < column(before + first, level)
    # What goes on with the line above, such as an argument or `.then()`, stands at any column.
    starts_anew = bool(re.search(r"[\w:;)\]}{]\s*$", last) and re.match(r"\s*\w", first))
    return text[len(before) :] if repeats and starts_anew else text


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
        if not _leads_into(same, ahead[:num_same], around) or (num_same == 1 and _is_twice(same, around)):
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
    rest, body, cost = place.around.line_after.rstrip(), text.rstrip(), place.balance.cost
    longest = min(len(rest), len(body), _OVERLAP_CHARS)
    same = [num for num in range(1, longest + 1) if body.endswith(rest[:num]) and rest[:num].strip()]
    if not same:
        return text
    best, longest = min(same, key=lambda num: (cost(body[:-num]), -num)), same[-1]
    is_to_the_end = longest == len(rest) and longest > 2 and bool(re.search(r"\w", rest))
    is_plain = is_to_the_end or rest in {":", ";", ","} or _is_word_at(longest, body, place.around)
    if cost(body[:-best]) < cost(text):
        return body[:-best]
    return (
        body[:-longest] if is_plain and "\n" not in text[len(body) :] and cost(body[:-longest]) == cost(text) else text
    )


def _is_word_at(num_same: int, text: str, around: Surroundings) -> bool:
    """Whether the text's last characters and as many of the line's rest are one and the same whole word."""
    word, end = around.line_after[:num_same], around.line_after[num_same : num_same + 1]
    start = (around.line_before + text)[: -num_same or None][-1:]
    return bool(re.fullmatch(r"[^\W\d]\w+", word)) and not re.search(r"\w", start + end)


def _drop_doubled_closers(text: str, place: _Place) -> str:
    """One of two equal closing brackets in a row, if its line and all around it come out better without it."""
    before, after = place.around.line_before, place.around.line_after
    for match in reversed(list(_PAIR.finditer(before + text))):
        index = match.start() + 1 - len(before)
        if index < 0:
            break
        shorter, num_lines_above = text[:index] + text[index + 1 :], text.count("\n", 0, index)
        long, short = ((before + t + after).split("\n")[num_lines_above] for t in (text, shorter))
        is_odd_one = not is_even(long) and (is_even(short) or not long.strip(")]};, \t"))
        if is_odd_one and _cost(shorter, place) < _cost(text, place):
            return shorter
    return text


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
)


def _keeps_line(text: str, replaced: int, around: Surroundings, closers: re.Pattern[str] = _CLOSERS) -> bool:
    """Whether no text is parted from the text before it."""
    pushed = around.line_after[replaced:].strip()
    return "\n" not in text or not around.line_before.strip() or bool(closers.fullmatch(pushed))


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
    best = min(allowed, key=lambda num: (cost(text, num), num not in repeated, -num if num in repeated else num))
    return best if cost(text, best) < cost(text) else 0


def _num_back(before: str) -> int:
    """The last word, or the end of a long one, and the white space after it."""
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


def _line_above(around: Surroundings) -> str:
    """The nearest with text."""
    return next((line for line in reversed(around.above) if line.strip()), "")


def _bare(lines: list[str], around: Surroundings) -> list[str]:
    """Lines as they will stand, without what stands there already."""
    return [lines[0][len(around.line_before) :], *lines[1:]] if lines else []


def _without_blank_end(lines: list[str], at_most: int) -> list[str]:
    num_blank = next((num for num, line in enumerate(reversed(lines)) if line.strip()), len(lines))
    return lines[: len(lines) - min(num_blank, at_most)]


def _leads_into(lines: list[str], ahead: list[str], around: Surroundings) -> bool:
    """Whether they are the same; after a whole line the last one may be cut short, unless text goes on there."""
    is_cut_short = lines[:-1] == ahead[:-1] and ahead[-1].startswith(lines[-1])
    return lines == ahead or (is_cut_short and len(lines) > 1 and not around.line_after.strip())


def _tells(line: str) -> bool:
    """Whether a line says so much that it hardly stands twice in a row by chance: no number, no sole bracket."""
    has_words = bool(re.search(r"[^\W\d_]", line)) and len(re.findall(r"\w", line)) > 1
    return has_words or (len(line.strip()) > 2 and not re.search(r"[\w()\[\]{}]", line))


def _is_twice(lines: list[str], around: Surroundings) -> bool:
    """Whether the code around has these lines twice in a row itself."""
    num = len(lines)
    if num == 1:
        return any(
            [one] == lines and one == two for part in (around.above, around.below) for one, two in pairwise(part)
        )
    above = [*around.above]
    return any(above[start : start + num] == lines for start in range(len(above) - 2 * num + 1))
