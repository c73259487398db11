"""Which experts each token goes to, and the order in which grouped products take its pairs of token and expert.

Two launches a layer, both of some microseconds whatever the sizes: `route` reads N * E logits; of `plan`'s programs,
one an expert, each reads the N * k chosen experts once, and again if its own is among them, from cache, so that it
needs nothing of the others. The host learns no count: every size is the largest that may come, and programs of tiles
that did not come leave at once.
Source: sorting by counting; the padded tiles are those of MegaBlocks, https://arxiv.org/abs/2211.15841.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from midfill.kernels.launch import block_of, launch
from midfill.kernels.precision import widened

CHUNK = 1024
"""Pairs that a program of `plan` takes at once: 8 a thread; 128 tokens with 8 experts each are one chunk. Not fewer for
fewer pairs, so that all sizes are one kernel and no two threads count the same pair."""


class Plan(NamedTuple):
    """Pairs of token and expert, pair n * k + j being token n's j-th, in tiles of one expert each."""

    pairs: Tensor
    """[most tiles, rows of a tile] int32: pair ids, an expert's in rising order; N * k where a tile is not full."""
    tile_expert: Tensor
    """[most tiles] int32, rising."""
    num_tiles: Tensor
    """[1] int32: tiles in use, the first ones. What the others hold is undefined."""


def route_reference(logits: Tensor, per_expert_scale: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """logits [N, E], scale [E] -> weights [N, top_k] in float32 and expert ids [N, top_k] int32.

    Softmax over all experts, the top_k likeliest from the likeliest down, the lower id first of equals; their
    probabilities then sum to 1, and each is multiplied by its expert's scale.
    """
    experts = logits.sort(dim=-1, descending=True, stable=True).indices[:, :top_k]
    chosen = widened(logits).softmax(dim=-1).gather(1, experts)
    weights = chosen / chosen.sum(dim=-1, keepdim=True)
    return weights * widened(per_expert_scale)[experts], experts.int()


@triton.jit
def _turned(bits):
    """Bits of a float32 as an integer of the same order, or such an integer as the bits of its float32."""
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


@triton.jit
def _route_kernel(
    logits_ptr,
    scale_ptr,
    weights_ptr,
    experts_ptr,
    row_stride,
    num_experts,
    TOP_K: tl.constexpr,
    SLOTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # One program, of one warp, a token. A logit and its expert are one integer, of equal logits the lower id's being
    # higher, so that each choice is one maximum, and NaN too chooses experts that there are, none of them twice.
    token = tl.program_id(0).to(tl.int64)
    ids = tl.arange(0, BLOCK)
    inside = ids < num_experts
    logits = tl.load(logits_ptr + token * row_stride + ids, mask=inside, other=0.0).to(tl.float32)
    logits = tl.where(logits == 0.0, 0.0, logits)  # -0 is 0
    keys = (_turned(logits.to(tl.int32, bitcast=True)).to(tl.int64) << 32) | (BLOCK - ids).to(tl.int64)
    keys = tl.where(inside, keys, -0x8000000000000000)
    slots = tl.arange(0, SLOTS)
    chosen = tl.full([SLOTS], -0x8000000000000000, tl.int64)
    for slot in tl.static_range(TOP_K):
        best = tl.max(keys, 0)
        chosen = tl.where(slots == slot, best, chosen)
        keys = tl.where(keys == best, -0x8000000000000000, keys)
    used = slots < TOP_K
    experts = tl.where(used, BLOCK - (chosen & 0xFFFFFFFF).to(tl.int32), 0)
    taken = tl.where(used, _turned((chosen >> 32).to(tl.int32)).to(tl.float32, bitcast=True), float("-inf"))
    # What the softmax over all divides by goes out again when the chosen are made to sum to 1.
    likely = tl.exp(taken - tl.max(taken, 0))
    scale = tl.load(scale_ptr + experts, mask=used, other=0.0).to(tl.float32)
    out = token * TOP_K + slots
    tl.store(weights_ptr + out, likely / tl.sum(likely, 0) * scale, mask=used)
    tl.store(experts_ptr + out, experts, mask=used)


def route(logits: Tensor, per_expert_scale: Tensor, top_k: int) -> tuple[Tensor, Tensor]:
    """`route_reference` by one kernel; rows of logits may stand apart. A token's ids differ and exist, NaN or not."""
    num_tokens, num_experts = logits.shape
    assert logits.stride(1) == 1, f"wanted rows in one piece, got strides {logits.stride()}"
    assert per_expert_scale.shape == (num_experts,), f"scale {tuple(per_expert_scale.shape)} for {num_experts} experts"
    assert 1 <= top_k <= num_experts, f"wanted {top_k} of {num_experts} experts"
    weights = torch.empty(num_tokens, top_k, dtype=torch.float32, device=logits.device)
    experts = torch.empty(num_tokens, top_k, dtype=torch.int32, device=logits.device)
    sizes = logits.stride(0), num_experts, top_k, block_of(top_k), block_of(num_experts)
    launch(_route_kernel, [num_tokens], logits, per_expert_scale, weights, experts, *sizes, num_warps=1)
    return weights, experts


def most_tiles(num_pairs: int, num_experts: int, tile_rows: int) -> int:
    """Tiles that `num_pairs` pairs fill at most: each expert that gets any begins one, and the rest fill whole ones."""
    begun = min(num_experts, num_pairs)
    return begun + (num_pairs - begun) // tile_rows


def plan_reference(experts: Tensor, num_experts: int, tile_rows: int) -> Plan:
    """Expert ids [N, k] int32 -> the tiles of `tile_rows` rows that hold their pairs, unused tiles being empty."""
    chosen, num_pairs = experts.flatten().tolist(), experts.numel()
    tiles, owners = [], []
    for expert in range(num_experts):
        pairs = [pair for pair in range(num_pairs) if chosen[pair] == expert]
        for start in range(0, len(pairs), tile_rows):
            tile = pairs[start : start + tile_rows]
            tiles.append(tile + [num_pairs] * (tile_rows - len(tile)))
            owners.append(expert)
    unused = most_tiles(num_pairs, num_experts, tile_rows) - len(tiles)
    rows = torch.tensor(tiles + [[num_pairs] * tile_rows] * unused, dtype=torch.int32)
    return Plan(rows, torch.tensor(owners + [0] * unused, dtype=torch.int32), torch.tensor([len(tiles)]).int())


@triton.jit(do_not_specialize=["num_tokens"])
def _plan_kernel(
    experts_ptr,
    pairs_ptr,
    tile_expert_ptr,
    num_tiles_ptr,
    num_tokens,
    TOP_K: tl.constexpr,
    EXPERTS: tl.constexpr,
    TILE_ROWS: tl.constexpr,
    CHUNK: tl.constexpr,
):
    # One program an expert: all counts say where its tiles begin; then its pairs are written in their order.
    expert = tl.program_id(0)
    num_pairs = num_tokens * TOP_K  # so Triton knows that it is a multiple of 8, and loads 16 bytes at a time
    ids = tl.arange(0, EXPERTS)
    counts = tl.zeros([EXPERTS], tl.int32)
    for start in range(0, num_pairs, CHUNK):
        pairs = start + tl.arange(0, CHUNK)
        chosen = tl.load(experts_ptr + pairs, mask=pairs < num_pairs, other=0)
        counts += tl.histogram(chosen, EXPERTS, mask=pairs < num_pairs)
    tiles = (counts + TILE_ROWS - 1) // TILE_ROWS
    first = tl.sum(tl.where(ids < expert, tiles, 0), 0)
    count = tl.sum(tl.where(ids == expert, counts, 0), 0)
    end = first + (count + TILE_ROWS - 1) // TILE_ROWS
    if expert == 0:
        tl.store(num_tiles_ptr, tl.sum(tiles, 0))
    if count > 0:
        row = first * TILE_ROWS
        for start in range(0, num_pairs, CHUNK):
            pairs = start + tl.arange(0, CHUNK)
            chosen = tl.load(experts_ptr + pairs, mask=pairs < num_pairs, other=-1)
            is_own = (chosen == expert).to(tl.int32)
            tl.store(pairs_ptr + row + tl.cumsum(is_own, 0) - is_own, pairs, mask=is_own > 0)
            row += tl.sum(is_own, 0)
        empty = row + tl.arange(0, TILE_ROWS)
        tl.store(pairs_ptr + empty, tl.zeros([TILE_ROWS], tl.int32) + num_pairs, mask=empty < end * TILE_ROWS)
        for start in range(first, end, CHUNK):
            tile = start + tl.arange(0, CHUNK)
            tl.store(tile_expert_ptr + tile, tl.zeros([CHUNK], tl.int32) + expert, mask=tile < end)


def plan(experts: Tensor, num_experts: int, tile_rows: int) -> Plan:
    """`plan_reference` by one kernel: experts [N, k] int32, each below `num_experts`. Not for no tokens."""
    assert experts.is_contiguous(), f"wanted one piece, got strides {experts.stride()}"
    assert experts.dtype == torch.int32, f"wanted int32, got {experts.dtype}"
    assert experts.numel(), "no pairs have no plan"
    num_pairs = experts.numel()
    num_tiles = most_tiles(num_pairs, num_experts, tile_rows)
    out = [
        torch.empty(size, dtype=torch.int32, device=experts.device) for size in (num_tiles * tile_rows, num_tiles, 1)
    ]
    launch(_plan_kernel, [num_experts], experts, *out, *experts.shape, block_of(num_experts), tile_rows, CHUNK)
    return Plan(out[0].view(num_tiles, tile_rows), *out[1:])
