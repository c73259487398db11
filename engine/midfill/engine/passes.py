"""The forward passes of a model over what a slot has cached, on kernels where the model has them."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from midfill.engine.causal_gemma import CausalGemma, LayerAttend
from midfill.engine.config import FULL, SLIDING
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.kv import KVSlot


class Passes(Protocol):
    """The same three passes by other means; all that is given out may be kept."""

    def read(self, slot: KVSlot, tokens: Sequence[int]) -> Tensor: ...
    def read_rows(self, slot: KVSlot, ids: Tensor) -> Tensor: ...
    def denoise(self, slot: KVSlot, canvas: Tensor, soft: Tensor | None) -> Tensor: ...


@torch.inference_mode()
def read(model: CausalGemma, slot: KVSlot, tokens: Sequence[int]) -> Tensor:
    """Hidden states [T, hidden] at `tokens` after those of `slot`, whose K and V wait behind them for a `commit`."""
    start = len(slot.tokens)
    slot.claim(None, 0)
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


@torch.inference_mode()
def denoise(
    model: DiffusionGemma, slot: KVSlot, canvas: Tensor, soft: Tensor | None, needed: Tensor | None = None
) -> Tensor:
    """Hidden states [B, C, hidden] of canvases [B, C] behind `slot`, self-conditioned by `soft` [B, C, hidden].

    Where a CPU computes, positions that are not `needed` [B, C] are left out, and 0; K and V of the others come to
    lie behind the cached ones and what is claimed there, where they do not count.
    """
    if model.kernels is not None:
        return model.kernels.denoise(slot, canvas, soft)
    if needed is None or slot.device.type != "cpu":
        return model.denoise(canvas, _positions(slot, canvas), soft, slot.attend_canvas)
    rows, columns = needed.nonzero(as_tuple=True)
    flat = None if soft is None else soft[rows, columns][None]
    attend = _attend_side_by_side(slot, rows)
    found = model.denoise(canvas[rows, columns][None], len(slot.tokens) + columns, flat, attend)[0]
    return found.new_zeros(*canvas.shape, found.shape[-1]).index_put((rows, columns), found)


def _positions(slot: KVSlot, ids: Tensor) -> Tensor:
    return torch.arange(len(slot.tokens), len(slot.tokens) + ids.shape[1], device=slot.device)


def _attend_side_by_side(slot: KVSlot, canvases: Tensor) -> LayerAttend:
    """Attention of the positions of several canvases, [1, H, N, D], each of the one that `canvases` [N] says.

    On sliding layers all see the same last window - 1 prompt tokens, as `KVSlot.attend_canvas` has it.
    """
    past, claimed, num_positions = len(slot.tokens), slot.claimed, len(canvases)
    own = past + claimed
    slot.reserve(own + num_positions)
    full = torch.zeros(num_positions, own + num_positions, device=slot.device, dtype=slot.dtype)
    full[:, past:own] = -torch.inf
    full[:, own:].masked_fill_(canvases[:, None] != canvases, -torch.inf)
    recent = full[:, max(0, past - slot.config.sliding_window + 1) :]
    masks = {FULL: full, SLIDING: recent}

    def attend(index: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return slot.attend_behind(index, q, k, v, masks[slot.config.layers[index].kind], claimed)

    return attend
