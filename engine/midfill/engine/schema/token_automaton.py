"""A constraint as tokens see it: states are small indices, and what is found about them stays in arrays.

The lattice asks for thousands of steps a solve, so that warm ones must be one look-up in an array for all at once.
"""

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
MAX_REMEMBERED = 1 << 24
"""Token steps, 64 MiB of them; beyond that they are forgotten and found again."""

MOST_OPENED = 128
"""States whose completions and continuations are asked for: a search each."""


class Edges(NamedTuple):
    """Steps that lead on from states, flat."""

    source: Indices
    """Place of the state in the array that was asked about."""
    token: Indices
    target: Indices


class TokenAutomaton:
    """What tokens do in the states of one constraint."""

    def __init__(self, constraint: Constraint, spellings: Spellings, openings: int = MOST_OPENED) -> None:
        self.constraint, self.spellings = constraint, spellings
        self._states = [DEAD, DEAD]
        self._index_of = {DEAD: NOWHERE}
        self._by_byte = np.zeros((64, 256), dtype=np.int32)
        self._by_byte[:2] = NOWHERE
        self._rows = np.zeros(64, dtype=np.int32)  # of a state in `_by_token`
        self._columns = np.zeros(len(spellings.lengths), dtype=np.int32)  # of a token in `_by_token`
        self._num_rows = self._num_columns = 0
        self._by_token = np.zeros((16, 256), dtype=np.int32)
        self.is_exit = np.zeros(64, dtype=bool)
        """By state: whether the hole may end there. Of opened states."""
        self.to_exit = np.full(64, FAR, dtype=np.int32)
        """By state: tokens that are known to be enough to an exit. Following the forced ones, it falls each time."""
        self.openings = openings
        """States that may still be opened."""
        self._looked_at = np.zeros(64, dtype=bool)
        self._opened = np.zeros(64, dtype=bool)
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
        """Finds out at which of them the hole may end."""
        unseen = ~self._looked_at[states]
        if unseen.any():
            for state in states[unseen].tolist():
                self._look(state)

    def open(self, states: Indices) -> None:
        """Finds out which tokens are forced there, the most wanted states first, as long as `openings` are left."""
        self.look(states)
        for state in states[~self._opened[states]].tolist():
            if self.openings > 0:
                self.openings -= 1
                self._open(state)

    def is_opened(self, states: Indices) -> NDArray[np.bool_]:
        """Whether each was opened."""
        return self._opened[states]

    def forced(self, states: Indices) -> Edges:
        """For each opened state, tokens to follow whatever their probability: to an exit, and on its likely ways."""
        begins, counts = self._forced_at[states].T
        source = np.repeat(np.arange(len(states)), counts)
        within = np.arange(len(source)) - np.repeat(np.cumsum(counts) - counts, counts)
        token, target = self._forced[within + begins[source]].T
        return Edges(source, token, target)

    def step(self, states: Indices, tokens: Indices) -> Indices:
        """The state after a token from each state: [N], [N] -> [N]."""
        self._make_room(states, tokens)
        rows, columns = self._rows[states], self._columns[tokens]
        found = self._by_token[rows, columns]
        unknown = np.flatnonzero(found == UNKNOWN)
        if len(unknown):
            found[unknown] = self._walk(states[unknown], tokens[unknown])
            self._by_token[rows[unknown], columns[unknown]] = found[unknown]
        return found

    def _make_room(self, states: Indices, tokens: Indices) -> None:
        """Gives each state a row, each token a column. Forgets all steps first where too many would be remembered."""
        if (self._num_rows + len(states) + 1) * (self._num_columns + len(tokens) + 1) > MAX_REMEMBERED:
            self._rows[:], self._columns[:], self._by_token[:] = 0, 0, UNKNOWN
            self._num_rows = self._num_columns = 0
        self._num_rows += _number(self._rows, states, self._num_rows)
        self._num_columns += _number(self._columns, tokens, self._num_columns)
        self._by_token = _grown(_grown(self._by_token, self._num_rows + 1, axis=0), self._num_columns + 1, axis=1)

    def _walk(self, states: Indices, tokens: Indices) -> Indices:
        """`step`, byte by byte, all pairs side by side."""
        spellings = self.spellings
        at, ends = spellings.starts[tokens], spellings.starts[tokens] + spellings.lengths[tokens]
        reached = np.where(at < ends, states, NOWHERE)
        going = np.flatnonzero(reached != NOWHERE)
        while len(going):
            after = self._step_bytes(reached[going], spellings.flat[at[going]])
            reached[going] = after
            at[going] += 1
            going = going[(after != NOWHERE) & (at[going] < ends[going])]
        return reached

    def _step_bytes(self, states: Indices, bytes_: NDArray[np.uint8]) -> Indices:
        found = self._by_byte[states, bytes_]
        unknown = found == UNKNOWN
        if unknown.any():
            for pair in np.unique(states[unknown] * 256 + bytes_[unknown]).tolist():
                self._step_byte(*divmod(pair, 256))
            found = self._by_byte[states, bytes_]
        return found

    def _step_byte(self, state: int, byte: int) -> int:
        found = int(self._by_byte[state, byte])
        if found == UNKNOWN:
            found = self._index(self.constraint.step(self._states[state], byte))
            self._by_byte[state, byte] = found
        return found

    def _step_token(self, state: int, token: int) -> int:
        for byte in self.spellings.token_bytes[token]:
            state = self._step_byte(state, byte)
        return state

    def _index(self, state: int) -> int:
        """The index of a state of the constraint, a new one where it was never met."""
        index = self._index_of.get(state)
        if index is None:
            index = self._index_of[state] = len(self._states)
            self._states.append(state)
            self._grow(len(self._states))
        return index

    def _grow(self, size: int) -> None:
        if size <= len(self._rows):
            return
        self._by_byte = _grown(self._by_byte, size)
        self._rows = _grown(self._rows, size)
        self.is_exit = _grown(self.is_exit, size)
        self._looked_at = _grown(self._looked_at, size)
        self._opened = _grown(self._opened, size)
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
        starts = (self.spellings.longest_start(text) for text in self.constraint.continuations(inner))
        self._force(state, [token for token in starts if token is not None])

    def _plan(self, state: int, completion: bytes | None) -> None:
        """Remembers for each state on the way of a completion how far it is to the exit, and by which token."""
        tokens = None if completion is None else self.spellings.fewest(completion)
        if tokens is None:
            return
        for left, token in zip(range(len(tokens), 0, -1), tokens, strict=True):
            after = self._step_token(state, token)
            assert after != NOWHERE, "a completion stays alive"
            if left < self.to_exit[state]:
                self.to_exit[state], self._plans[state] = left, token
                self._force(state, self._forced_tokens(state))
            state = after
        self.to_exit[state] = 0

    def _forced_tokens(self, state: int) -> Sequence[int]:
        begin, count = self._forced_at[state]
        return self._forced[begin : begin + count, 0].tolist()

    def _force(self, state: int, tokens: Sequence[int]) -> None:
        """Sets the forced edges of `state`: by the tokens that lead on, and by the one that is planned."""
        planned = [self._plans[state]] if state in self._plans else []
        edges = [(token, self._step_token(state, token)) for token in dict.fromkeys([*planned, *tokens])]
        edges = [(token, after) for token, after in edges if after != NOWHERE]
        self._forced_at[state] = self._num_forced, len(edges)
        self._num_forced += len(edges)
        self._forced = _grown(self._forced, self._num_forced)
        if edges:
            self._forced[self._num_forced - len(edges) : self._num_forced] = edges


def _number(numbers: NDArray[np.integer[Any]], places: Indices, last: int) -> int:
    """Numbers the `places` that have none, from after `last`; how many those are."""
    missing = numbers[places] == 0
    if not missing.any():
        return 0
    fresh = np.unique(places[missing])
    numbers[fresh] = np.arange(last + 1, last + 1 + len(fresh))
    return len(fresh)


def _grown(array: NDArray, size: int, axis: int = 0) -> NDArray:
    """The array with room for `size` along `axis`, twice as much as it has where that is too little; zeros are new."""
    if size <= array.shape[axis]:
        return array
    shape = list(array.shape)
    shape[axis] = max(size, 2 * shape[axis])
    larger = np.zeros(shape, dtype=array.dtype)
    larger[tuple(slice(length) for length in array.shape)] = array
    return larger
