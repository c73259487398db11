"""What holds a fill to a language: an automaton over bytes with integer states, explored as it is needed."""

from collections.abc import Sequence
from typing import Protocol

DEAD = 0
"""The state of every constraint from which nothing leads to an exit."""


class Constraint(Protocol):
    """Texts that may stand in a hole, given all that stands around it."""

    @property
    def start(self) -> int:
        """The state before the hole's first byte."""
        ...

    def step(self, state: int, byte: int) -> int:
        """The state after one more byte; `DEAD` if the fill cannot go on so."""
        ...

    def is_exit(self, state: int) -> bool:
        """Whether the hole may end here."""
        ...

    def completion(self, state: int) -> bytes | None:
        """A short text from here to an exit, empty at one; None where none was found."""
        ...

    def continuations(self, state: int) -> Sequence[bytes]:
        """Texts that may well come next, the most wanted first: starts of paths that stay alive."""
        ...
