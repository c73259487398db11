"""Q, K and V of a projection made ready for attention: each head normed, Q and K rotated, K and V put in their place.

One launch. Bytes moved: the projection is read once (K twice where V is K, before their norms) and each result written
once. A program is one warp with 1,024 numbers of one token: 32 tokens of 16 + 8 + 8 heads are 256 programs, and
a head's sum of squares does not leave the warp. Angles are computed here: 128 sines a program cost less than a table.
Source: RoFormer, https://arxiv.org/abs/2104.09864; the attention of Gemma 4, `modeling_gemma4.py` in transformers.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from midfill.kernels.launch import block_of, launch
from midfill.kernels.precision import widened
from midfill.kernels.rms_norm import rms_norm_reference

NUMBERS = 1024
"""That a program takes at once: 32 a thread, which are four loads of 16 bytes in bfloat16."""


def qkv_norm_rope_reference(
    projected: Tensor,
    q_weight: Tensor,
    k_weight: Tensor,
    frequencies: Tensor,
    start: Tensor,
    num_heads: int,
    num_kv_heads: int,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """projected [B, T, heads * D] of Q, K, and V where it is not K -> q [B, H, T, D], k and v [B, KV heads, T, D].

    Heads are normed, Q and K with their weights [D]. Token t is at position `start` [1] + t, and pair (i, i + D/2) of
    its Q and K turns by that times `frequencies` [up to D/2] float32; pairs beyond those do not turn.
    """
    heads = projected.unflatten(2, (-1, q_weight.shape[0])).transpose(1, 2)
    q, k = heads[:, :num_heads], heads[:, num_heads : num_heads + num_kv_heads]
    v = heads[:, heads.shape[1] - num_kv_heads :]
    angles = (start + torch.arange(projected.shape[1], device=start.device)).float()[:, None] * frequencies
    q = _rotated(rms_norm_reference(widened(q), q_weight, eps), angles)
    k = _rotated(rms_norm_reference(widened(k), k_weight, eps), angles)
    return q.to(projected.dtype), k.to(projected.dtype), rms_norm_reference(v, None, eps)


def _rotated(x: Tensor, angles: Tensor) -> Tensor:
    """x [B, heads, T, D] with its first pairs turned by `angles` [T, rotating pairs]."""
    rotating = angles.shape[1]
    cos, sin = angles.to(x.dtype).cos(), angles.to(x.dtype).sin()
    (first, first_rest), (second, second_rest) = (half.tensor_split((rotating,), dim=-1) for half in x.chunk(2, dim=-1))
    return torch.cat((first * cos - second * sin, first_rest, second * cos + first * sin, second_rest), dim=-1)


@triton.jit
def _sine(angles, quarters: tl.constexpr):
    """The sine of float32 `angles` and as many quarter turns, within 2^-23.

    Without branches, and so without the stack and 2,000 instructions of the library's, which are for huge angles. The
    angle less its whole quarter turns is taken in float64: at 2^18 radians, float32 has lost 6 of its digits there.
    """
    turned = angles.to(tl.float64) * tl.full([1], 0.6366197723675814, tl.float64)
    whole = tl.floor(turned + 0.5)
    rest = (turned - whole).to(tl.float32) * 1.5707963267948966
    square = rest * rest
    # The series, whose next terms are below 2^-25 within an eighth of a turn.
    sine = 1 + square * (-1 / 6 + square * (1 / 120 + square * (-1 / 5040 + square / 362880)))
    cosine = 1 + square * (-1 / 2 + square * (1 / 24 + square * (-1 / 720 + square / 40320)))
    quadrant = whole.to(tl.int32) + quarters
    size = tl.where(quadrant & 1 == 0, rest * sine, cosine)
    return tl.where(quadrant & 2 == 0, size, -size)


@triton.jit
def _place_rotated(from_ptr, to_ptr, weight_ptr, frequencies_ptr, position, inside, rotating, eps, D: tl.constexpr):
    """Norms the heads at `from_ptr` [heads, 1], turns them by their position, and writes them at `to_ptr`."""
    half = tl.arange(0, D // 2)[None, :]
    first = tl.load(from_ptr + half, mask=inside, other=0.0).to(tl.float32)
    second = tl.load(from_ptr + half + D // 2, mask=inside, other=0.0).to(tl.float32)
    first_weight = tl.load(weight_ptr + half).to(tl.float32)
    second_weight = tl.load(weight_ptr + half + D // 2).to(tl.float32)
    angles = position.to(tl.float32) * tl.load(frequencies_ptr + half, mask=half < rotating, other=0.0)
    sin, cos = _sine(angles, 0), _sine(angles, 1)
    scale = tl.rsqrt(tl.sum(first * first + second * second, 1) / D + eps)[:, None]
    first *= scale * first_weight
    second *= scale * second_weight
    dtype = to_ptr.dtype.element_ty
    tl.store(to_ptr + half, (first * cos - second * sin).to(dtype), mask=inside)
    tl.store(to_ptr + half + D // 2, (second * cos + first * sin).to(dtype), mask=inside)


@triton.jit
def _place(from_ptr, to_ptr, inside, eps, D: tl.constexpr):
    """Norms the heads at `from_ptr` [heads, 1] and writes them at `to_ptr`."""
    columns = tl.arange(0, D)[None, :]
    x = tl.load(from_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    normed = x * tl.rsqrt(tl.sum(x * x, 1) / D + eps)[:, None]
    tl.store(to_ptr + columns, normed.to(to_ptr.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["num_tokens"])
def _qkv_kernel(
    projected_ptr,
    q_weight_ptr,
    k_weight_ptr,
    frequencies_ptr,
    start_ptr,
    q_ptr,
    k_ptr,
    v_ptr,
    num_tokens,
    rotating,
    width,
    k_batch_stride,
    k_head_stride,
    k_token_stride,
    v_batch_stride,
    v_head_stride,
    v_token_stride,
    eps,
    NUM_HEADS: tl.constexpr,
    NUM_KV_HEADS: tl.constexpr,
    D: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # One program a token and BLOCK heads: first those of Q, then those of K, then those of V.
    row = tl.program_id(0).to(tl.int64)
    batch, token = row // num_tokens, row % num_tokens
    position = tl.load(start_ptr) + token
    group = tl.program_id(1)
    q_groups: tl.constexpr = (NUM_HEADS + BLOCK - 1) // BLOCK
    kv_groups: tl.constexpr = (NUM_KV_HEADS + BLOCK - 1) // BLOCK
    heads = tl.arange(0, BLOCK)[:, None].to(tl.int64)
    if group < q_groups:
        heads += group * BLOCK
        from_ptr = projected_ptr + row * width + heads * D
        to_ptr = q_ptr + ((batch * NUM_HEADS + heads) * num_tokens + token) * D
        inside = heads < NUM_HEADS
        _place_rotated(from_ptr, to_ptr, q_weight_ptr, frequencies_ptr, position, inside, rotating, eps, D)
    elif group < q_groups + kv_groups:
        heads += (group - q_groups) * BLOCK
        from_ptr = projected_ptr + row * width + (NUM_HEADS + heads) * D
        to_ptr = k_ptr + batch * k_batch_stride + heads * k_head_stride + token * k_token_stride
        inside = heads < NUM_KV_HEADS
        _place_rotated(from_ptr, to_ptr, k_weight_ptr, frequencies_ptr, position, inside, rotating, eps, D)
    else:
        # V's heads are the last, whether they are its own or K's.
        heads += (group - q_groups - kv_groups) * BLOCK
        from_ptr = projected_ptr + (row + 1) * width + (heads - NUM_KV_HEADS) * D
        to_ptr = v_ptr + batch * v_batch_stride + heads * v_head_stride + token * v_token_stride
        _place(from_ptr, to_ptr, heads < NUM_KV_HEADS, eps, D)


def qkv_norm_rope(
    projected: Tensor,
    q_weight: Tensor,
    k_weight: Tensor,
    frequencies: Tensor,
    start: Tensor,
    k_out: Tensor,
    v_out: Tensor,
    num_heads: int,
    eps: float,
) -> Tensor:
    """q of `qkv_norm_rope_reference` by one kernel, which writes k and v into `k_out` and `v_out`.

    Those are of any strides but the last; with no KV heads, only Q is projected. `start` [1] int64 is on the device.
    """
    size, num_kv_heads = q_weight.shape[0], k_out.shape[1]
    batch, num_tokens, width = projected.shape
    _check(projected, q_weight, k_weight, frequencies, start, k_out, v_out)
    of_v = width - (num_heads + num_kv_heads) * size
    assert of_v in (0, num_kv_heads * size), f"{width} for {num_heads} heads and {num_kv_heads} of K, of {size} each"
    q = torch.empty(batch, num_heads, num_tokens, size, dtype=projected.dtype, device=projected.device)
    block = min(max(1, NUMBERS // size), block_of(num_kv_heads or num_heads))
    strides = width, *k_out.stride()[:3], *v_out.stride()[:3]
    pointers = projected, q_weight, k_weight, frequencies, start, q, k_out, v_out
    arguments = *pointers, num_tokens, frequencies.shape[0], *strides, eps
    grid = batch * num_tokens, -(-num_heads // block) - 2 * (-num_kv_heads // block)
    launch(_qkv_kernel, grid, *arguments, num_heads, num_kv_heads, size, block, num_warps=1)
    return q


def _check(
    projected: Tensor,
    q_weight: Tensor,
    k_weight: Tensor,
    frequencies: Tensor,
    start: Tensor,
    k_out: Tensor,
    v_out: Tensor,
) -> None:
    (batch, num_tokens, _), size = projected.shape, q_weight.shape[0]
    assert size >= 2, f"wanted pairs, got heads of {size}"
    assert size & (size - 1) == 0, f"wanted a head size that is a power of two, got {size}"
    assert k_weight.shape == (size,), f"weight {tuple(k_weight.shape)} for heads of {size}"
    assert projected.is_contiguous(), f"wanted the projection in one piece, got strides {projected.stride()}"
    assert k_out.shape == v_out.shape == (batch, k_out.shape[1], num_tokens, size), f"places {tuple(k_out.shape)}"
    assert k_out.stride(3) == v_out.stride(3) == 1, "wanted heads in one piece"
    assert frequencies.dtype == torch.float32, f"wanted frequencies in float32, got {frequencies.dtype}"
    assert frequencies.shape[0] <= size // 2, f"{frequencies.shape[0]} frequencies for heads of {size}"
    assert start.dtype == torch.int64, f"wanted a position in int64, got {start.dtype}"
