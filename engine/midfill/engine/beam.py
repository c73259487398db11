"""Beam search by the causal mode: fills written left to right, each judged by how well the suffix follows it.

The canvas sees both sides but guesses positions side by side; this sees each token's predecessors, and finds what
the canvas misses where one token hangs on the last.
"""

from collections.abc import Generator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from midfill.engine.branches import Branches
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.kv import KVSlot


class Hypothesis(NamedTuple):
    """A fill, or the start of one."""

    tokens: list[int]
    log_probability: float
    """Of all its tokens, and of the suffix's first where it is finished."""


@torch.inference_mode()
def beam_search(
    model: DiffusionGemma,
    slot: KVSlot,
    suffix_start: int,
    banned: Tensor,
    banned_first: Tensor | None,
    width: int,
    longest: int,
) -> Generator[list[int], None, list[list[int]]]:
    """The `width` fills found best, best first; a `next()` is a forward pass and gives the best so far.

    A fill has 1 to `longest` tokens and ends with the log-probability of `suffix_start`, the token that then follows.
    `banned` and `banned_first`, [V] bool, may not be written, and not as the first. Reads `slot`, never writes to it.
    """
    assert slot.last_hidden is not None
    branches = Branches(model, slot)
    follow = _log_probabilities(model, slot.last_hidden[None])
    allowed = follow.masked_fill(banned if banned_first is None else banned | banned_first, -torch.inf)
    live, parents = _extended([Hypothesis([], 0.0)], allowed, width, floor=-torch.inf)
    finished: list[Hypothesis] = []
    while live:
        branches.reorder(parents)
        follow = _log_probabilities(model, branches.append([each.tokens[-1] for each in live]))
        finished = _best([*finished, *_finished(live, follow[:, suffix_start])], width)
        yield finished[0].tokens
        if branches.length == longest:
            break
        # A log-probability only falls: what is not above the worst kept fill now will not be.
        floor = finished[-1].log_probability if len(finished) == width else -torch.inf
        live, parents = _extended(live, follow.masked_fill(banned, -torch.inf), width, floor)
    return [each.tokens for each in finished]


def _log_probabilities(model: DiffusionGemma, hidden: Tensor) -> Tensor:
    """Of the token that follows: hidden states [B, hidden] -> [B, V] float32."""
    return model.logits(hidden).log_softmax(dim=-1)


def _finished(live: Sequence[Hypothesis], ends: Tensor) -> list[Hypothesis]:
    """The hypotheses with the log-probability `ends` [B] of what follows each."""
    return [Hypothesis(each.tokens, each.log_probability + end) for each, end in zip(live, ends.tolist(), strict=True)]


def _best(hypotheses: Sequence[Hypothesis], count: int) -> list[Hypothesis]:
    return sorted(hypotheses, key=lambda each: each.log_probability, reverse=True)[:count]


def _extended(
    live: Sequence[Hypothesis], follow: Tensor, width: int, floor: float
) -> tuple[list[Hypothesis], list[int]]:
    """The best `width` hypotheses of one token more, those above `floor`, best first, and which each one continues.

    `follow` [B, V] are the log-probabilities of that token, minus infinity where it may not be.
    """
    so_far = torch.tensor([each.log_probability for each in live], device=follow.device)
    found, places = (follow + so_far[:, None]).flatten().topk(min(width, follow.numel()))
    longer, parents = [], []
    for log_probability, place in zip(found.tolist(), places.tolist(), strict=True):
        parent, token = divmod(place, follow.shape[1])
        if log_probability > floor:
            longer.append(Hypothesis([*live[parent].tokens, token], log_probability))
            parents.append(parent)
    return longer, parents
