"""Regular expressions as JSON Schema writes them: ECMA-262 with the `u` flag, read into a tree.

Beyond the letter of the `u` flag, what browsers read without it and real schemas hold is read too: a `{`, `}` or `]`
that stands for itself, a needless backslash before punctuation, a `-` beside a class.
Source: ECMA-262, "RegExp (Regular Expression) Objects" and annex B; JSON Schema 2020-12 core, section 6.4.
"""

import re
from dataclasses import dataclass

from midfill.engine.schema.char_sets import (
    CLASSES,
    LAST_POINT,
    LINE_ENDS,
    CharSet,
    joined,
    point_of,
    property_named,
    single,
    spelled_out,
)

MAX_SOURCE = 50_000
MAX_NESTING = 60
MAX_REPEATS = 10_000

_CONTROLS = {"t": 0x09, "n": 0x0A, "v": 0x0B, "f": 0x0C, "r": 0x0D}
_COUNT = re.compile(r"\{(\d+)(,?)(\d*)\}")
_PROPERTY = re.compile(r"\{(?:(General_Category|gc)=)?(\w+)\}")


class UnsupportedPattern(ValueError):
    """A pattern that is not a regular expression, or one that no automaton of a sensible size can follow."""


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
            return Chars(CharSet(LINE_ENDS, negated=True))
        if char == "[":
            return Chars(self._class())
        if char == "\\":
            return Assertion(self._next()) if self._peek() in ("b", "B") else Chars(self._escape())
        return Chars(single(ord(char)))

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
        return CharSet(joined(ranges), categories, negated)

    def _range_from(self, low: CharSet) -> tuple[int, int] | None:
        """The range that starts with this atom; None where none does, as where a dash stands beside a class."""
        back = self._at
        if not self._take("-") or self._peek() in ("", "]"):
            self._at = back
            return None
        high = self._class_atom()
        first, last = point_of(low), point_of(high)
        if first is None or last is None:
            self._at = back
            return None
        if first > last:
            raise self._bad("a range out of order")
        return first, last

    def _class_atom(self) -> CharSet:
        char = self._next()
        if char != "\\":
            return single(ord(char))
        return single(0x08) if self._take("b") else spelled_out(self._escape())

    def _escape(self) -> CharSet:
        """The characters that the escape after a backslash stands for."""
        char = self._next()
        if char.lower() in CLASSES:
            return CharSet(CLASSES[char.lower()], negated=char.isupper())
        if char in "pP":
            return self._property(negated=char == "P")
        if char in _CONTROLS:
            return single(_CONTROLS[char])
        if char == "0" and not self._peek().isdigit():
            return single(0)
        if char == "c" and re.match("[A-Za-z]", self._peek()):
            return single(ord(self._next()) % 32)
        if char in "xu":
            return single(self._code_point(char))
        if char.isalnum():
            raise self._bad(f"the escape \\{char}")
        return single(ord(char))

    def _code_point(self, kind: str) -> int:
        found = re.compile(r"\{([0-9A-Fa-f]{1,6})\}" if kind == "u" else "(?!)").match(self._source, self._at)
        found = found or re.compile(f"([0-9A-Fa-f]{{{2 if kind == 'x' else 4}}})").match(self._source, self._at)
        if found is None or int(found[1], 16) > LAST_POINT:
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
        chars = None if found is None else property_named(found[2])
        if found is None or chars is None:
            raise self._bad("a character property that is not known here")
        self._at = found.end()
        return chars._replace(negated=negated)
