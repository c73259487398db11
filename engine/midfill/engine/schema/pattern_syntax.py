"""Regular expressions as JSON Schema writes them: ECMA-262 with the `u` flag, read into a tree.

Beyond the letter of the `u` flag, what browsers read without it and real schemas hold is read too: a `{`, `}` or `]`
that stands for itself, a needless backslash before punctuation, a `-` beside a class.
Source: ECMA-262, "RegExp (Regular Expression) Objects" and annex B; JSON Schema 2020-12 core, section 6.4.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

MAX_SOURCE = 50_000
MAX_NESTING = 60
MAX_REPEATS = 10_000

_LAST = 0x10FFFF
_DIGITS = ((0x30, 0x39),)
_WORD = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_SPACE = (
    *((0x09, 0x0D), (0x20, 0x20), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029)),
    *((0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF)),
)
_LINE_ENDS = ((0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029))
_CONTROLS = {"t": 0x09, "n": 0x0A, "v": 0x0B, "f": 0x0C, "r": 0x0D}
_CLASSES = {"d": _DIGITS, "w": _WORD, "s": _SPACE}
_RANGED = {"Any": ((0, _LAST),), "ASCII": ((0, 0x7F),), "ASCII_Hex_Digit": ((0x30, 0x39), (0x41, 0x46), (0x61, 0x66))}
_CATEGORIES = {
    **{"Letter": "L", "Cased_Letter": "LC", "Uppercase_Letter": "Lu", "Lowercase_Letter": "Ll"},
    **{"Titlecase_Letter": "Lt", "Modifier_Letter": "Lm", "Other_Letter": "Lo", "Mark": "M", "Combining_Mark": "M"},
    **{"Nonspacing_Mark": "Mn", "Spacing_Mark": "Mc", "Enclosing_Mark": "Me", "Number": "N"},
    **{"Decimal_Number": "Nd", "digit": "Nd", "Letter_Number": "Nl", "Other_Number": "No"},
    **{"Punctuation": "P", "punct": "P", "Connector_Punctuation": "Pc", "Dash_Punctuation": "Pd"},
    **{"Open_Punctuation": "Ps", "Close_Punctuation": "Pe", "Initial_Punctuation": "Pi"},
    **{"Final_Punctuation": "Pf", "Other_Punctuation": "Po", "Symbol": "S", "Math_Symbol": "Sm"},
    **{"Currency_Symbol": "Sc", "Modifier_Symbol": "Sk", "Other_Symbol": "So", "Separator": "Z"},
    **{"Space_Separator": "Zs", "Line_Separator": "Zl", "Paragraph_Separator": "Zp", "Other": "C"},
    **{"Control": "Cc", "cntrl": "Cc", "Format": "Cf", "Surrogate": "Cs", "Private_Use": "Co", "Unassigned": "Cn"},
}
_COUNT = re.compile(r"\{(\d+)(,?)(\d*)\}")
_PROPERTY = re.compile(r"\{(?:(General_Category|gc)=)?(\w+)\}")


class UnsupportedPattern(ValueError):
    """A pattern that is not a regular expression, or one that no automaton of a sensible size can follow."""


class CharSet(NamedTuple):
    """Code points: those of the ranges and of the general categories, or all others. Ranges are in order and apart."""

    ranges: tuple[tuple[int, int], ...] = ()
    categories: frozenset[str] = frozenset()
    negated: bool = False

    def has(self, char: str) -> bool:
        point = ord(char)
        at = bisect_right(self.ranges, (point, _LAST)) - 1
        listed = at >= 0 and point <= self.ranges[at][1]
        if not listed and self.categories:
            listed = unicodedata.category(char) in self.categories
        return listed is not self.negated


@dataclass(frozen=True, slots=True)
class Chars:
    """One character of a set."""

    chars: CharSet


@dataclass(frozen=True, slots=True)
class Assertion:
    """A condition on the place: `^`, `$`, `b` (at a word's edge) or `B` (not at one)."""

    kind: str


@dataclass(frozen=True, slots=True)
class Sequence:
    parts: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Choice:
    parts: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Repeat:
    part: "Node"
    least: int
    most: int | None


Node = Chars | Assertion | Sequence | Choice | Repeat


def is_word(char: str) -> bool:
    """Whether `\\b` counts this character as part of a word."""
    return char.isascii() and (char.isalnum() or char == "_")


def parse(source: str) -> Node:
    """The tree of a pattern; raises `UnsupportedPattern`."""
    if len(source) > MAX_SOURCE:
        raise UnsupportedPattern(f"a pattern of {len(source)} characters; at most {MAX_SOURCE} are read")
    return _Parser(source).whole()


class _Parser:
    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._choice()
        if self._at < len(self._source):
            raise self._bad("a ) that closes nothing")
        return node

    def _bad(self, what: str) -> UnsupportedPattern:
        return UnsupportedPattern(f"{what} at character {self._at}")

    def _peek(self) -> str:
        return self._source[self._at : self._at + 1]

    def _take(self, text: str) -> bool:
        found = self._source.startswith(text, self._at)
        self._at += len(text) if found else 0
        return found

    def _next(self) -> str:
        if self._at >= len(self._source):
            raise self._bad("an end too soon")
        self._at += 1
        return self._source[self._at - 1]

    def _choice(self) -> Node:
        parts = [self._sequence()]
        while self._take("|"):
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else Choice(tuple(parts))

    def _sequence(self) -> Node:
        parts: list[Node] = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._quantified(self._atom()))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _quantified(self, node: Node) -> Node:
        bounds = self._bounds()
        if bounds is None:
            return node
        self._take("?")  # a lazy quantifier matches the same texts
        if self._peek() in ("*", "+", "?"):
            raise self._bad("a quantifier after a quantifier")
        return Repeat(node, *bounds)

    def _bounds(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                return bounds
        found = _COUNT.match(self._source, self._at)
        if found is None or len(found[0]) > 20:
            return None
        self._at = found.end()
        least = int(found[1])
        most = (int(found[3]) if found[3] else None) if found[2] else least
        if max(least, most or 0) > MAX_REPEATS or (most is not None and most < least):
            raise self._bad("a count out of bounds")
        return least, most

    def _atom(self) -> Node:
        char = self._next()
        if char in "^$":
            return Assertion(char)
        if char == "(":
            return self._group()
        if char in "*+?":
            raise self._bad("a quantifier of nothing")
        if char == ".":
            return Chars(CharSet(_LINE_ENDS, negated=True))
        if char == "[":
            return Chars(self._class())
        if char == "\\":
            return Assertion(self._next()) if self._peek() in ("b", "B") else Chars(self._escape())
        return Chars(_single(ord(char)))

    def _group(self) -> Node:
        if self._take("?") and not self._take(":"):
            named = re.compile(r"<[^\W\d][\w$]*>").match(self._source, self._at)
            if named is None:
                raise self._bad("a group that looks around or sets flags")
            self._at = named.end()
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise self._bad("groups nested too deep")
        node = self._choice()
        self._depth -= 1
        if not self._take(")"):
            raise self._bad("a group that is not closed")
        return node

    def _class(self) -> CharSet:
        negated = self._take("^")
        ranges: set[tuple[int, int]] = set()
        categories: frozenset[str] = frozenset()
        while not self._take("]"):
            low = self._class_atom()
            span = self._range_from(low)
            ranges.update((span,) if span else low.ranges)
            categories |= low.categories
        return CharSet(_joined(ranges), categories, negated)

    def _range_from(self, low: CharSet) -> tuple[int, int] | None:
        """The range that starts with this atom; None where none does, as where a dash stands beside a class."""
        back = self._at
        if not self._take("-") or self._peek() in ("", "]"):
            self._at = back
            return None
        high = self._class_atom()
        first, last = _point(low), _point(high)
        if first is None or last is None:
            self._at = back
            return None
        if first > last:
            raise self._bad("a range out of order")
        return first, last

    def _class_atom(self) -> CharSet:
        char = self._next()
        if char != "\\":
            return _single(ord(char))
        return _single(0x08) if self._take("b") else _spelled_out(self._escape())

    def _escape(self) -> CharSet:
        """The characters that the escape after a backslash stands for."""
        char = self._next()
        if char.lower() in _CLASSES:
            return CharSet(_CLASSES[char.lower()], negated=char.isupper())
        if char in "pP":
            return self._property(negated=char == "P")
        if char in _CONTROLS:
            return _single(_CONTROLS[char])
        if char == "0" and not self._peek().isdigit():
            return _single(0)
        if char == "c" and re.match("[A-Za-z]", self._peek()):
            return _single(ord(self._next()) % 32)
        if char in "xu":
            return _single(self._code_point(char))
        if char.isalnum():
            raise self._bad(f"the escape \\{char}")
        return _single(ord(char))

    def _code_point(self, kind: str) -> int:
        found = re.compile(r"\{([0-9A-Fa-f]{1,6})\}" if kind == "u" else "(?!)").match(self._source, self._at)
        found = found or re.compile(f"([0-9A-Fa-f]{{{2 if kind == 'x' else 4}}})").match(self._source, self._at)
        if found is None or int(found[1], 16) > _LAST:
            raise self._bad("a code point that is none")
        self._at = found.end()
        point = int(found[1], 16)
        low = re.compile(r"\\u(D[C-F][0-9A-F]{2})", re.IGNORECASE).match(self._source, self._at)
        if not 0xD800 <= point <= 0xDBFF or low is None:
            return point
        self._at = low.end()
        return 0x10000 + ((point - 0xD800) << 10) + (int(low[1], 16) - 0xDC00)

    def _property(self, *, negated: bool) -> CharSet:
        found = _PROPERTY.match(self._source, self._at)
        chars = None if found is None else _property(found[2])
        if found is None or chars is None:
            raise self._bad("a character property that is not known here")
        self._at = found.end()
        return chars._replace(negated=negated)


def _single(point: int) -> CharSet:
    return CharSet(((point, point),))


def _point(chars: CharSet) -> int | None:
    """The code point of a set of one, as an atom of a class gives it."""
    one = len(chars.ranges) == 1 and chars.ranges[0][0] == chars.ranges[0][1]
    return chars.ranges[0][0] if one else None


def _joined(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The same code points, in order and apart."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            low, high = joined[-1][0], max(high, joined.pop()[1])
        joined.append((low, high))
    return tuple(joined)


def _spelled_out(chars: CharSet) -> CharSet:
    """The same set without the negation. An escape names ranges or categories, never both."""
    if not chars.negated:
        return chars
    if chars.categories:
        return CharSet(categories=_all_categories() - chars.categories)
    edges = [-1, *(edge for span in chars.ranges for edge in span), _LAST + 1]
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return CharSet(tuple((low + 1, high - 1) for low, high in pairs if low + 1 < high))


def _property(name: str) -> CharSet | None:
    if name in _RANGED:
        return CharSet(_RANGED[name])
    short = _CATEGORIES.get(name, name)
    prefixes = ("Lu", "Ll", "Lt") if short == "LC" else (short,)
    found = frozenset(each for each in _all_categories() if short and each.startswith(prefixes))
    return CharSet(categories=found) if found else None


@cache
def _all_categories() -> frozenset[str]:
    names = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co Cn"
    return frozenset(names.split())
