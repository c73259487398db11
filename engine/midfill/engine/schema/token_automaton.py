"""A constraint as tokens see it: states are small indices, and what is found about them is remembered."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from midfill.engine.schema.constraint import DEAD, Constraint
from midfill.engine.schema.spellings import Spellings

Indices = NDArray[np.integer[Any]]
Scores = NDArray[np.floating[Any]]

UNKNOWN = 0
"""Index of a step that was never taken."""
NOWHERE = 1
"""Index of the constraint's dead state."""
FAR = np.iinfo(np.int32).max
"""Tokens to an exit where no completion is known."""
MAX_REMEMBERED = 1 << 20
"""Steps by tokens, about 100 MB of them; beyond that they are forgotten and found again."""
MOST_OPENED = 48
"""States whose completions and continuations are asked for: a search each."""
MOST_LOOKS = 4096
"""States of which is asked whether the hole may end there: each may read all that comes after it."""


class Edges(NamedTuple):
    """Steps that lead on from states, flat."""

    source: Indices
    """Place of the state in the array that was asked about."""
    token: Indices
    target: Indices


class TokenAutomaton:
    """What tokens do in the states of one constraint."""

    def __init__(
        self, constraint: Constraint, spellings: Spellings, openings: int = MOST_OPENED, looks: int = MOST_LOOKS
    ) -> None:
        self.constraint, self.spellings = constraint, spellings
        self._states = [DEAD, DEAD]
        self._index_of = {DEAD: NOWHERE}
        self._steps: dict[int, int] = {}  # of the constraint, by state and byte
        self._by_token: dict[int, int] = {}  # by state and token
        self.is_exit = np.zeros(64, dtype=bool)
        """By state: whether the hole is known to be able to end there."""
        self.to_exit = np.full(64, FAR, dtype=np.int32)
        """By state: tokens that are known to be enough to an exit. Following the forced ones, it falls each time."""
        self.openings = openings
        """States that may still be opened."""
        self.looks = looks
        """States that may still be looked at."""
        self._looked_at = np.zeros(64, dtype=bool)
        self._opened = np.zeros(64, dtype=bool)
        self._suggested = np.zeros(64, dtype=bool)
        self._closed = np.zeros((64, 256), dtype=bool)
        """By state and byte: where no token leads on that begins so. Most of a canvas's likeliest tokens end there."""
        self._plans: dict[int, int] = {}
        self._forced_at = np.zeros((64, 2), dtype=np.int64)  # by state: where its forced edges begin, how many
        self._forced = np.zeros((256, 2), dtype=np.int64)  # token, target
        self._num_forced = 0
        self.start = self._index(constraint.start)

    def __len__(self) -> int:
        """States found so far; indices are below this."""
        return len(self._states)

    def open_start(self) -> None:
        """Finds out how a fill may begin, and how far it is from there to an exit."""
        if self.start != NOWHERE:
            self.open(np.array([self.start]))

    def look(self, states: Indices) -> None:
        """Finds out at which of them the hole may end, the first ones first, as long as `looks` are left."""
        for state in states.tolist():
            if self.looks > 0 and not self._looked_at[state]:
                self.looks -= 1
                self._look(state)

    def open(self, states: Indices) -> None:
        """Finds out which tokens are forced there, the most wanted states first, as long as `openings` are left."""
        self.look(states)
        for state in states.tolist():
            if self.openings > 0 and not self._opened[state]:
                self.openings -= 1
                self._open(state)

    def suggest(self, states: Indices) -> None:
        """Finds out which tokens are on likely ways from there, of what `open` does the part that takes little time."""
        for state in states.tolist():
            if self.openings > 0 and not self._opened[state] and not self._suggested[state]:
                self.openings -= 1
                self._suggest(state)

    def is_known(self, states: Indices) -> bool:
        """Whether there is nothing more to find out about any of them."""
        is_looked_at = not self.looks or bool(self._looked_at[states].all())
        return is_looked_at and (not self.openings or bool(self._opened[states].all()))

    def is_opened(self, states: Indices) -> NDArray[np.bool_]:
        """Whether each was opened."""
        return self._opened[states]

    def forced(self, states: Indices) -> Edges:
        """For each state, tokens to follow whatever their probability: on its likely ways, and to an exit.

        The former are known of a state that `suggest` or `open` was asked about, the latter of one that was opened.
        """
        begins, counts = self._forced_at[states].T
        source = np.repeat(np.arange(len(states)), counts)
        within = np.arange(len(source)) - np.repeat(np.cumsum(counts) - counts, counts)
        token, target = self._forced[within + begins[source]].T
        return Edges(source, token, target)

    def step(self, states: Indices, tokens: Indices) -> Indices:
        """The state after a token from each state: [N], [N] -> [N]."""
        found = np.full(len(states), NOWHERE)
        may_lead_on = np.flatnonzero(~self._closed[states, self.spellings.first_bytes[tokens]])
        known, size = self._by_token, len(self.spellings.token_bytes)
        keys = (states[may_lead_on] * size + tokens[may_lead_on]).tolist()
        after = [known.get(key, UNKNOWN) for key in keys]
        if UNKNOWN in after:
            if len(known) > MAX_REMEMBERED:
                known.clear()
            for place, key in enumerate(keys):
                if after[place] == UNKNOWN:
                    after[place] = self._walk(*divmod(key, size))
                    known[key] = after[place]
        found[may_lead_on] = after
        return found

    def _walk(self, state: int, token: int) -> int:
        """The state after `token`, which is not remembered yet."""
        inner, steps = self._states[state], self._steps
        spelled = self.spellings.token_bytes[token]
        if not spelled:
            return NOWHERE
        for byte in spelled:
            pair = inner << 8 | byte
            after = steps.get(pair)
            if after is None:
                after = steps[pair] = self.constraint.step(inner, byte)
            if after == DEAD:
                if inner == self._states[state]:
                    self._closed[state, byte] = True
                return NOWHERE
            inner = after
        return self._index(inner)

    def _index(self, state: int) -> int:
        """The index of a state of the constraint, a new one where it was never met."""
        index = self._index_of.get(state)
        if index is None:
            index = self._index_of[state] = len(self._states)
            self._states.append(state)
            self._grow(len(self._states))
        return index

    def _grow(self, size: int) -> None:
        if size <= len(self._opened):
            return
        self.is_exit = _grown(self.is_exit, size)
        self._looked_at = _grown(self._looked_at, size)
        self._opened = _grown(self._opened, size)
        self._suggested = _grown(self._suggested, size)
        self._closed = _grown(self._closed, size)
        self._forced_at = _grown(self._forced_at, size)
        known = len(self.to_exit)
        self.to_exit = _grown(self.to_exit, size)
        self.to_exit[known:] = FAR

    def _look(self, state: int) -> None:
        self._looked_at[state] = True
        self.is_exit[state] = self.constraint.is_exit(self._states[state])
        if self.is_exit[state]:
            self.to_exit[state] = 0

    def _open(self, state: int) -> None:
        self._opened[state] = True
        inner = self._states[state]
        if not self.is_exit[state]:
            self._plan(state, self.constraint.completion(inner))
        self._suggest(state)

    def _suggest(self, state: int) -> None:
        self._suggested[state] = True
        texts = self.constraint.continuations(self._states[state])
        starts = (self.spellings.longest_start(text) for text in texts)
        self._force(state, [token for token in starts if token is not None])

    def _plan(self, state: int, completion: bytes | None) -> None:
        """Remembers for each state on the way of a completion how far it is to the exit, and by which token."""
        tokens = None if completion is None else self.spellings.fewest(completion)
        if tokens is None:
            return
        for left, token in zip(range(len(tokens), 0, -1), tokens, strict=True):
            after = self._walk(state, token)
            assert after != NOWHERE, "a completion stays alive"
            if left < self.to_exit[state]:
                self.to_exit[state], self._plans[state] = left, token
                self._force(state, self._forced_tokens(state))
            state = after
        self.to_exit[state], self.is_exit[state], self._looked_at[state] = 0, True, True

    def _forced_tokens(self, state: int) -> Sequence[int]:
        begin, count = self._forced_at[state]
        return self._forced[begin : begin + count, 0].tolist()

    def _force(self, state: int, tokens: Sequence[int]) -> None:
        """Sets the forced edges of `state`: by the tokens that lead on, and by the one that is planned."""
        planned = [self._plans[state]] if state in self._plans else []
        edges = [(token, self._walk(state, token)) for token in dict.fromkeys([*planned, *tokens])]
        edges = [(token, after) for token, after in edges if after != NOWHERE]
        self._forced_at[state] = self._num_forced, len(edges)
        self._num_forced += len(edges)
        self._forced = _grown(self._forced, self._num_forced)
        if edges:
            self._forced[self._num_forced - len(edges) : self._num_forced] = edges


def _grown(array: NDArray, size: int) -> NDArray:
    """The array with room for `size`, twice as much as it has where that is too little; zeros are new."""
    if size <= len(array):
        return array
    larger = np.zeros((max(size, 2 * len(array)), *array.shape[1:]), dtype=array.dtype)
    larger[: len(array)] = array
    return larger
