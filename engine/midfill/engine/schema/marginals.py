"""Sums over all ways through a lattice: how probable each token is at each position, given that the fill is allowed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from midfill.engine.schema.token_automaton import Edges, Indices, Scores


class Marginals(NamedTuple):
    """What a position holds, over all fills that the constraint allows, by their probability."""

    tokens: Indices
    """Those with a probability, each once."""
    probabilities: Scores
    ended: float
    """Probability that the fill is shorter. With the others, it makes one."""


LOWEST = -1e4
"""Log-probabilities that are made from marginals are no lower: none is infinite, and this is no probability at all."""
ROUNDING = 1e-6
"""What the probabilities of a position may lack of one: a fill's logarithm can be in the millions."""


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


def in_place_of(log_probabilities: Tensor, found: Sequence[Marginals]) -> Tensor:
    """Log-probabilities [L, V] that say `found`; the given ones count as far as the fill has ended. Pure."""
    ended = torch.tensor([each.ended for each in found], dtype=log_probabilities.dtype)
    position = np.repeat(np.arange(len(found)), [len(each.tokens) for each in found])
    place = (torch.from_numpy(position), torch.from_numpy(np.concatenate([each.tokens for each in found])))
    sums = torch.from_numpy(np.concatenate([each.probabilities for each in found]))
    # Their `exp`, as in `canvas.py`.
    mixed = log_probabilities.softmax(dim=-1).mul_(ended.to(log_probabilities.device)[:, None])
    at = tuple(each.to(mixed.device) for each in place)
    return mixed.index_put_(at, sums.to(mixed), accumulate=True).log_().clamp_(min=LOWEST)


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
    ended = 1 - float(probabilities.sum())
    return Marginals(each, probabilities, ended if ended > ROUNDING else 0.0)


def _log_sums(scores: Scores, groups: Indices, num_groups: int) -> Scores:
    """Of each group, log of the sum of exp of its scores, minus infinity for an empty one. Pure."""
    most = np.full(num_groups, -np.inf)
    np.maximum.at(most, groups, scores)
    shift = np.where(np.isfinite(most), most, 0.0)
    with np.errstate(divide="ignore"):
        return shift + np.log(np.bincount(groups, np.exp(scores - shift[groups]), num_groups))
