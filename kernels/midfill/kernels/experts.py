"""Gated MLPs of experts over the tokens routed to them: two grouped products, one launch each.

Every chosen expert's weights are read from memory once: 11.9 MB in bfloat16 for 2,816 x 704, 1.33 GB a layer for the
112 experts that 32 tokens choose, 0.31 ms at 4.3 TB/s; rows, gated values and results are below 1 % of that up to 64
tokens, 7 % at 1,024. So tiles are few rows high and programs keep loads in flight: a step of the loop is 128 rows of
weights by 64 numbers, 16 KiB; the next two or three are on their way, in each of three programs on a multiprocessor.
Programs of one tile follow each other and tiles of one expert do, so that what an expert's second tile reads is in
cache. Weights are the left factor: Hopper's matrix instruction takes no fewer than 64 rows there, but any multiple of 8
on the right, and its left factor may come from registers, where weights of fewer bits are decoded.
Source: grouped products over padded tiles as in MegaBlocks, https://arxiv.org/abs/2211.15841.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from midfill.kernels.gelu import gelu_tanh
from midfill.kernels.launch import launch
from midfill.kernels.precision import widened
from midfill.kernels.routing import Plan


class Tiling(NamedTuple):
    """Sizes of a program for tiles of some number of rows."""

    weight_rows: int
    """Of one step; in the first product half of them are gates, and as many the ups beside these."""
    depth_bytes: int
    """Of each row in a step: a line of cache, in bfloat16 64 numbers, which divide both 2,816 and 704."""
    num_warps: int
    num_stages: int
    """Steps in shared memory: on Hopper 60 to 72 KiB, so that three programs share a multiprocessor, and 96 KiB for the
    largest tiles; compute capabilities 8.9 and 12.0, which have 99 KiB, keep one step fewer."""


TILINGS = {
    16: Tiling(128, 128, 4, 4),
    32: Tiling(128, 128, 4, 3),
    64: Tiling(128, 128, 4, 3),
    128: Tiling(128, 128, 8, 3),
}
"""Rows of a tile -> its program. 128 is for prefill: with half of it, weights would come from cache twice as often."""


def tile_rows_for(num_pairs: int, num_experts: int) -> int:
    """Rows of a tile: half as many again as an expert gets on average, so that few experts need a second one."""
    return next((rows for rows in TILINGS if 2 * rows * num_experts >= 3 * num_pairs), max(TILINGS))


def run_experts_reference(x: Tensor, weights: Tensor, experts: Tensor, gate_up: Tensor, down: Tensor) -> Tensor:
    """Each token's result from each of its experts, times its weight: [N, k, hidden].

    x [N, hidden]; weights and experts [N, k]; gate_up [E, 2 * size, hidden], gates first; down [E, hidden, size].
    """
    out = torch.empty(*experts.shape, x.shape[1], dtype=x.dtype, device=x.device)
    for token, chosen in enumerate(experts.tolist()):
        for slot, expert in enumerate(chosen):
            gate, up = (widened(gate_up[expert]) @ widened(x[token])).chunk(2)
            mixed = widened(down[expert]) @ (F.gelu(gate, approximate="tanh") * up)
            out[token, slot] = mixed * widened(weights[token, slot])
    return out


@triton.jit
def load_weights(weights_ptr, rows, columns, row_stride, size):
    """Weights of `rows` at `columns` below `size`, as a product takes them. Those stored otherwise differ here only."""
    offsets = rows[:, None] * row_stride + columns[None, :]
    return tl.load(weights_ptr + offsets, mask=(columns < size)[None, :], other=0.0)


@triton.jit
def _product(
    weights_ptr,
    weight_rows,
    x_ptr,
    x_rows,
    has_row,
    size,
    WEIGHT_ROWS: tl.constexpr,
    ROWS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """Rows of weights times rows of x, all of `size` numbers: [WEIGHT_ROWS, ROWS] float32."""
    total = tl.zeros([WEIGHT_ROWS, ROWS], tl.float32)
    for start in range(0, size, DEPTH):
        columns = start + tl.arange(0, DEPTH)
        weights = load_weights(weights_ptr, weight_rows, columns, size, size)
        inside = has_row[:, None] & (columns < size)[None, :]
        x = tl.load(x_ptr + x_rows[:, None] * size + columns[None, :], mask=inside, other=0.0)
        total = tl.dot(weights, tl.trans(x), total, input_precision="ieee")
    return total


@triton.jit(do_not_specialize=["num_pairs"])
def _gate_up_kernel(
    x_ptr,
    gate_up_ptr,
    pairs_ptr,
    tile_expert_ptr,
    num_tiles_ptr,
    out_ptr,
    num_pairs,
    top_k,
    hidden,
    size,
    ROWS: tl.constexpr,
    WEIGHT_ROWS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    # One program a tile and WEIGHT_ROWS / 2 columns of its gated values, which stay in the order of the tiles.
    tile = tl.program_id(1)
    pairs = tl.load(pairs_ptr + tile * ROWS + tl.arange(0, ROWS))
    expert = tl.load(tile_expert_ptr + tile).to(tl.int64)
    if tile >= tl.load(num_tiles_ptr):
        return
    half: tl.constexpr = WEIGHT_ROWS // 2
    # Past the last gate, the last gate again: what comes of it is not stored.
    lines = tl.arange(0, WEIGHT_ROWS)
    columns = tl.program_id(0) * half + lines % half
    weight_rows = tl.minimum(columns, size - 1) + (lines // half) * size
    expert_ptr = gate_up_ptr + expert * size * 2 * hidden
    both = _product(expert_ptr, weight_rows, x_ptr, pairs // top_k, pairs < num_pairs, hidden, WEIGHT_ROWS, ROWS, DEPTH)
    gate, up = tl.split(tl.permute(tl.reshape(both, [2, half, ROWS]), [1, 2, 0]))
    column = tl.program_id(0) * half + tl.arange(0, half)
    offsets = (tile * ROWS + tl.arange(0, ROWS))[None, :] * size + column[:, None]
    gated = (gelu_tanh(gate) * up).to(out_ptr.dtype.element_ty)
    tl.store(out_ptr + offsets, gated, mask=(column < size)[:, None])


@triton.jit(do_not_specialize=["num_pairs"])
def _down_kernel(
    gated_ptr,
    down_ptr,
    pairs_ptr,
    tile_expert_ptr,
    num_tiles_ptr,
    weights_ptr,
    out_ptr,
    num_pairs,
    hidden,
    size,
    ROWS: tl.constexpr,
    WEIGHT_ROWS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    # One program a tile and WEIGHT_ROWS columns of its results, which go to their pairs' rows.
    tile = tl.program_id(1)
    pairs = tl.load(pairs_ptr + tile * ROWS + tl.arange(0, ROWS))
    expert = tl.load(tile_expert_ptr + tile).to(tl.int64)
    if tile >= tl.load(num_tiles_ptr):
        return
    has_row = pairs < num_pairs
    columns = tl.program_id(0) * WEIGHT_ROWS + tl.arange(0, WEIGHT_ROWS)
    rows = tile * ROWS + tl.arange(0, ROWS)
    expert_ptr = down_ptr + expert * hidden * size
    weight_rows = tl.minimum(columns, hidden - 1)
    mixed = _product(expert_ptr, weight_rows, gated_ptr, rows, has_row, size, WEIGHT_ROWS, ROWS, DEPTH)
    weights = tl.load(weights_ptr + pairs, mask=has_row, other=0.0)
    out = (mixed * weights[None, :]).to(out_ptr.dtype.element_ty)
    offsets = pairs.to(tl.int64)[None, :] * hidden + columns[:, None]
    tl.store(out_ptr + offsets, out, mask=has_row[None, :] & (columns < hidden)[:, None])


def run_experts(x: Tensor, weights: Tensor, plan: Plan, gate_up: Tensor, down: Tensor) -> Tensor:
    """`run_experts_reference` by two kernels; `plan` is of the experts that `weights` [N, k] float32 are for."""
    num_tokens, hidden = x.shape
    num_experts, _, size = down.shape
    num_tiles, rows = plan.pairs.shape
    assert gate_up.shape == (num_experts, 2 * size, hidden), f"{tuple(gate_up.shape)} before {tuple(down.shape)}"
    assert down.shape[1] == hidden, f"{tuple(down.shape)} for rows of {hidden}"
    assert weights.dtype == torch.float32, f"wanted float32 weights, got {weights.dtype}"
    assert len(weights) == num_tokens, f"{tuple(weights.shape)} weights for {num_tokens} tokens"
    assert all(part.is_contiguous() for part in (x, weights, gate_up, down)), "wanted each in one piece"
    tiling = TILINGS[rows]
    gated = torch.empty(num_tiles * rows, size, dtype=x.dtype, device=x.device)
    out = torch.empty(*weights.shape, hidden, dtype=x.dtype, device=x.device)
    num_pairs, top_k = weights.numel(), weights.shape[1]
    sizes = rows, tiling.weight_rows, tiling.depth_bytes // x.element_size()
    options = {"num_warps": tiling.num_warps, "num_stages": tiling.num_stages}
    grid = -(-size // (tiling.weight_rows // 2)), num_tiles
    launch(_gate_up_kernel, grid, x, gate_up, *plan, gated, num_pairs, top_k, hidden, size, *sizes, **options)
    grid = -(-hidden // tiling.weight_rows), num_tiles
    launch(_down_kernel, grid, gated, down, *plan, weights, out, num_pairs, hidden, size, *sizes, **options)
    return out
