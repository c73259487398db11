"""Which tokens of the vocabulary spell a text."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

MOST_REMEMBERED = 1 << 15
"""Texts whose shortest spelling is remembered."""


class Spellings:
    """What each token stands for, and which tokens stand for a text. Tokens without bytes are never used."""

    def __init__(self, token_bytes: Sequence[bytes]) -> None:
        self.token_bytes = token_bytes
        """By id."""
        self.first_bytes = np.array([spelled[0] if spelled else 0 for spelled in token_bytes], dtype=np.intp)
        """By id; 0 for tokens without bytes."""
        self._ids = {spelled: id for id, spelled in reversed(list(enumerate(token_bytes))) if spelled}
        self._ways: dict[bytes, _Way | None] = {b"": _Way(0, -1)}  # completions mostly end like others
        self._sizes = sorted({len(spelled) for spelled in self._ids}, reverse=True)

    def longest_start(self, text: bytes) -> int | None:
        """The longest token that `text` begins with."""
        found = (self._ids.get(text[:size]) for size in self._sizes if size <= len(text))
        return next((id for id in found if id is not None), None)

    def fewest(self, text: bytes) -> list[int] | None:
        """As few tokens as can spell `text`, the longest first where that leaves a choice; None if none do."""
        if len(self._ways) > MOST_REMEMBERED:
            self._ways = {b"": _Way(0, -1)}
        for start in range(len(text) - 1, -1, -1):
            if text[start:] not in self._ways:
                self._ways[text[start:]] = self._way(text[start:])
        tokens: list[int] = []
        while text:
            way = self._ways[text]
            if way is None:
                return None
            tokens.append(way.token)
            text = text[len(self.token_bytes[way.token]) :]
        return tokens

    def _way(self, text: bytes) -> "_Way | None":
        """How to spell it, where that is known of all that `text` ends with."""
        best: _Way | None = None
        for size in self._sizes:
            if size <= len(text) and (token := self._ids.get(text[:size])) is not None:
                rest = self._ways[text[size:]]
                if rest is not None and (best is None or rest.count + 1 < best.count):
                    best = _Way(rest.count + 1, token)
        return best


class _Way(NamedTuple):
    """The shortest spelling of a text: how many tokens, and the first."""

    count: int
    token: int
