"""The most probable fills that a constraint allows, from what a canvas says of each position on its own.

A lattice has a column of live states before each position and after the last. Its edges are the position's likeliest
tokens and, for each state, those that the constraint forces there, so that a way to an exit stays open whatever the
probabilities say. How many tokens the hole holds is free: a fill may end wherever an exit is live, and what the canvas
says of the positions behind it does not count.
"""

from typing import NamedTuple

import numpy as np
from torch import Tensor

from midfill.engine.schema.marginals import Layer, Marginals, marginals
from midfill.engine.schema.token_automaton import NOWHERE, Edges, Indices, Scores, TokenAutomaton

LOWEST = -1e5
"""Log-probabilities are no lower: a fill that needs an impossible token is still better than none."""


class LatticeLimits(NamedTuple):
    """How much of all that is possible is looked at."""

    tokens: int = 32
    """Likeliest tokens of each position."""
    states: int = 96
    """Live states before each position."""


class Path(NamedTuple):
    """A fill that the constraint allows."""

    tokens: list[int]
    log_probability: float


class Lattice:
    """The solution for one canvas: [L, V] log-probabilities of the tokens at each position."""

    def __init__(
        self, automaton: TokenAutomaton, log_probabilities: Tensor, limits: LatticeLimits | None = None
    ) -> None:
        limits = limits or LatticeLimits()
        self.automaton, self.length = automaton, len(log_probabilities)
        self._top = log_probabilities.topk(min(limits.tokens, log_probabilities.shape[1]), dim=-1)[1].cpu().numpy()
        self._scores = log_probabilities.float().clamp(min=LOWEST).cpu().numpy()
        self._most = limits.states
        self._is_top = np.zeros(log_probabilities.shape[1], dtype=bool)
        start = np.array([automaton.start] if automaton.start != NOWHERE else [], dtype=np.int64)
        automaton.open(start)
        self.columns = [_Column(start, np.zeros(len(start)), None, np.zeros(0, dtype=np.int64))]
        for position in range(self.length):
            if not len(self.columns[-1].states):
                break
            self.columns.append(self._next(self.columns[-1], position))

    def paths(self) -> list[Path]:
        """The most probable fill of each number of tokens, the most probable first."""
        best: list[Path] = []
        for length, column in enumerate(self.columns):
            exits = np.flatnonzero(self.automaton.is_exit[column.states])
            if len(exits):
                end = int(exits[column.best[exits].argmax()])
                best.append(Path(self._tokens_to(length, end), float(column.best[end])))
        return sorted(best, key=lambda path: path.log_probability, reverse=True)

    def marginals(self, shortest: int = 0) -> list[Marginals]:
        """For each position, over all fills of at least `shortest` tokens; empty if there is none."""
        layers = [self._layer(position) for position in range(len(self.columns) - 1)]
        exits = [
            np.where(self.automaton.is_exit[column.states] & (length >= shortest), 0.0, -np.inf)
            for length, column in enumerate(self.columns)
        ]
        found = marginals(layers, exits)
        ended = Marginals(np.zeros(0, dtype=np.int64), np.zeros(0), 1.0)
        return found + [ended] * (self.length - len(found)) if found else []

    def _next(self, column: "_Column", position: int) -> "_Column":
        """The states after `position`, and the best way to each."""
        edges = self._edges(column.states, position)
        scores = column.best[edges.source] + self._scores[position, edges.token]
        best = np.full(len(self.automaton), -np.inf)
        np.maximum.at(best, edges.target, scores)
        ways = np.zeros(len(best), dtype=np.int64)
        wins = np.flatnonzero(scores == best[edges.target])
        ways[edges.target[wins]] = wins
        states = self._kept(best, self.length - position - 1)
        self.automaton.open(states)
        return _Column(states, best[states], edges, ways[states])

    def _edges(self, states: Indices, position: int) -> Edges:
        """All steps from `states`, each once."""
        automaton, top = self.automaton, self._top[position]
        targets = automaton.step(states, top).ravel()
        alive = np.flatnonzero(targets != NOWHERE)
        source, place = np.divmod(alive, len(top))
        forced = automaton.forced(states)
        self._is_top[top] = True
        others = np.flatnonzero(~self._is_top[forced.token])
        self._is_top[top] = False
        return Edges(
            np.concatenate((source, forced.source[others])),
            np.concatenate((top[place], forced.token[others])),
            np.concatenate((targets[alive], forced.target[others])),
        )

    def _kept(self, best: Scores, left: int) -> Indices:
        """The live states to go on from: the best, those first that may yet come to an exit in `left` tokens.

        Of those that surely do at least one is kept if there is any, so a way from the start to an exit is never lost.
        """
        live = np.flatnonzero(best > -np.inf)
        if len(live) <= self._most:
            return live
        to_exit = self.automaton.to_exit[live]
        hopeless = self.automaton.is_opened(live) & (to_exit > left)
        order = np.lexsort((-best[live], hopeless))
        kept = order[: self._most]
        sure = order[to_exit[order] <= left]
        if len(sure) and not (to_exit[kept] <= left).any():
            kept[-1] = sure[0]
        return np.sort(live[kept])

    def _tokens_to(self, length: int, place: int) -> list[int]:
        """The tokens of the best way to the state at `place` of the column after `length` positions."""
        tokens: list[int] = []
        for column in reversed(self.columns[1 : length + 1]):
            assert column.edges is not None
            edge = column.ways[place]
            tokens.append(int(column.edges.token[edge]))
            place = int(column.edges.source[edge])
        return tokens[::-1]

    def _layer(self, position: int) -> Layer:
        """The edges between the states kept before and after `position`."""
        column = self.columns[position + 1]
        assert column.edges is not None
        place = np.full(len(self.automaton), -1)
        place[column.states] = np.arange(len(column.states))
        kept = np.flatnonzero(place[column.edges.target] >= 0)
        source, token, target = (each[kept] for each in column.edges)
        return Layer(Edges(source, token, place[target]), self._scores[position, token].astype(np.float64))


class _Column(NamedTuple):
    """The live states before a position, or after the last."""

    states: Indices
    best: Scores
    """Log-probability of the best way to each."""
    edges: Edges | None
    """All that led here, from the column before; None before the first position."""
    ways: Indices
    """Of each state, the edge of its best way."""
