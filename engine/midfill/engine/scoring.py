"""How probable texts are to the causal mode of the same weights: what chooses between candidate fills."""

from collections.abc import Sequence

import torch
from torch import Tensor

from midfill.engine.causal_gemma import CausalGemma
from midfill.engine.kv import KVSlot
from midfill.engine.passes import read_rows
from midfill.engine.token_tree import token_tree
from midfill.engine.tree_kv import TreeKV

LOGITS_AT_ONCE = 1 << 26
"""256 positions of Google's vocabulary: 268 MB in float32, three times over. Each part reads the embedding once."""


@torch.inference_mode()
def continuation_log_probabilities(
    model: CausalGemma, slot: KVSlot, continuations: Sequence[Sequence[int]]
) -> list[Tensor]:
    """Log-probability of each token of each continuation of the cached prompt, whose tokens stay: one causal pass.

    For each continuation, of one token or more, a float32 tensor as long as it is.
    """
    assert slot.last_hidden is not None
    assert all(continuations)
    if model.kernels is not None:
        hidden, rows = _read_rows(model, slot, continuations)
    else:
        hidden, rows = _read_tree(model, slot, continuations)
    known = torch.cat((slot.last_hidden[None], hidden))
    before = [place for each in rows for place in (0, *(1 + row for row in each))]
    tokens = [token for each in continuations for token in each]
    found = log_probabilities_at(model, known, before, tokens)
    return list(found.split([len(each) for each in continuations]))


def log_probabilities(model: CausalGemma, hidden: Tensor) -> Tensor:
    """Of the token that follows: hidden states [N, hidden] -> [N, V] float32."""
    return model.logits(hidden).log_softmax(dim=-1)


def log_probabilities_at(model: CausalGemma, hidden: Tensor, rows: list[int], tokens: list[int]) -> Tensor:
    """Of each of `tokens` [N] by the hidden state that `rows` [N] says, of those in `hidden`: [N] float32."""
    at_once = max(1, LOGITS_AT_ONCE // model.config.vocab_size)
    if len(hidden) <= at_once:
        return log_probabilities(model, hidden)[rows, tokens]
    parts = []
    for start in range(0, len(rows), at_once):
        part = tokens[start : start + at_once]
        follow = log_probabilities(model, hidden[rows[start : start + at_once]])
        parts.append(follow[list(range(len(part))), part])
    return torch.cat(parts)


def _read_rows(
    model: CausalGemma, slot: KVSlot, continuations: Sequence[Sequence[int]]
) -> tuple[Tensor, list[list[int]]]:
    """Hidden states [N, hidden], and of each continuation those before its tokens but the first. A row for each."""
    length = max(len(tokens) for tokens in continuations) - 1
    if not length:
        return model.embed_tokens.weight[:0], [[] for _ in continuations]
    padded = [[*tokens, *[0] * length][:length] for tokens in continuations]
    hidden = read_rows(model, slot, torch.tensor(padded, device=slot.device)).flatten(0, 1)
    starts = range(0, len(hidden), length)
    return hidden, [list(range(start, start + len(t) - 1)) for start, t in zip(starts, continuations, strict=True)]


def _read_tree(
    model: CausalGemma, slot: KVSlot, continuations: Sequence[Sequence[int]]
) -> tuple[Tensor, list[list[int]]]:
    """The same, as a tree: without padding, and with what continuations begin with alike read once."""
    tree = token_tree([tokens[:-1] for tokens in continuations])
    if not tree.tokens:
        return model.embed_tokens.weight[:0], tree.paths
    hidden = TreeKV(model, slot).grow(tree.parents, tree.tokens)
    return hidden, tree.paths
