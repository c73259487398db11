"""How much memory patterns may take: one may have a part of it, and gives it back when nobody has it any more."""

from __future__ import annotations

import weakref

MOST_BITS = 1 << 30
"""128 MiB, of all patterns."""
MOST_PARTS = 4
"""One may have this part of all."""


class PatternMemory:
    """What is left for all patterns."""

    def __init__(self, most_bits: int = MOST_BITS) -> None:
        self.most_bits = self.left = most_bits

    def share_of(self, owner: object) -> Share:
        """The part of one pattern, given back when that is gone."""
        share = Share(self)
        weakref.finalize(owner, share.give_back)
        return share


class Share:
    """What one pattern has."""

    def __init__(self, memory: PatternMemory) -> None:
        self._memory, self.used = memory, 0

    def take(self, num_bits: int) -> bool:
        """Takes so much more; takes nothing and says so where that is too much, of its own or of all."""
        memory = self._memory
        if num_bits > memory.left or (self.used + num_bits) * MOST_PARTS > memory.most_bits:
            return False
        self.used += num_bits
        memory.left -= num_bits
        return True

    def give_back(self) -> None:
        """Gives all of it back."""
        self._memory.left += self.used
        self.used = 0
