"""Continuations of one prompt as a tree: what they begin with alike is read once, and no pass holds padding.

The embedded model's 4 drafts with 4 suffix tokens are 4 x 11 tokens as padded rows, and 27 at most as a tree.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from midfill.engine.causal_gemma import LayerAttend
from midfill.engine.config import FULL, SLIDING
from midfill.engine.kv import KVSlot, attention


class TokenTree(NamedTuple):
    """The distinct starts of some continuations, of one token or more: a node each, its last token."""

    tokens: list[int]
    parents: list[int | None]
    """The node before each, which comes earlier; None behind the prompt."""
    paths: list[list[int]]
    """Of each continuation, the nodes of its tokens."""


def token_tree(continuations: Sequence[Sequence[int]]) -> TokenTree:
    """The tree of all starts of `continuations`, which may be empty. Pure."""
    nodes: dict[tuple[int | None, int], int] = {}
    paths = []
    for tokens in continuations:
        path: list[int] = []
        for token in tokens:
            path.append(nodes.setdefault((path[-1] if path else None, token), len(nodes)))
        paths.append(path)
    return TokenTree([token for _, token in nodes], [parent for parent, _ in nodes], paths)


def lineage(tree: TokenTree) -> Tensor:
    """[N, N] bool: which nodes are before each node on its path, itself among them. On the CPU."""
    paths: list[list[int]] = []
    for node, parent in enumerate(tree.parents):
        paths.append([node] if parent is None else [*paths[parent], node])
    seen = torch.zeros(len(paths), len(paths), dtype=torch.bool)
    seen[[node for node, path in enumerate(paths) for _ in path], [place for path in paths for place in path]] = True
    return seen


def attend_tree(slot: KVSlot, seen: Tensor) -> LayerAttend:
    """Attention of a tree's nodes, [1, H, N, D], to the cached prompt and to what each has `seen`; nothing is stored.

    On sliding layers each node sees the last `sliding_window` tokens that end with itself.
    """
    past, depths = len(slot.tokens), seen.sum(dim=-1) - 1
    full = torch.cat((seen.new_ones(len(seen), past), seen), dim=1)
    first = (past + depths - slot.config.sliding_window + 1)[:, None]
    places = torch.cat((torch.arange(past, device=seen.device), past + depths))
    return _attend_masked(slot, {FULL: full, SLIDING: full & (places >= first)})


def attend_side_by_side(slot: KVSlot, canvases: Tensor) -> LayerAttend:
    """Attention of the positions of several canvases, [1, H, N, D], each of the one that `canvases` [N] says.

    On sliding layers all see the same last window - 1 prompt tokens, as `KVSlot.attend_canvas` has it.
    """
    past, own = len(slot.tokens), canvases[:, None] == canvases
    full = torch.cat((own.new_ones(len(own), past), own), dim=1)
    recent = full.clone()
    recent[:, : max(0, past - slot.config.sliding_window + 1)] = False
    return _attend_masked(slot, {FULL: full, SLIDING: recent})


def _attend_masked(slot: KVSlot, seen: dict[str, Tensor]) -> LayerAttend:
    """Attention to the cached prompt and to what is new, [N, prompt and N] bool, for each kind of layer."""
    masks = {kind: torch.zeros(mask.shape).masked_fill(~mask, -torch.inf) for kind, mask in seen.items()}
    masks = {kind: mask.to(slot.device, slot.dtype) for kind, mask in masks.items()}

    def attend(index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        keys = torch.cat((slot.keys(index)[None], k), dim=2)
        values = torch.cat((slot.values(index)[None], v), dim=2)
        return attention(q, keys, values, masks[slot.config.layers[index].kind])

    return attend
