"""A small model's decoder layers, laid out for a CPU: the same function as `gemma4.DecoderLayer`, in fewer operations.

At 8 tokens a pass of the embedded model is 300 operations of a few microseconds, beside its 36 products, which are two
fifths of the time. So weights that stand before a product are multiplied into it, what reads the same numbers is one
product, all heads are normed at once, and between products all is float32, which saves the casts.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from midfill.engine.causal_gemma import CausalGemma, LayerAttend
from midfill.engine.config import LayerConfig, TextConfig
from midfill.engine.cpu_products import CPUProduct, pad_rows, product_with
from midfill.engine.gemma4 import Attend, Attention, DecoderLayer, RMSNorm, rotary_table

POSITIONS = 1024
"""Rows by which rotary tables grow."""


def can_be_laid_out(config: TextConfig) -> bool:
    """Whether `CPULayer` computes this model's layers: few experts, K and V of their own, no inputs of their own."""
    return (
        0 < config.num_experts <= 2 * config.top_k_experts
        and config.num_kv_shared_layers == 0
        and config.hidden_size_per_layer_input == 0
    )


@torch.no_grad()
def lay_out_for_cpu(model: CausalGemma) -> None:
    """Gives `model` such layers, if it `can_be_laid_out`, and its embedding as a product, which holds that twice."""
    if can_be_laid_out(model.config):
        layers = [layer for layer in model.layers if isinstance(layer, DecoderLayer)]
        laid_out = [CPULayer(layer, model.config, index) for index, layer in enumerate(layers)]
        model.layers = nn.ModuleList(laid_out)
        model.on_cpu = OnCPU(CPULayers(laid_out, model.norm, model.config), product_with(model.embed_tokens.weight))


class OnCPU(NamedTuple):
    """What a model that is laid out computes with."""

    layers: "CPULayers"
    head: CPUProduct
    """The embedding."""


class CPULayers:
    """All layers of a model one after the other, and the norm behind them."""

    def __init__(self, layers: "Sequence[CPULayer]", norm: RMSNorm, config: TextConfig) -> None:
        self.layers, self.norm = layers, norm_weights(norm)
        self.least = least_length(config.hidden_size, config.rms_norm_eps)
        self.kinds = [layer.kind for layer in config.layers]
        self.rotary = {layer.kind: RotaryTable(layer) for layer in config.layers}

    def __call__(self, x: Tensor, positions: Tensor, attend: LayerAttend, scalars: Sequence[Tensor]) -> Tensor:
        """x [B, T, hidden] at `positions` [T] or [B, T] -> final hidden states of the same shape."""
        shape = x.shape[:2]
        places = positions.expand(shape).flatten()
        rotary = {kind: table.at(places) for kind, table in self.rotary.items()}
        tokens = pad_rows(x.flatten(0, 1).float())
        for index, (layer, scalar) in enumerate(zip(self.layers, scalars, strict=True)):
            tokens = layer(tokens, shape, rotary[self.kinds[index]], partial(attend, index), scalar)
        return over_length(tokens, self.least).mul_(self.norm)[: len(places)].view(x.shape).to(x.dtype)


class RotaryTable:
    """The `rotary_table` of a kind of layer, made once: as many rows as positions were asked for."""

    def __init__(self, layer: LayerConfig) -> None:
        self.layer = layer
        self._rows = torch.empty(2, 0, 1, layer.head_dim)
        """Of each position the cosines, and the sines, of the first half negated."""

    def at(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Of positions [N], both [N, 1, D] float32, as `turned` takes them."""
        needed = int(positions.max()) + 1
        if needed > self._rows.shape[1]:
            cos, sin = rotary_table(self.layer, torch.arange(-(-needed // POSITIONS) * POSITIONS))
            sin[:, : self.layer.head_dim // 2].neg_()
            self._rows = torch.stack((cos, sin))[:, :, None]
        cos, sin = self._rows[:, positions]
        return cos, sin


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x [N, heads, D] -> `gemma4.rotate` of it, by what `RotaryTable.at` gives."""
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


class CPULayer(nn.Module):
    """What `layer`, number `index` of its model, computes; keeps none of its weights but the scalars."""

    def __init__(self, layer: DecoderLayer, config: TextConfig, index: int) -> None:
        super().__init__()
        assert can_be_laid_out(config)
        self.attention = CPUAttention(layer.self_attn, layer.input_layernorm, config, index)
        self.feed_forward = CPUFeedForward(layer)
        self.post_attention = norm_weights(layer.post_attention_layernorm)
        self.post_feed_forward = norm_weights(layer.post_feedforward_layernorm)
        self.least = least_length(config.hidden_size, config.rms_norm_eps)
        for name, buffer in layer.named_buffers(recurse=False):
            self.register_buffer(name, buffer)

    def forward(
        self, tokens: Tensor, shape: Sequence[int], rotary: tuple[Tensor, Tensor], attend: Attend, scalar: Tensor
    ) -> Tensor:
        """Tokens [padded N, hidden] float32, the first of which are B x T, `shape` -> the same."""
        least = self.least
        attended = self.attention(over_length(tokens, least), shape, rotary, attend)
        tokens = torch.addcmul(tokens, over_length(attended, least), self.post_attention)
        mixed = self.feed_forward(over_length(tokens, least))
        return torch.addcmul(tokens, over_length(mixed, least), self.post_feed_forward).mul_(scalar)


class CPUAttention:
    """Projections, QKV norms and rotary embedding of layer `index`, and the norm before them."""

    def __init__(self, attention: Attention, norm: RMSNorm, config: TextConfig, index: int) -> None:
        layer, key, value = config.layers[index], attention.k_proj, attention.v_proj
        assert key is not None
        assert attention.k_norm is not None
        rows = torch.cat((attention.q_proj.weight, key.weight, (value or key).weight))
        self.dtype, self.size = rows.dtype, layer.head_dim
        self.qkv = product_with(times_columns(rows, norm_weights(norm)))
        self.out = product_with(attention.o_proj.weight)
        self.heads = [layer.num_heads, layer.num_kv_heads, layer.num_kv_heads]
        self.norms = self._head_norms(attention.q_norm, attention.k_norm)
        self.least = least_length(self.size, config.rms_norm_eps)

    def _head_norms(self, of_q: RMSNorm, of_k: RMSNorm) -> Tensor:
        """[heads of Q, K and V, D]"""
        of_v = torch.full((self.size,), self.size**0.5)
        pairs = zip((norm_weights(of_q), norm_weights(of_k), of_v), self.heads, strict=True)
        return torch.cat([weights.expand(count, -1) for weights, count in pairs])

    def __call__(self, x: Tensor, shape: Sequence[int], rotary: tuple[Tensor, Tensor], attend: Attend) -> Tensor:
        """Tokens `over_length` [padded N, hidden], the first of which are B x T, `shape` -> the same shape."""
        num_tokens, (num_q, num_k, _) = shape[0] * shape[1], self.heads
        raw = self.qkv(x.to(self.dtype))[:num_tokens].view(num_tokens, -1, self.size)
        normed = over_length(raw, self.least).mul_(self.norms)
        turning = turned(normed[:, : num_q + num_k], *rotary).view(*shape, num_q + num_k, self.size).transpose(1, 2)
        v = normed[:, num_q + num_k :].unflatten(0, shape).transpose(1, 2)
        attended = attend(turning[:, :num_q], turning[:, num_q:], v)
        rows = x.new_zeros(len(x), num_q * self.size, dtype=self.dtype)
        rows[:num_tokens].view(*shape, num_q, self.size).copy_(attended.transpose(1, 2))
        return self.out(rows)


class CPUFeedForward:
    """The dense MLP and the experts of a layer with the norms around each, and the router."""

    def __init__(self, layer: DecoderLayer) -> None:
        assert layer.router is not None
        assert layer.experts is not None
        mlp, experts, router = layer.mlp, layer.experts, layer.router
        before = norm_weights(layer.pre_feedforward_layernorm), norm_weights(layer.pre_feedforward_layernorm_2)
        after = norm_weights(layer.post_feedforward_layernorm_1), norm_weights(layer.post_feedforward_layernorm_2)
        gate, up = experts.gate_up_proj.chunk(2, dim=1)
        self.num_dense = mlp.gate_proj.out_features
        self.num_experts, _, self.size = experts.down_proj.shape
        self.dtype, self.top_k = gate.dtype, router.top_k
        self.gate = product_with(_side_by_side(mlp.gate_proj.weight, gate, *before))
        self.up = product_with(_side_by_side(mlp.up_proj.weight, up, *before))
        self.down = product_with(mlp.down_proj.weight)
        scaled = experts.down_proj.float() * router.per_expert_scale.float()[:, None, None]
        self.experts_down = product_with(scaled.transpose(0, 1).flatten(1).to(self.dtype))
        self.router = router.proj.weight.float() * router.scale.float()
        self.after = torch.stack(after)
        self.least = least_length(mlp.gate_proj.in_features, router.eps)

    def __call__(self, x: Tensor) -> Tensor:
        """Tokens `over_length` [padded N, hidden] -> the same shape, before the last norm."""
        rounded = x.to(self.dtype)
        inner = self.up.times(rounded, self.gate.gelu(rounded))
        dense, sparse = inner[:, : self.num_dense], inner[:, self.num_dense :]
        sparse.view(-1, self.num_experts, self.size).mul_(self._shares(x)[..., None])
        both = torch.stack((self.down(dense), self.experts_down(sparse)), dim=1)
        return over_length(both, self.least).mul_(self.after).sum(dim=1)

    def _shares(self, x: Tensor) -> Tensor:
        """How much of each expert a token gets: [N, experts] float32, 0 but for `top_k`."""
        logits, chosen = F.linear(x, self.router).topk(self.top_k, dim=-1)
        return torch.zeros(len(x), self.num_experts).scatter_(1, chosen, logits.softmax(dim=-1))


def least_length(size: int, eps: float) -> Tensor:
    """What a norm's `eps` is to the length of `size` numbers."""
    return torch.tensor((size * eps) ** 0.5)


def over_length(x: Tensor, least: Tensor) -> Tensor:
    """x over its length, float32: an RMS norm without its weights, which `norm_weights` completes."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
    return x / length.hypot_(least)


def norm_weights(norm: RMSNorm) -> Tensor:
    """What `over_length` is multiplied by to be `norm`: [size] float32."""
    return norm.weight.detach().float() * len(norm.weight) ** 0.5


def times_columns(weights: Tensor, factors: Tensor) -> Tensor:
    """A product's weights [out, in], for inputs [in] that are not yet multiplied by `factors`; in the same dtype."""
    return (weights.float() * factors).to(weights.dtype)


def _side_by_side(dense: Tensor, experts: Tensor, of_dense: Tensor, of_experts: Tensor) -> Tensor:
    """Rows [size, hidden] of the MLP, then those [experts, size, hidden] of the experts, each times its norm."""
    return torch.cat((times_columns(dense, of_dense), times_columns(experts.flatten(0, 1), of_experts)))
