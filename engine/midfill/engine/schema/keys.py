"""The keys that an open object has: sets that grow by a key at a time and share the numbers of their members."""

from __future__ import annotations

from collections.abc import Iterable


class Keys:
    """An immutable set of keys. Two of one family are equal if they have the same members.

    Each set is a bit mask: of a file with thousands of keys an automaton keeps a set for each, and as sets of strings
    those would fill the memory.
    """

    __slots__ = ("_mask", "_numbers")

    def __init__(self, numbers: dict[str, int] | None = None, mask: int = 0) -> None:
        self._numbers = {} if numbers is None else numbers
        self._mask = mask

    def with_all(self, keys: Iterable[str]) -> Keys:
        """The set with these keys, too."""
        mask = self._mask
        for key in keys:
            mask |= 1 << self._numbers.setdefault(key, len(self._numbers))
        return Keys(self._numbers, mask)

    def __contains__(self, key: str) -> bool:
        number = self._numbers.get(key)
        return number is not None and bool(self._mask >> number & 1)

    def __len__(self) -> int:
        return self._mask.bit_count()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keys) and self._mask == other._mask and self._numbers is other._numbers

    def __hash__(self) -> int:
        return hash(self._mask)
