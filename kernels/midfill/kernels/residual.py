"""The residual stream between a layer's blocks: a block's output normed and added, and the norms next ones read.

Two launches a layer. Bytes moved: each row of each input is read once and each row of each result is written once; the
norms that the two paths of the feed-forward block and its router read are one division by the same root mean square.
Rows are few (32 to 256) and each has a processor to itself, so time is that of one row: weights are asked for first,
since behind 52 GB of others they come from memory each time, and would be waited for at each of four norms.
Source: the decoder layer of Gemma 4, `modeling_gemma4.py` in transformers.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from midfill.kernels.launch import block_of, launch, warps_for
from midfill.kernels.precision import widened
from midfill.kernels.rms_norm import rms_norm_reference


class Residual(NamedTuple):
    """The stream behind attention, and what the feed-forward block reads of it; all [N, hidden]."""

    x: Tensor
    mlp: Tensor
    experts: Tensor | None
    router: Tensor | None
    """Normed, scaled and divided by the root of `hidden`: only the projection to experts is left."""


class FeedForwardNorms(NamedTuple):
    """Weights [hidden] of the norms behind a feed-forward block: of either path where it has two, and of the whole."""

    post: Tensor
    dense: Tensor | None = None
    sparse: Tensor | None = None


def attention_residual_reference(
    x: Tensor,
    y: Tensor,
    post_weight: Tensor,
    mlp_weight: Tensor,
    experts_weight: Tensor | None,
    router_scale: Tensor | None,
    eps: float,
) -> Residual:
    """x and attention's output y [N, hidden] -> x + norm(y), and that normed with each weight [hidden]."""
    wide = widened(x)
    after = (wide + rms_norm_reference(widened(y), post_weight, eps)).to(x.dtype)
    normed = rms_norm_reference(widened(after), None, eps)
    experts = None if experts_weight is None else (normed * widened(experts_weight)).to(x.dtype)
    router = None if router_scale is None else (normed * widened(router_scale) * x.shape[-1] ** -0.5).to(x.dtype)
    return Residual(after, (normed * widened(mlp_weight)).to(x.dtype), experts, router)


def feed_forward_residual_reference(
    x: Tensor,
    dense: Tensor,
    sparse: Tensor | None,
    weights: FeedForwardNorms,
    scalar: Tensor,
    next_weight: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """x and the MLP's output [N, hidden] -> (x + norm(both paths)) * scalar [1], and that normed with `next_weight`.

    `sparse` [N, k, hidden] are the outputs of each token's experts, weighted but not added up.
    """
    mixed = widened(dense)
    if sparse is not None:
        mixed = rms_norm_reference(mixed, weights.dense, eps)
        mixed = mixed + rms_norm_reference(widened(sparse).sum(dim=1), weights.sparse, eps)
    after = (widened(x) + rms_norm_reference(mixed, weights.post, eps)) * widened(scalar)
    after = after.to(x.dtype)
    return after, rms_norm_reference(after, next_weight, eps)


@triton.jit
def _scale(x, size, eps):
    """What x, 0 beyond `size`, is to be multiplied by to be normed."""
    return tl.rsqrt(tl.sum(x * x, 0) / size + eps)


@triton.jit
def _attention_residual_kernel(
    x_ptr,
    y_ptr,
    post_ptr,
    mlp_ptr,
    experts_ptr,
    router_ptr,
    x_out_ptr,
    mlp_out_ptr,
    experts_out_ptr,
    router_out_ptr,
    size,
    eps,
    router_factor,
    HAS_EXPERTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # One program a row.
    columns = tl.arange(0, BLOCK)
    inside = columns < size
    places = tl.program_id(0).to(tl.int64) * size + columns
    y = tl.load(y_ptr + places, mask=inside, other=0.0).to(tl.float32)
    x = tl.load(x_ptr + places, mask=inside, other=0.0).to(tl.float32)
    post = tl.load(post_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    mlp = tl.load(mlp_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    if HAS_EXPERTS:
        experts = tl.load(experts_ptr + columns, mask=inside, other=0.0).to(tl.float32)
        router = tl.load(router_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    dtype = x_out_ptr.dtype.element_ty
    after = (x + y * _scale(y, size, eps) * post).to(dtype)
    tl.store(x_out_ptr + places, after, mask=inside)
    after = after.to(tl.float32)
    normed = after * _scale(after, size, eps)
    tl.store(mlp_out_ptr + places, (normed * mlp).to(dtype), mask=inside)
    if HAS_EXPERTS:
        tl.store(experts_out_ptr + places, (normed * experts).to(dtype), mask=inside)
        tl.store(router_out_ptr + places, (normed * router * router_factor).to(dtype), mask=inside)


@triton.jit
def _feed_forward_residual_kernel(
    x_ptr,
    dense_ptr,
    sparse_ptr,
    post_ptr,
    post_dense_ptr,
    post_sparse_ptr,
    scalar_ptr,
    next_ptr,
    x_out_ptr,
    normed_out_ptr,
    size,
    eps,
    TOP_K: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # One program a row; TOP_K 0 is a block without experts.
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < size
    places = row * size + columns
    mixed = tl.load(dense_ptr + places, mask=inside, other=0.0).to(tl.float32)
    x = tl.load(x_ptr + places, mask=inside, other=0.0).to(tl.float32)
    scalar = tl.load(scalar_ptr).to(tl.float32)
    post = tl.load(post_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    following = tl.load(next_ptr + columns, mask=inside, other=0.0).to(tl.float32)
    if TOP_K > 0:
        post_dense = tl.load(post_dense_ptr + columns, mask=inside, other=0.0).to(tl.float32)
        post_sparse = tl.load(post_sparse_ptr + columns, mask=inside, other=0.0).to(tl.float32)
        sparse = tl.zeros([BLOCK], tl.float32)
        for expert in tl.static_range(TOP_K):
            place = (row * TOP_K + expert) * size + columns
            sparse += tl.load(sparse_ptr + place, mask=inside, other=0.0).to(tl.float32)
        mixed = mixed * _scale(mixed, size, eps) * post_dense + sparse * _scale(sparse, size, eps) * post_sparse
    dtype = x_out_ptr.dtype.element_ty
    after = ((x + mixed * _scale(mixed, size, eps) * post) * scalar).to(dtype)
    tl.store(x_out_ptr + places, after, mask=inside)
    after = after.to(tl.float32)
    normed = after * _scale(after, size, eps) * following
    tl.store(normed_out_ptr + places, normed.to(dtype), mask=inside)


def attention_residual(
    x: Tensor,
    y: Tensor,
    post_weight: Tensor,
    mlp_weight: Tensor,
    experts_weight: Tensor | None,
    router_scale: Tensor | None,
    eps: float,
) -> Residual:
    """`attention_residual_reference` by one kernel."""
    assert (experts_weight is None) == (router_scale is None), "experts need a router"
    _check(x, [y], [post_weight, mlp_weight, experts_weight, router_scale])
    num_rows, size = x.shape
    has_experts = experts_weight is not None
    outs = [torch.empty_like(x) for _ in range(2 + 2 * has_experts)]
    after, mlp, experts, router = outs if has_experts else (*outs, None, None)
    weights = post_weight, mlp_weight, experts_weight, router_scale
    block = block_of(size)
    arguments = x, y, *weights, after, mlp, experts, router, size, eps, size**-0.5, has_experts, block
    launch(_attention_residual_kernel, [num_rows], *arguments, num_warps=warps_for(block))
    return Residual(after, mlp, experts, router)


def feed_forward_residual(
    x: Tensor,
    dense: Tensor,
    sparse: Tensor | None,
    weights: FeedForwardNorms,
    scalar: Tensor,
    next_weight: Tensor,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """`feed_forward_residual_reference` by one kernel."""
    _check(x, [dense], [*weights, next_weight])
    assert scalar.shape == (1,), f"wanted one number, got {tuple(scalar.shape)}"
    num_rows, size = x.shape
    top_k = 0
    if sparse is not None:
        top_k = sparse.shape[1]
        assert sparse.shape == (num_rows, top_k, size), f"experts' {tuple(sparse.shape)} for {tuple(x.shape)}"
        assert sparse.is_contiguous(), f"wanted the experts' outputs in one piece, got strides {sparse.stride()}"
        assert weights.dense is not None, "wanted a norm for either path"
        assert weights.sparse is not None, "wanted a norm for either path"
    after, normed = torch.empty_like(x), torch.empty_like(x)
    block = block_of(size)
    arguments = x, dense, sparse, *weights, scalar, next_weight, after, normed, size, eps, top_k, block
    launch(_feed_forward_residual_kernel, [num_rows], *arguments, num_warps=warps_for(block))
    return after, normed


def _check(x: Tensor, others: list[Tensor], weights: list[Tensor | None]) -> None:
    assert x.ndim == 2, f"wanted [N, hidden], got {tuple(x.shape)}"
    for rows in (x, *others):
        assert rows.shape == x.shape, f"{tuple(rows.shape)} beside {tuple(x.shape)}"
        assert rows.is_contiguous(), f"wanted rows in one piece, got strides {rows.stride()}"
    for weight in weights:
        assert weight is None or weight.shape == x.shape[1:], f"weight {tuple(weight.shape)} for {tuple(x.shape)}"
