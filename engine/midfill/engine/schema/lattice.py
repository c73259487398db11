"""The most probable fills that a constraint allows, from what a canvas says of each position on its own.

A lattice has a column of live states before each position and after the last. Its edges are the position's likeliest
tokens and, for each state, those that the constraint forces there, so that a way to an exit stays open whatever the
probabilities say. How many tokens the hole holds is free: a fill may end wherever an exit is live, and what the canvas
says of the positions behind it does not count.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from midfill.engine.schema.marginals import Layer, Marginals, in_place_of, marginals
from midfill.engine.schema.token_automaton import FAR, NOWHERE, Edges, Indices, Scores, TokenAutomaton

LOWEST = -1e5
"""Log-probabilities are no lower: a fill that needs an impossible token is still better than none."""


class LatticeLimits(NamedTuple):
    """How much of all that is possible is looked at."""

    tokens: int = 32
    """Likeliest tokens of each position."""
    states: int = 32
    """Live states before each position."""
    opened: int = 6
    """Of those, the best whose forced tokens are followed, too."""


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
        self._given = log_probabilities
        self._top = log_probabilities.topk(min(limits.tokens, log_probabilities.shape[1]), dim=-1)[1].cpu().numpy()
        self._scores: Scores = log_probabilities.float().clamp(min=LOWEST).cpu().numpy()
        self._limits = limits
        self._place = np.full(log_probabilities.shape[1], -1)  # of tokens among a position's likeliest
        start = np.array([automaton.start] if automaton.start != NOWHERE else [], dtype=np.int64)
        automaton.open_start()
        self.columns = [_Column(start, np.zeros(len(start)), None, start, np.zeros(len(start), dtype=bool))]
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

    def posterior(self) -> Tensor | None:
        """The canvas's log-probabilities [L, V] given that its hole is filled as allowed; None if no fill is.

        The fill is as long as the canvas if any is, since what comes after the hole stands right behind it.
        """
        found = self.marginals(self.length) or self.marginals()
        return in_place_of(self._given, found) if found else None

    def _next(self, column: "_Column", position: int) -> "_Column":
        """The states after `position`, and the best way to each."""
        edges = self._edges(column, position)
        scores = column.best[edges.source] + self._scores_of(position, edges.token)
        ways = self._kept(edges, scores, _best_ways(edges.target, scores), self.length - position - 1)
        states, best, follows_lost = edges.target[ways], scores[ways], column.is_lost[edges.source[ways]]
        self._open(states, np.where(follows_lost, -np.inf, best))
        is_lost = (follows_lost | self.automaton.is_opened(states)) & (self.automaton.to_exit[states] == FAR)
        return _Column(states, best, edges, ways, is_lost)

    def _edges(self, column: "_Column", position: int) -> Edges:
        """The steps from the states of `column` that matter, each once."""
        top = self._top[position]
        scores = column.best[:, None] + self._scores_of(position, top)
        taken = np.zeros(scores.size + 1, dtype=bool)  # the last stands for all that are not among the likeliest
        likely = self._likely(column.states, top, scores.ravel(), taken)
        forced = self.automaton.forced(column.states)
        self._place[top] = np.arange(len(top))
        place = self._place[forced.token]
        others = np.flatnonzero(~taken[np.where(place < 0, scores.size, forced.source * len(top) + place)])
        self._place[top] = -1
        return Edges(*(np.concatenate((one, other[others])) for one, other in zip(likely, forced, strict=True)))

    def _likely(self, states: Indices, top: Indices, scores: Scores, taken: NDArray[np.bool_]) -> Edges:
        """Steps by the likeliest tokens, whose scores are [states, top] flat; notes in `taken` which were looked at.

        Only the best of them are, if those lead to states enough: in a string nearly all tokens lead on.
        """
        size = 3 * self._limits.states // 2
        parts: list[Edges] = []
        found: set[int] = set()
        order = np.argpartition(-scores, size) if size < len(scores) else np.arange(len(scores))
        begin = 0
        while begin < len(scores) and len(found) < self._limits.states:
            places = order[begin : begin + size]
            taken[places] = True
            parts.append(self._alive(states, top, places))
            found.update(parts[-1].target.tolist())
            begin, size = begin + size, 2 * size
            if len(parts) == 1 and len(found) < self._limits.states:
                order[begin:] = order[begin:][(-scores[order[begin:]]).argsort()]
        return Edges(*(np.concatenate(each) for each in zip(*parts, strict=True)))

    def _alive(self, states: Indices, top: Indices, places: Indices) -> Edges:
        """Those steps, of [states, top] flat, that the constraint allows."""
        source, place = np.divmod(places, len(top))
        targets = self.automaton.step(states[source], top[place])
        alive = np.flatnonzero(targets != NOWHERE)
        return Edges(source[alive], top[place[alive]], targets[alive])

    def _kept(self, edges: Edges, scores: Scores, ways: Indices, left: int) -> Indices:
        """Of the best ways to states, those to go on from; first such that may yet come to an exit in `left` tokens.

        Of those that surely do at least one is kept if there is any, so a way from the start to an exit is never lost.
        """
        if len(ways) <= self._limits.states:
            return ways
        states = edges.target[ways]
        to_exit = self.automaton.to_exit[states]
        hopeless = self.automaton.is_opened(states) & (to_exit > left)
        order = np.lexsort((-scores[ways], hopeless))
        kept = order[: self._limits.states]
        sure = order[to_exit[order] <= left]
        if len(sure) and not (to_exit[kept] <= left).any():
            kept[-1] = sure[0]
        return ways[kept]

    def _open(self, states: Indices, scores: Scores) -> None:
        """Looks at all states, the best first, and opens the best of those with a score."""
        if self.automaton.is_known(states):
            return
        order = np.argsort(-scores, kind="stable")
        self.automaton.look(states[order])
        order = order[: self._limits.opened]
        self.automaton.open(states[order[scores[order] > -np.inf]])

    def _scores_of(self, position: int, tokens: Indices) -> Scores:
        return self._scores[position, tokens]

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
        return Layer(Edges(source, token, place[target]), self._scores_of(position, token))


def _best_ways(targets: Indices, scores: Scores) -> Indices:
    """Of the edges to each target, the one with the highest score. Pure."""
    order = np.lexsort((scores, targets))
    targets = targets[order]
    is_last = np.ones(len(order), dtype=bool)
    np.not_equal(targets[1:], targets[:-1], out=is_last[:-1])
    return order[is_last]


class _Column(NamedTuple):
    """The live states before a position, or after the last."""

    states: Indices
    best: Scores
    """Log-probability of the best way to each."""
    edges: Edges | None
    """All that led here, from the column before; None before the first position."""
    ways: Indices
    """Of each state, the edge of its best way."""
    is_lost: NDArray[np.bool_]
    """Whether no completion was found of it, or of a state on its best way: then none is looked for again."""
