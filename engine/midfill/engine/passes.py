"""The forward passes of a model over what a slot has cached, on kernels where the model has them."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from midfill.engine.causal_gemma import CausalGemma
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.kv import KVSlot
from midfill.engine.token_tree import TokenTree, attend_side_by_side, attend_tree, lineage


class Passes(Protocol):
    """The same three passes by other means; all that is given out may be kept."""

    def read(self, slot: KVSlot, tokens: Sequence[int]) -> Tensor: ...
    def read_rows(self, slot: KVSlot, ids: Tensor) -> Tensor: ...
    def denoise(self, slot: KVSlot, canvas: Tensor, soft: Tensor | None) -> Tensor: ...


@torch.inference_mode()
def read(model: CausalGemma, slot: KVSlot, tokens: Sequence[int]) -> Tensor:
    """Hidden states [T, hidden] at `tokens` after those of `slot`, whose K and V wait behind them for a `commit`."""
    start = len(slot.tokens)
    slot.reserve(start + len(tokens))
    if model.kernels is not None:
        return model.kernels.read(slot, tokens)
    positions = torch.arange(start, start + len(tokens), device=slot.device)
    return model.encode(torch.tensor([list(tokens)], device=slot.device), positions, slot.attend_and_store)[0]


def read_rows(model: CausalGemma, slot: KVSlot, ids: Tensor) -> Tensor:
    """Hidden states [B, T, hidden] at ids [B, T]: each row continues `slot` on its own, and nothing is stored."""
    if model.kernels is not None:
        return model.kernels.read_rows(slot, ids)
    return model.encode(ids, _positions(slot, ids), slot.attend_causal)


def read_tree(model: CausalGemma, slot: KVSlot, tree: TokenTree) -> Tensor:
    """Hidden states [N, hidden] at the nodes of a tree that continues `slot`, and nothing is stored."""
    seen = lineage(tree).to(slot.device)
    ids = torch.tensor([tree.tokens], device=slot.device)
    return model.encode(ids, len(slot.tokens) + seen.sum(dim=-1) - 1, attend_tree(slot, seen))[0]


def denoise(
    model: DiffusionGemma, slot: KVSlot, canvas: Tensor, soft: Tensor | None, needed: Tensor | None = None
) -> Tensor:
    """Hidden states [B, C, hidden] of canvases [B, C] behind `slot`, self-conditioned by `soft` [B, C, hidden].

    Where a CPU computes, positions that are not `needed` [B, C] are left out, and 0.
    """
    if model.kernels is not None:
        return model.kernels.denoise(slot, canvas, soft)
    if needed is None or slot.device.type != "cpu":
        return model.denoise(canvas, _positions(slot, canvas), soft, slot.attend_canvas)
    rows, columns = needed.nonzero(as_tuple=True)
    flat = None if soft is None else soft[rows, columns][None]
    attend = attend_side_by_side(slot, rows)
    found = model.denoise(canvas[rows, columns][None], len(slot.tokens) + columns, flat, attend)[0]
    return found.new_zeros(*canvas.shape, found.shape[-1]).index_put((rows, columns), found)


def _positions(slot: KVSlot, ids: Tensor) -> Tensor:
    return torch.arange(len(slot.tokens), len(slot.tokens) + ids.shape[1], device=slot.device)
