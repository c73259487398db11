"""A model's layers as kernels want them: weights that are read together stand together.

The modules of the model get views of the same memory, so nothing is held twice.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from midfill.engine.config import LayerConfig, TextConfig
from midfill.engine.gemma4 import DecoderLayer, GatedMLP
from midfill.kernels.residual import FeedForwardNorms


class PackedExperts(NamedTuple):
    """What the sparse half of a layer reads."""

    router: Tensor
    """[experts, hidden]"""
    per_expert_scale: Tensor
    gate_up: Tensor
    """[experts, 2 * size, hidden]"""
    down: Tensor
    """[experts, hidden, size]"""
    top_k: int


class PackedLayer(NamedTuple):
    """One layer; weights of a product are [out, in], of a norm [size]."""

    shape: LayerConfig
    input_norm: Tensor
    qkv: Tensor
    """Rows of Q, and of K and of V where the layer has projections for them."""
    q_norm: Tensor
    k_norm: Tensor
    """Q's where the layer has no K."""
    frequencies: Tensor
    """[pairs that rotate] float32"""
    out: Tensor
    norms_after_attention: tuple[Tensor, Tensor, Tensor | None, Tensor | None]
    """Of attention's output, of the MLP's input and of the experts', and the router's scale."""
    gate_up: Tensor
    down: Tensor
    post_norms: FeedForwardNorms
    experts: PackedExperts | None


def can_pack(config: TextConfig) -> bool:
    """Whether all layers are of the kinds that `pack` knows: without inputs of their own.

    And with K and V of their own, or all without, as in a drafter.
    """
    sizes = {layer.head_dim for layer in config.layers}
    return (
        config.num_kv_layers in (0, len(config.layers))
        and config.hidden_size_per_layer_input == 0
        and all(size >= 16 and size & (size - 1) == 0 for size in sizes)
    )


def pack(layer: nn.Module, shape: LayerConfig) -> PackedLayer:
    """`layer`, whose projections are views of the packed ones from now on. For a while it is in memory twice."""
    assert isinstance(layer, DecoderLayer)
    attention = layer.self_attn
    projections = [attention.q_proj, attention.k_proj, attention.v_proj]
    exponents = torch.arange(
        shape.rotary_dims // 2, device=layer.get_buffer("layer_scalar").device, dtype=torch.float32
    )
    has_experts = layer.experts is not None
    return PackedLayer(
        shape=shape,
        input_norm=layer.input_layernorm.weight,
        qkv=stack([projection for projection in projections if projection is not None]),
        q_norm=attention.q_norm.weight,
        k_norm=(attention.q_norm if attention.k_norm is None else attention.k_norm).weight,
        frequencies=shape.rope_theta ** -(exponents * (2 / shape.head_dim)),
        out=attention.o_proj.weight,
        norms_after_attention=(
            layer.post_attention_layernorm.weight,
            layer.pre_feedforward_layernorm.weight,
            layer.pre_feedforward_layernorm_2.weight if has_experts else None,
            layer.router.scale if layer.router is not None else None,
        ),
        gate_up=stack_gates(layer.mlp),
        down=layer.mlp.down_proj.weight,
        post_norms=FeedForwardNorms(
            layer.post_feedforward_layernorm.weight,
            layer.post_feedforward_layernorm_1.weight if has_experts else None,
            layer.post_feedforward_layernorm_2.weight if has_experts else None,
        ),
        experts=_pack_experts(layer),
    )


def _pack_experts(layer: DecoderLayer) -> PackedExperts | None:
    if layer.experts is None or layer.router is None:
        return None
    return PackedExperts(
        layer.router.proj.weight,
        layer.router.per_expert_scale,
        layer.experts.gate_up_proj,
        layer.experts.down_proj,
        layer.router.top_k,
    )


def stack_gates(mlp: GatedMLP) -> Tensor:
    """Gate rows, then up rows, as one matrix."""
    return stack([mlp.gate_proj, mlp.up_proj])


def stack(projections: list[nn.Linear]) -> Tensor:
    """The weights one below the other; each projection keeps a view of its part."""
    stacked = torch.cat([projection.weight.detach() for projection in projections])
    parts = stacked.split([projection.out_features for projection in projections])
    for projection, part in zip(projections, parts, strict=True):
        projection.weight = nn.Parameter(part, requires_grad=False)
    return stacked
