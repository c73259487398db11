"""A constraint that first reads again what already stands before the hole."""

from collections.abc import Sequence

from midfill.engine.schema.constraint import DEAD, Constraint


class Resumed:
    """`inner`, for fills that begin with `given`: the start of the token that typing may go on.

    `inner` starts after those bytes. States below zero are within them: -1 before the first.
    """

    def __init__(self, inner: Constraint, given: bytes) -> None:
        self.inner, self.given = inner, given
        self.start = -1 if given and inner.start != DEAD else inner.start

    def step(self, state: int, byte: int) -> int:
        """The state after one more byte."""
        if state >= 0:
            return self.inner.step(state, byte)
        if self.given[-1 - state] != byte:
            return DEAD
        return state - 1 if -state < len(self.given) else self.inner.start

    def is_exit(self, state: int) -> bool:
        """Whether the hole may end here: never within what is given."""
        return state >= 0 and self.inner.is_exit(state)

    def completion(self, state: int) -> bytes | None:
        """A short text from here to an exit."""
        if state >= 0:
            return self.inner.completion(state)
        rest = self.inner.completion(self.inner.start)
        return None if rest is None else self.given[-1 - state :] + rest

    def continuations(self, state: int) -> Sequence[bytes]:
        """Texts that may well come next."""
        if state >= 0:
            return self.inner.continuations(state)
        left = self.given[-1 - state :]
        return [left + text for text in self.inner.continuations(self.inner.start)] or [left]
