"""Sets of characters as the classes, escapes and properties of regular expressions name them."""

import unicodedata
from bisect import bisect_right
from collections.abc import Iterable
from functools import cache
from typing import NamedTuple

LAST_POINT = 0x10FFFF
_DIGITS = ((0x30, 0x39),)
_WORD = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_SPACE = (
    *((0x09, 0x0D), (0x20, 0x20), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029)),
    *((0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000), (0xFEFF, 0xFEFF)),
)
LINE_ENDS = ((0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029))
CLASSES = {"d": _DIGITS, "w": _WORD, "s": _SPACE}
_RANGED = {
    "Any": ((0, LAST_POINT),),
    "ASCII": ((0, 0x7F),),
    "ASCII_Hex_Digit": ((0x30, 0x39), (0x41, 0x46), (0x61, 0x66)),
}
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


class CharSet(NamedTuple):
    """Code points: those of the ranges and of the general categories, or all others. Ranges are in order and apart."""

    ranges: tuple[tuple[int, int], ...] = ()
    categories: frozenset[str] = frozenset()
    negated: bool = False

    def has(self, char: str) -> bool:
        point = ord(char)
        at = bisect_right(self.ranges, (point, LAST_POINT)) - 1
        listed = at >= 0 and point <= self.ranges[at][1]
        if not listed and self.categories:
            listed = unicodedata.category(char) in self.categories
        return listed is not self.negated


def is_word(char: str) -> bool:
    """Whether `\\b` counts this character as part of a word."""
    return char.isascii() and (char.isalnum() or char == "_")


def single(point: int) -> CharSet:
    return CharSet(((point, point),))


def point_of(chars: CharSet) -> int | None:
    """The code point of a set of one, as an atom of a class gives it."""
    one = len(chars.ranges) == 1 and chars.ranges[0][0] == chars.ranges[0][1]
    return chars.ranges[0][0] if one else None


def joined(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """The same code points, in order and apart."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            low, high = joined[-1][0], max(high, joined.pop()[1])
        joined.append((low, high))
    return tuple(joined)


def spelled_out(chars: CharSet) -> CharSet:
    """The same set without the negation. An escape names ranges or categories, never both."""
    if not chars.negated:
        return chars
    if chars.categories:
        return CharSet(categories=_all_categories() - chars.categories)
    edges = [-1, *(edge for span in chars.ranges for edge in span), LAST_POINT + 1]
    pairs = zip(edges[::2], edges[1::2], strict=True)
    return CharSet(tuple((low + 1, high - 1) for low, high in pairs if low + 1 < high))


def property_named(name: str) -> CharSet | None:
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
