"""Attention of new tokens to one document's cached keys and to each other: canvases, prefill, drafts, their check.

A program holds a tile of query rows and walks some keys, with the softmax's running maximum and sum; where a row has
several parts, a second kernel joins them. The rows of a tile are the heads that share K and V, times the tokens, times
B: the cached prefix is the same for all B. The keys are cut into splits so that every multiprocessor has work; where a
tile holds rows of several of B, the new tokens' own keys are one part more. Where the prefix lies and how long it is
are read from device memory: one CUDA graph serves every document.

Bytes moved: K and V once for each tile of rows, from the L2 cache but for the first, as programs of one split run side
by side; Q and the result once; for each part that has keys, float32 [B, H, T, D] is written and read. In a sliding
layer of 26B-A4B, 1,023 past keys are 8.4 MB, and six parts of a canvas of 64 are 6.3 MB, which stay in the L2 cache.
Source: FlashAttention-2, https://arxiv.org/abs/2307.08691, and Flash-Decoding's splits.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from midfill.kernels.attention_tiles import LEAST_KEYS, MULTIPROCESSORS, Tile, tile_for, tiles
from midfill.kernels.launch import block_of, launch
from midfill.kernels.precision import widened

PART_NUMBERS = 8192
"""Numbers of all parts that a program of the second kernel holds: 64 a thread."""


class Past(NamedTuple):
    """A document's cached K and V of one layer, [KV heads, capacity, D] each somewhere in device memory."""

    addresses: Tensor
    """[3] int64 on the device, what `addresses_of` gives: two addresses, and the numbers of one KV head."""
    length: Tensor
    """[1] int64 on the device: tokens cached."""


def addresses_of(keys: Tensor, values: Tensor) -> tuple[int, int, int]:
    """Address of `keys`, address of `values`, and how many numbers one KV head has; [KV heads, capacity, D] each.

    Whoever keeps these keeps the tensors too.
    """
    assert keys.shape == values.shape
    assert keys.stride() == values.stride()
    assert keys.stride()[1:] == (keys.shape[2], 1), f"wanted tokens side by side, got strides {keys.stride()}"
    assert keys.data_ptr() % 16 == values.data_ptr() % 16 == 0, "wanted memory at multiples of 16 bytes"
    return keys.data_ptr(), values.data_ptr(), keys.stride(0)


def visible_keys(tokens: int, past: int, window: int | None, causal: bool) -> Tensor:
    """Which keys, the cached ones first, each new token sees: [T, past + T] bool.

    Causal: those up to itself, the last `window` of them. Else all of the new tokens' and the last `window` - 1
    cached ones, the same for every row, as transformers' DiffusionGemma has it.
    """
    keys = torch.arange(past + tokens)
    rows = past + torch.arange(tokens)[:, None] if causal else torch.full((tokens, 1), past)
    visible = (keys <= rows) if causal else (keys >= 0).expand(tokens, -1)
    return visible if window is None else visible & (keys > rows - window)


def attend_reference(
    q: Tensor, k: Tensor, v: Tensor, past_k: Tensor, past_v: Tensor, window: int | None, causal: bool
) -> Tensor:
    """q [B, H, T, D], k and v [B, KV heads, T, D], the past [KV heads, past, D] -> [B, T, H * D]; softmax scale 1.

    k and v may have no tokens, as in a drafter's layers: then q sees the past alone, and there must be one.
    """
    groups, rows = q.shape[1] // k.shape[1], q.shape[0]
    keys = torch.cat((past_k.expand(rows, -1, -1, -1), k), dim=2).repeat_interleave(groups, dim=1)
    values = torch.cat((past_v.expand(rows, -1, -1, -1), v), dim=2).repeat_interleave(groups, dim=1)
    visible = visible_keys(q.shape[2], past_k.shape[1], window, causal)[:, : keys.shape[2]].to(q.device)
    scores = (widened(q) @ widened(keys).transpose(2, 3)).masked_fill(~visible, float("-inf"))
    return (scores.softmax(dim=-1) @ widened(values)).transpose(1, 2).flatten(2).to(q.dtype)


@triton.jit
def _load_rows(pointer, rows, stop, D: tl.constexpr):
    # Triton knows nothing of an address that came as a number: without the hint it would load 2 bytes at a time.
    row_starts = tl.multiple_of(pointer + rows[:, None] * D, [16, 16])
    return tl.load(row_starts + tl.arange(0, D)[None, :], mask=(rows < stop)[:, None], other=0.0)


@triton.jit
def _walk(
    q,
    maxima,
    sums,
    mixed,
    keys_ptr,
    values_ptr,
    start,
    stop,
    positions,
    window,
    D: tl.constexpr,
    CAUSAL: tl.constexpr,
    HAS_WINDOW: tl.constexpr,
    BLOCK_KEYS: tl.constexpr,
):
    # The softmax so far, in base-2 exponents, after the keys from `start` to `stop` as well.
    for first in range(start, stop, BLOCK_KEYS):
        keys = first + tl.arange(0, BLOCK_KEYS)
        k = _load_rows(keys_ptr, keys, stop, D)
        scores = tl.dot(q, tl.trans(k), input_precision="ieee") * 1.4426950408889634
        visible = (keys < stop)[None, :]
        if CAUSAL:
            visible = visible & (keys[None, :] <= positions[:, None])
            if HAS_WINDOW:
                visible = visible & (keys[None, :] > positions[:, None] - window)
        scores = tl.where(visible, scores, float("-inf"))
        higher = tl.maximum(maxima, tl.max(scores, 1))
        weights = tl.exp2(scores - higher[:, None])
        decay = tl.exp2(maxima - higher)
        maxima = higher
        sums = sums * decay + tl.sum(weights, 1)
        v = _load_rows(values_ptr, keys, stop, D)
        mixed = tl.dot(weights.to(v.dtype), v, mixed * decay[:, None], input_precision="ieee")
    return maxima, sums, mixed


@triton.jit(do_not_specialize=["batch", "tokens", "splits"])
def _partial_kernel(
    q_ptr,
    k_ptr,
    v_ptr,
    addresses_ptr,
    length_ptr,
    partial_ptr,
    maxima_ptr,
    sums_ptr,
    batch,
    tokens,
    kv_heads,
    splits,
    window,
    GROUPS: tl.constexpr,
    D: tl.constexpr,
    CAUSAL: tl.constexpr,
    HAS_WINDOW: tl.constexpr,
    HAS_OWN: tl.constexpr,
    JOINED: tl.constexpr,
    ALONE: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_KEYS: tl.constexpr,
    LEAST_KEYS: tl.constexpr,
):
    # The rows of one KV head are [B, GROUPS, T]. First come the programs of the splits, tiles of rows fastest, so that
    # those that read the same keys run together. JOINED: these see all keys, each tile having rows of one of B only.
    # Else they see the past, and after them come programs for the new tokens' own keys, for each of B, where these
    # have any (HAS_OWN). ALONE: there is one part, which is the result [B, T, heads] of D.
    program = tl.program_id(0)
    rows_each = GROUPS * tokens
    split_tiles = tl.cdiv(batch * rows_each, BLOCK_ROWS)
    own_tiles = tl.cdiv(rows_each, BLOCK_ROWS)
    own = program - split_tiles * kv_heads * splits
    is_split = own < 0
    split = tl.where(is_split, program // (split_tiles * kv_heads), splits)
    head = tl.where(is_split, program // split_tiles % kv_heads, own // own_tiles % kv_heads)
    first_row = program % split_tiles * BLOCK_ROWS
    own_b = tl.where(is_split, first_row // rows_each, own // (own_tiles * kv_heads))
    first_row = tl.where(is_split, first_row, own_b * rows_each + own % own_tiles * BLOCK_ROWS)

    rows = first_row + tl.arange(0, BLOCK_ROWS)
    has_row = rows < tl.where(is_split, batch, own_b + 1) * rows_each
    # Keys count from the past's first; the new tokens' own follow it.
    length = tl.load(length_ptr).to(tl.int32)
    positions = length + rows % tokens
    start, stop = 0, length + tokens if HAS_OWN else length
    if CAUSAL:
        stop = tl.max(tl.where(has_row, positions, 0), 0) + 1
        if HAS_WINDOW:
            start = tl.maximum(0, tl.min(tl.where(has_row, positions, stop), 0) - window + 1)
    elif HAS_WINDOW:
        start = tl.maximum(0, length - window + 1)
    if not JOINED:
        start = tl.where(is_split, start, tl.maximum(start, length))
        stop = tl.where(is_split, tl.minimum(stop, length), stop)
    each = tl.maximum(tl.cdiv(stop - start, tl.where(is_split, splits, 1)), LEAST_KEYS)
    each = tl.cdiv(each, BLOCK_KEYS) * BLOCK_KEYS
    start += tl.where(is_split, split, 0) * each
    stop = tl.minimum(stop, start + each)

    dims = tl.arange(0, D)
    # In q, rows of D are [B, KV heads, GROUPS, T]. Their numbers fit 32 bits, in which they leave registers free.
    b = own_b if JOINED else rows // rows_each
    q_rows = (b * (kv_heads - 1) + head) * rows_each + rows
    wanted = (has_row & (start < stop))[:, None]
    q = tl.load(q_ptr + q_rows.to(tl.int64)[:, None] * D + dims[None, :], mask=wanted, other=0.0)
    maxima = tl.full([BLOCK_ROWS], -1e30, tl.float32)
    sums = tl.zeros([BLOCK_ROWS], tl.float32)
    mixed = tl.zeros([BLOCK_ROWS, D], tl.float32)

    head_offset = tl.load(addresses_ptr + 2) * head
    keys_ptr = tl.load(addresses_ptr).to(q_ptr.dtype) + head_offset
    values_ptr = tl.load(addresses_ptr + 1).to(q_ptr.dtype) + head_offset
    middle = tl.minimum(tl.maximum(length, start), stop)
    maxima, sums, mixed = _walk(
        q,
        maxima,
        sums,
        mixed,
        keys_ptr,
        values_ptr,
        start,
        middle,
        positions,
        window,
        D,
        CAUSAL,
        HAS_WINDOW,
        BLOCK_KEYS,
    )
    if HAS_OWN:
        own_offset = ((own_b * kv_heads + head).to(tl.int64) * tokens - length) * D
        maxima, sums, mixed = _walk(
            q,
            maxima,
            sums,
            mixed,
            k_ptr + own_offset,
            v_ptr + own_offset,
            middle,
            stop,
            positions,
            window,
            D,
            CAUSAL,
            HAS_WINDOW,
            BLOCK_KEYS,
        )

    if ALONE:
        token = rows % tokens
        heads_of_rows = head * GROUPS + rows % rows_each // tokens
        out_rows = ((b * tokens + token) * kv_heads * GROUPS + heads_of_rows).to(tl.int64)
        out = (mixed / sums[:, None]).to(partial_ptr.dtype.element_ty)
        tl.store(partial_ptr + out_rows[:, None] * D + dims[None, :], out, mask=wanted)
    else:
        partial_rows = (split * batch * kv_heads * rows_each + q_rows).to(tl.int64)
        tl.store(maxima_ptr + partial_rows, maxima, mask=has_row)
        tl.store(sums_ptr + partial_rows, sums, mask=has_row)
        tl.store(partial_ptr + partial_rows[:, None] * D + dims[None, :], mixed, mask=wanted)


@triton.jit(do_not_specialize=["rows", "tokens", "num_parts"])
def _combine_kernel(
    partial_ptr,
    maxima_ptr,
    sums_ptr,
    out_ptr,
    rows,
    heads,
    tokens,
    num_parts,
    D: tl.constexpr,
    BLOCK_PARTS: tl.constexpr,
    BLOCK_SIZE: tl.constexpr,
):
    # A row's parts, in base-2 exponents: sum of mixed * 2^(m - max m), over the sum of sums * the same.
    row = tl.program_id(0).to(tl.int64)
    dims = tl.program_id(1) * BLOCK_SIZE + tl.arange(0, BLOCK_SIZE)
    parts = tl.arange(0, BLOCK_PARTS)
    at = parts.to(tl.int64) * rows + row
    maxima = tl.load(maxima_ptr + at, mask=parts < num_parts, other=-1e30)
    sums = tl.load(sums_ptr + at, mask=parts < num_parts, other=0.0)
    weights = tl.exp2(maxima - tl.max(maxima, 0))
    # A part without keys wrote no numbers.
    mixed = tl.load(partial_ptr + at[:, None] * D + dims[None, :], mask=(sums > 0.0)[:, None], other=0.0)
    out = tl.sum(mixed * weights[:, None], 0) / tl.sum(sums * weights, 0)
    token, head, b = row % tokens, row // tokens % heads, row // tokens // heads
    out_row = (b * tokens + token) * heads + head
    tl.store(out_ptr + out_row * D + dims, out.to(out_ptr.dtype.element_ty))


def programs_without_splits(q: Tensor, num_kv_heads: int) -> int:
    """How many programs `attend` to an uncut past takes for q [B, H, T, D]: what `splits_for` wants to know."""
    return tiles(_rows(q, num_kv_heads), _tile(q, num_kv_heads)) * num_kv_heads


def splits_for(num_programs: int, capacity: int) -> int:
    """In how many splits to cut at most `capacity` past keys, where `num_programs` programs would walk them whole.

    One program for each multiprocessor: tiles of 64 rows fill it, and a second round would cost as much as the first.
    """
    # The new tokens' own keys are walked, too.
    return max(1, min(MULTIPROCESSORS // num_programs, -(-capacity // LEAST_KEYS) + 1))


def splits_of(q: Tensor, num_kv_heads: int, window: int | None, most_keys: int) -> int:
    """`splits_for` q [B, H, T, D] that sees the last `window` of at most `most_keys` past keys."""
    return splits_for(programs_without_splits(q, num_kv_heads), most_keys if window is None else window)


def attend(q: Tensor, k: Tensor, v: Tensor, past: Past, window: int | None, causal: bool, splits: int) -> Tensor:
    """`attend_reference`, the past lying where `past` says, in q's dtype, and being cut in `splits`.

    q, k and v are in one piece; D is a power of two. Where k and v have no tokens, the past must have some.
    """
    assert all(x.is_contiguous() for x in (q, k, v)), "wanted Q, K and V in one piece each"
    batch, heads, tokens, size = q.shape
    kv_heads, num_own_keys = k.shape[1:3]
    assert k.shape == v.shape == (batch, kv_heads, num_own_keys, size), f"K {tuple(k.shape)} for Q {tuple(q.shape)}"
    assert num_own_keys == tokens or (num_own_keys == 0 and not causal), f"{num_own_keys} keys for {tokens} tokens"
    assert q.dtype == k.dtype == v.dtype
    assert heads % kv_heads == 0, f"{heads} heads do not share {kv_heads}"
    assert size == block_of(size), f"wanted a head size that is a power of two, got {size}"
    assert past.addresses.shape == (3,), f"wanted three numbers, got {tuple(past.addresses.shape)}"
    assert past.addresses.dtype == past.length.dtype == torch.int64
    tile = _tile(q, kv_heads)
    # Where no tile holds rows of two of B, the splits take the new tokens' own keys as well.
    is_joined = batch == 1 or _rows(q[:1], kv_heads) % tile.rows == 0
    is_apart = num_own_keys > 0 and not is_joined
    num_parts = splits + 1 if is_apart else splits
    num_own = tiles(_rows(q[:1], kv_heads), tile) * kv_heads * batch if is_apart else 0
    out = torch.empty(batch, tokens, heads * size, dtype=q.dtype, device=q.device)
    # With 64 rows of 512, Hopper's registers do not hold where to write as well: 232 bytes a thread would spill.
    is_alone = num_parts == 1 and size <= 256
    partial = out if is_alone else q.new_empty(num_parts, batch * heads * tokens, size, dtype=torch.float32)
    maxima, sums = q.new_empty(2, num_parts, batch * heads * tokens, dtype=torch.float32)
    launch(
        _partial_kernel,
        [programs_without_splits(q, kv_heads) * splits + num_own],
        *(q, k, v, past.addresses, past.length, partial, maxima, sums),
        *(batch, tokens, kv_heads, splits, window or 0),
        *(heads // kv_heads, size, causal, window is not None, num_own_keys > 0, is_joined, is_alone),
        *(tile.rows, tile.keys, LEAST_KEYS),
        num_warps=tile.num_warps,
        num_stages=tile.num_stages,
    )
    if not is_alone:
        _combine(partial, maxima, sums, out, heads)
    return out


def _combine(partial: Tensor, maxima: Tensor, sums: Tensor, out: Tensor, heads: int) -> None:
    """Joins parts [parts, B * H * T, D] into `out` [B, T, H * D]."""
    num_parts, num_rows, size = partial.shape
    block_parts = block_of(num_parts)
    block_size = min(size, max(16, PART_NUMBERS // block_parts))
    arguments = partial, maxima, sums, out, num_rows, heads, out.shape[1], num_parts, size, block_parts, block_size
    launch(_combine_kernel, [num_rows, size // block_size], *arguments)


def _rows(q: Tensor, num_kv_heads: int) -> int:
    """Rows of Q that share a KV head."""
    batch, heads, tokens, _ = q.shape
    return batch * tokens * (heads // num_kv_heads)


def _tile(q: Tensor, num_kv_heads: int) -> Tile:
    is_card = q.device.type == "cuda"
    shared_bytes = torch.cuda.get_device_properties(q.device).shared_memory_per_block_optin if is_card else 0
    return tile_for(_rows(q, num_kv_heads), q.shape[3], q.dtype.itemsize, shared_bytes)
