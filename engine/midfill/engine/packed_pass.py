"""All layers of a model, one after the other, on kernels. What a layer attends to is not its business."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from midfill.engine.packed_layers import PackedExperts, PackedLayer
from midfill.kernels.experts import run_experts, tile_rows_for
from midfill.kernels.gelu import gelu_mul
from midfill.kernels.residual import Residual, attention_residual, feed_forward_residual
from midfill.kernels.rms_norm import rms_norm
from midfill.kernels.routing import plan, route

AttendPacked = Callable[[int, Tensor], Tensor]
"""(layer index, its projections [B, T, …]) -> attention's output [B, T, heads * D]."""


def run_packed(
    layers: Sequence[PackedLayer],
    final_norm: Tensor,
    x: Tensor,
    shape: torch.Size,
    scalars: Sequence[Tensor],
    attend: AttendPacked,
    eps: float,
) -> Tensor:
    """x [B * T, hidden] of `shape` [B, T] -> [B, T, hidden], behind `final_norm`; `scalars` are one a layer."""
    followers = [*(layer.input_norm for layer in layers[1:]), final_norm]
    normed = rms_norm(x, layers[0].input_norm, eps)
    for index, (layer, scalar, follower) in enumerate(zip(layers, scalars, followers, strict=True)):
        attended = attend(index, product(normed, layer.qkv).view(*shape, -1)).flatten(0, 1)
        after = attention_residual(x, product(attended, layer.out), *layer.norms_after_attention, eps)
        dense = product(gelu_mul(product(after.mlp, layer.gate_up)), layer.down)
        sparse = None if layer.experts is None else _sparse(layer.experts, after)
        x, normed = feed_forward_residual(after.x, dense, sparse, layer.post_norms, scalar, follower, eps)
    return normed.view(*shape, -1)


def product(x: Tensor, weights: Tensor) -> Tensor:
    """x [N, in], weights [out, in] -> [N, out]. The library's: at 8 to 1,024 rows it streams the weights once."""
    return x @ weights.T


def _sparse(experts: PackedExperts, after: Residual) -> Tensor:
    """What N tokens' experts make of them, weighted: [N, top_k, hidden]."""
    assert after.experts is not None
    assert after.router is not None
    num_experts = len(experts.router)
    weights, chosen = route(product(after.router, experts.router), experts.per_expert_scale, experts.top_k)
    tiles = plan(chosen, num_experts, tile_rows_for(chosen.numel(), num_experts))
    return run_experts(after.experts, weights, tiles, experts.gate_up, experts.down)
