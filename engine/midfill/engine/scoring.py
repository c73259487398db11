"""How probable texts are to the causal mode of the same weights: what chooses between candidate fills."""

from collections.abc import Sequence

import torch
from torch import Tensor

from midfill.engine.causal_gemma import CausalGemma
from midfill.engine.kv import KVSlot
from midfill.engine.passes import read_rows


@torch.inference_mode()
def continuation_log_probabilities(
    model: CausalGemma, slot: KVSlot, continuations: Sequence[Sequence[int]]
) -> list[Tensor]:
    """Log-probability of each token of each continuation of the cached prompt: one causal pass for all, slot unchanged.

    For each continuation, of one token or more, a float32 tensor as long as it is.
    """
    assert slot.last_hidden is not None
    assert all(continuations)
    longest = max(len(tokens) for tokens in continuations)
    padded = torch.tensor([[*tokens, *[0] * (longest - len(tokens))] for tokens in continuations], device=slot.device)
    first = slot.last_hidden.expand(len(padded), 1, -1)
    hidden = first
    if longest > 1:
        hidden = torch.cat((first, read_rows(model, slot, padded[:, :-1])), dim=1)
    return [
        model.logits(row[: len(tokens)]).log_softmax(dim=-1).gather(-1, ids[: len(tokens), None])[:, 0]
        for row, tokens, ids in zip(hidden, continuations, padded, strict=True)
    ]
