"""The numbers of an enum, found by the digits that one begins with."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from decimal import Decimal


def digits_of(size: Decimal) -> str:
    """The digits of a number without zeros before and behind; none of zero."""
    return "".join(map(str, size.as_tuple().digits)).strip("0") if size else ""


class Literals:
    """Numbers without a sign, each once."""

    def __init__(self, sizes: Iterable[Decimal]) -> None:
        self._sizes = set(sizes)
        self._by_digits = sorted((digits_of(size), size) for size in self._sizes)
        self.shortest = sorted(self._sizes, key=lambda size: (abs(size.adjusted()) + len(size.as_tuple().digits), size))
        """The numbers, those first that are short to write."""

    def __len__(self) -> int:
        return len(self._sizes)

    def __contains__(self, size: Decimal) -> bool:
        return size in self._sizes

    def __and__(self, other: "Literals") -> "Literals":
        return Literals(self._sizes & other._sizes)

    def starting(self, digits: int, *, more: bool) -> Iterator[Decimal]:
        """The numbers whose digits are these, and then `more` if that is allowed; a point may be anywhere."""
        text = str(digits) if digits else ""
        bare = text.rstrip("0")
        at = bisect_left(self._by_digits, (bare,))
        while at < len(self._by_digits) and self._by_digits[at][0] == bare:
            yield self._by_digits[at][1]
            at += 1
        if not more:
            return
        at = max(at, bisect_left(self._by_digits, (text,)))
        while at < len(self._by_digits) and self._by_digits[at][0].startswith(text):
            yield self._by_digits[at][1]
            at += 1
