"""All layers of a model, one after the other, on kernels. What a layer attends to is not its business."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from midfill.engine.packed_layers import PackedExperts, PackedLayer
from midfill.kernels.experts import run_experts, tile_rows_for
from midfill.kernels.gelu import gelu_mul
from midfill.kernels.residual import Residual, attention_residual, feed_forward_residual
from midfill.kernels.rms_norm import rms_norm
from midfill.kernels.routing import plan, route

Result = TypeVar("Result")
AttendPacked = Callable[[int, Tensor], Tensor]
"""(layer index, its projections [B, T, …]) -> attention's output [B, T, heads * D]."""


class SideStream:
    """A second stream of the card: what starts there runs beside what the current one is given until they join.

    For the dense MLP of a layer with experts: router, route and plan before its experts are three small kernels, one
    after the other, which leave the card idle for 10 to 12 us by estimate; so long does it take the MLP to read its
    36 MB. Unmeasured. A CUDA graph records both streams.
    """

    def __init__(self, device: torch.device) -> None:
        self._stream = torch.cuda.Stream(device)

    def start(self, work: Callable[[], Result]) -> Result:
        """What `work` gives, not to be read before `join`. Until then, what it reads must be kept."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            return work()

    def join(self) -> None:
        """The current stream goes on when all that was started has ended.

        The memory of results may be taken again only by what is started after that, so they can be dropped once they
        were given to kernels of the current stream.
        """
        torch.cuda.current_stream().wait_stream(self._stream)


def run_packed(
    layers: Sequence[PackedLayer],
    final_norm: Tensor,
    x: Tensor,
    shape: torch.Size,
    scalars: Sequence[Tensor],
    attend: AttendPacked,
    eps: float,
    side: SideStream | None = None,
) -> Tensor:
    """x [B * T, hidden] of `shape` [B, T] -> [B, T, hidden], behind `final_norm`; `scalars` are one a layer."""
    followers = [*(layer.input_norm for layer in layers[1:]), final_norm]
    normed = rms_norm(x, layers[0].input_norm, eps)
    for index, (layer, scalar, follower) in enumerate(zip(layers, scalars, followers, strict=True)):
        attended = attend(index, product(normed, layer.qkv).view(*shape, -1)).flatten(0, 1)
        after = attention_residual(x, product(attended, layer.out), *layer.norms_after_attention, eps)
        dense, sparse = _feed_forward(layer, after, side)
        x, normed = feed_forward_residual(after.x, dense, sparse, layer.post_norms, scalar, follower, eps)
    return normed.view(*shape, -1)


def product(x: Tensor, weights: Tensor) -> Tensor:
    """x [N, in], weights [out, in] -> [N, out]. The library's: at 8 to 1,024 rows it streams the weights once."""
    return x @ weights.T


def _feed_forward(layer: PackedLayer, after: Residual, side: SideStream | None) -> tuple[Tensor, Tensor | None]:
    """What the dense MLP makes of N tokens, [N, hidden], and what their experts do."""
    dense = partial(_dense, layer, after)
    if layer.experts is None:
        return dense(), None
    if side is None:
        return dense(), _sparse(layer.experts, after)
    mixed, sparse = side.start(dense), _sparse(layer.experts, after)
    side.join()
    return mixed, sparse


def _dense(layer: PackedLayer, after: Residual) -> Tensor:
    return product(gelu_mul(product(after.mlp, layer.gate_up)), layer.down)


def _sparse(experts: PackedExperts, after: Residual) -> Tensor:
    """What N tokens' experts make of them, weighted: [N, top_k, hidden]."""
    assert after.experts is not None
    assert after.router is not None
    num_experts = len(experts.router)
    weights, chosen = route(product(after.router, experts.router), experts.per_expert_scale, experts.top_k)
    tiles = plan(chosen, num_experts, tile_rows_for(chosen.numel(), num_experts))
    return run_experts(after.experts, weights, tiles, experts.gate_up, experts.down)
