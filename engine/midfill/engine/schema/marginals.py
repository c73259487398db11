"""Sums over all ways through a lattice: how probable each token is at each position, given that the fill is allowed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from midfill.engine.schema.token_automaton import Edges, Indices, Scores


class Marginals(NamedTuple):
    """What a position holds, over all fills that the constraint allows, by their probability."""

    tokens: Indices
    """Those with a probability, each once."""
    probabilities: Scores
    ended: float
    """Probability that the fill is shorter. With the others, it makes one."""


class Layer(NamedTuple):
    """The edges at one position, between places in the columns of states before and after it."""

    edges: Edges
    scores: Scores
    """Log-probability of each edge's token."""


def marginals(layers: Sequence[Layer], exits: Sequence[Scores]) -> list[Marginals]:
    """Of each layer; empty if no way ends. Forward-backward in logarithms. Pure.

    `exits` are, for each column of states, zeros where a fill may end and minus infinity elsewhere: one column more
    than there are layers.
    """
    forward = _forward(layers, exits)
    backward = _backward(layers, exits)
    total = float(np.logaddexp.reduce(backward[0], initial=-np.inf))
    if total == -np.inf:
        return []
    return [
        _at(layer.edges.token, before[layer.edges.source] + layer.scores + after[layer.edges.target] - total)
        for layer, before, after in zip(layers, forward[:-1], backward[1:], strict=True)
    ]


def _forward(layers: Sequence[Layer], exits: Sequence[Scores]) -> list[Scores]:
    """Of all ways from the start to each state."""
    sums: list[Scores] = [np.zeros(len(exits[0]))]
    for layer, column in zip(layers, exits[1:], strict=True):
        sums.append(_log_sums(sums[-1][layer.edges.source] + layer.scores, layer.edges.target, len(column)))
    return sums


def _backward(layers: Sequence[Layer], exits: Sequence[Scores]) -> list[Scores]:
    """Of all ways from each state to an end."""
    sums: list[Scores] = [exits[-1]]
    for layer, ends in zip(reversed(layers), reversed(exits[:-1]), strict=True):
        going_on = _log_sums(layer.scores + sums[-1][layer.edges.target], layer.edges.source, len(ends))
        sums.append(np.logaddexp(going_on, ends))
    return sums[::-1]


def _at(tokens: Indices, log_weights: Scores) -> Marginals:
    each, place = np.unique(tokens, return_inverse=True)
    probabilities: Scores = np.bincount(place, np.exp(log_weights), len(each)).astype(np.float64)
    return Marginals(each, probabilities, max(0.0, 1 - float(probabilities.sum())))


def _log_sums(scores: Scores, groups: Indices, num_groups: int) -> Scores:
    """Of each group, log of the sum of exp of its scores, minus infinity for an empty one. Pure."""
    most = np.full(num_groups, -np.inf)
    np.maximum.at(most, groups, scores)
    shift = np.where(np.isfinite(most), most, 0.0)
    with np.errstate(divide="ignore"):
        return shift + np.log(np.bincount(groups, np.exp(scores - shift[groups]), num_groups))
