"""The vocabulary's bytes, laid out for walking many tokens through an automaton at once."""

from collections.abc import Sequence

import numpy as np


class Spellings:
    """What each token stands for, and which tokens stand for a text. Tokens without bytes are never used."""

    def __init__(self, token_bytes: Sequence[bytes]) -> None:
        self.token_bytes = token_bytes
        self.lengths = np.array([len(spelled) for spelled in token_bytes], dtype=np.int64)
        """[V] bytes of each token."""
        self.starts = np.concatenate(([0], np.cumsum(self.lengths)[:-1])) if len(token_bytes) else self.lengths
        """[V] where each token begins in `flat`."""
        self.flat = np.frombuffer(b"".join(token_bytes), dtype=np.uint8)
        """The bytes of all tokens, one after the other."""
        self._ids = {spelled: id for id, spelled in reversed(list(enumerate(token_bytes))) if spelled}
        self._sizes = sorted({len(spelled) for spelled in self._ids}, reverse=True)

    def longest_start(self, text: bytes) -> int | None:
        """The longest token that `text` begins with."""
        found = (self._ids.get(text[:size]) for size in self._sizes if size <= len(text))
        return next((id for id in found if id is not None), None)

    def fewest(self, text: bytes) -> list[int] | None:
        """As few tokens as can spell `text`, the longest first where that leaves a choice; None if none do."""
        follow: list[tuple[int, int, int] | None] = [None] * len(text) + [(0, -1, len(text))]
        for start in range(len(text) - 1, -1, -1):
            for size in self._sizes:
                rest = follow[start + size] if start + size <= len(text) else None
                if rest is None or ((best := follow[start]) is not None and best[0] <= rest[0] + 1):
                    continue
                if (id := self._ids.get(text[start : start + size])) is not None:
                    follow[start] = (rest[0] + 1, id, start + size)
        return _read_off(follow)


def _read_off(follow: Sequence[tuple[int, int, int] | None]) -> list[int] | None:
    """The tokens from the first place to the last: at each place (how many are left, the next, where that ends)."""
    tokens: list[int] = []
    place = 0
    while place < len(follow) - 1:
        step = follow[place]
        if step is None:
            return None
        tokens.append(step[1])
        place = step[2]
    return tokens
