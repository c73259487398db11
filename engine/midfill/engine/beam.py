"""Beam search by the causal mode: fills written left to right, each judged by how well the suffix follows it.

The canvas sees both sides but guesses positions side by side; this sees each token's predecessors, and finds what
the canvas misses where one token hangs on the last.
"""

from collections.abc import Generator, Sequence
from typing import NamedTuple

import msgspec
import torch
from torch import Tensor

from midfill.engine.branches import Branches
from midfill.engine.causal_gemma import CausalGemma
from midfill.engine.kv import KVSlot


class Hypothesis(NamedTuple):
    """A fill, or the start of one."""

    tokens: list[int]
    log_probability: float
    """Of all its tokens, and of the suffix's first where it has ended."""


class BeamSettings(msgspec.Struct, frozen=True):
    """How far the search goes."""

    width: int
    """Hypotheses that go on after each token."""
    longest: int
    """Tokens of a fill."""
    kept: int
    """Fills that it gives."""
    margin: float = float("inf")
    """Nats by which the start of a fill may be less likely than the best fill that has ended, to be gone on with."""
    enough: int | None = None
    """The start of a fill has to be likelier than the best so many that have ended, to be gone on with; or than `kept`.

    What has ended by the way costs little to compare, each token more a pass.
    """


@torch.inference_mode()
def beam_search(
    model: CausalGemma,
    slot: KVSlot,
    suffix_start: int,
    banned: Tensor,
    banned_first: Tensor | None,
    settings: BeamSettings,
) -> Generator[list[list[int]], None, None]:
    """The best fills found so far, best first: a `next()` is a forward pass.

    A fill's log-probability is that of its tokens and then `suffix_start`. What `banned` and `banned_first`, [V] bool,
    say may not be written, and not as the first token. Reads `slot`, never writes to it.
    """
    assert slot.last_hidden is not None
    branches = Branches(model, slot)
    follow = log_probabilities(model, slot.last_hidden[None])
    allowed = follow.masked_fill(banned if banned_first is None else banned | banned_first, -torch.inf)
    live, parents = _extended([Hypothesis([], 0.0)], allowed, settings.width, -torch.inf)
    kept: list[Hypothesis] = []
    while live:
        branches.reorder(parents)
        follow = log_probabilities(model, branches.append([each.tokens[-1] for each in live]))
        found = [*kept, *ended(live, follow[:, suffix_start])]
        kept = sorted(found, key=lambda each: each.log_probability, reverse=True)[: settings.kept]
        yield [each.tokens for each in kept]
        if branches.length == settings.longest:
            return
        live, parents = _extended(live, follow.masked_fill(banned, -torch.inf), settings.width, _floor(kept, settings))


def _floor(kept: Sequence[Hypothesis], settings: BeamSettings) -> float:
    """What a start has to be likelier than, given the fills kept so far, best first."""
    floor = kept[0].log_probability - settings.margin
    enough = settings.enough or settings.kept
    # A log-probability only falls: what is not above a fill now will not be.
    return max(floor, kept[enough - 1].log_probability) if len(kept) >= enough else floor


def log_probabilities(model: CausalGemma, hidden: Tensor) -> Tensor:
    """Of the token that follows: hidden states [B, hidden] -> [B, V] float32."""
    return model.logits(hidden).log_softmax(dim=-1)


def ended(live: Sequence[Hypothesis], ends: Tensor) -> list[Hypothesis]:
    """The hypotheses with the log-probability `ends` [B] of what follows each."""
    return [Hypothesis(each.tokens, each.log_probability + end) for each, end in zip(live, ends.tolist(), strict=True)]


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
