"""The Gemma 4 decoder layer: sandwich norms, normalised Q, K and V, a dense MLP, in some models experts beside it.

Module and parameter names are those of the official checkpoints. What a layer attends to is not its business:
it hands Q, K and V to an `Attend`, so one set of layers serves prefill, denoise steps and training.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from midfill.engine.config import LayerConfig, TextConfig

Attend = Callable[[Tensor, Tensor | None, Tensor | None], Tensor]
"""(q [B, H, T, D], k and v [B, KV heads, T, D]) -> attention output [B, H, T, D]; the softmax scale is 1.

k and v are None in a layer that has none of its own.
"""


class RMSNorm(nn.Module):
    """x / rms(x) * weight, computed in float32. The weight is plain, not 1 + weight as in earlier Gemmas."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight, self.eps)


def rms_norm_unscaled(x: Tensor, eps: float) -> Tensor:
    """x / rms(x) over the last dimension."""
    return F.rms_norm(x, (x.shape[-1],), None, eps)


def rotary_table(layer: LayerConfig, positions: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines [..., T, D] float32 of integer `positions` [..., T] for the heads of `layer`.

    Pairs are (i, i + D/2). Only the first `rotary_dims` / 2 pairs rotate, the others have frequency 0; exponents run
    over the whole head ("proportional" rope of the full layers).
    """
    half, rotating = layer.head_dim // 2, layer.rotary_dims // 2
    exponents = torch.arange(rotating, device=positions.device, dtype=torch.float32) * (2 / layer.head_dim)
    frequencies = F.pad(layer.rope_theta**-exponents, (0, half - rotating))
    angles = positions[..., None].float() * frequencies
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding of x [B, H, T, D] by a `rotary_table` that broadcasts against it."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class Attention(nn.Module):
    """Projections, QKV norms and rotary embedding of layer `index`; of Q alone where it uses another's K and V.

    In most models, full layers take V from the K projection, under its own norm.
    """

    def __init__(self, config: TextConfig, index: int) -> None:
        super().__init__()
        self.layer: LayerConfig = config.layers[index]
        self.eps = config.rms_norm_eps
        hidden, size = config.hidden_size, self.layer.head_dim
        kv_size = self.layer.num_kv_heads * size
        has_k = index < config.num_kv_layers
        has_v = has_k and (self.layer.is_sliding or not config.attention_k_eq_v)
        self.q_proj = nn.Linear(hidden, self.layer.num_heads * size, bias=False)
        self.k_proj = nn.Linear(hidden, kv_size, bias=False) if has_k else None
        self.v_proj = nn.Linear(hidden, kv_size, bias=False) if has_v else None
        self.o_proj = nn.Linear(self.layer.num_heads * size, hidden, bias=False)
        self.q_norm = RMSNorm(size, self.eps)
        self.k_norm = RMSNorm(size, self.eps) if has_k else None

    def forward(self, x: Tensor, rotary: tuple[Tensor, Tensor], attend: Attend) -> Tensor:
        q, k, v = self.project(x, rotary)
        return self.o_proj(attend(q, k, v).transpose(1, 2).flatten(2))

    def project(self, x: Tensor, rotary: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Q [B, H, T, D], K and V [B, KV heads, T, D] or None, of x [B, T, hidden], ready for attention."""
        heads = (*x.shape[:2], -1, self.layer.head_dim)
        q = rotate(self.q_norm(self.q_proj(x).view(heads)).transpose(1, 2), *rotary)
        if self.k_proj is None or self.k_norm is None:
            return q, None, None
        raw_k = self.k_proj(x).view(heads)
        raw_v = raw_k if self.v_proj is None else self.v_proj(x).view(heads)
        k = rotate(self.k_norm(raw_k).transpose(1, 2), *rotary)
        return q, k, rms_norm_unscaled(raw_v, self.eps).transpose(1, 2)


class GatedMLP(nn.Module):
    """down(gelu(gate x) * up x), the tanh gelu."""

    def __init__(self, hidden_size: int, intermediate_size: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(hidden_size, intermediate_size, bias=False)
        self.up_proj = nn.Linear(hidden_size, intermediate_size, bias=False)
        self.down_proj = nn.Linear(intermediate_size, hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.gelu(self.gate_proj(x), approximate="tanh") * self.up_proj(x))


class Router(nn.Module):
    """Which experts a token goes to, and with what weight. Reads the residual stream through a norm of its own."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.top_k, self.eps = config.top_k_experts, config.rms_norm_eps
        self.proj = nn.Linear(config.hidden_size, config.num_experts, bias=False)
        self.scale = nn.Parameter(torch.ones(config.hidden_size))
        self.per_expert_scale = nn.Parameter(torch.ones(config.num_experts))

    def forward(self, residual: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [N, hidden] -> weights [N, top_k] float32 and expert ids [N, top_k]."""
        x = rms_norm_unscaled(residual, self.eps) * self.scale * residual.shape[-1] ** -0.5
        weights, experts = self.proj(x).float().softmax(dim=-1).topk(self.top_k, dim=-1)
        weights = weights / weights.sum(dim=-1, keepdim=True)
        return weights * self.per_expert_scale[experts], experts


class Experts(nn.Module):
    """Gated MLPs stored as two stacks: the gate rows of expert e come before its up rows."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        experts, hidden, size = config.num_experts, config.hidden_size, config.moe_intermediate_size
        self.gate_up_proj = nn.Parameter(torch.empty(experts, 2 * size, hidden))
        self.down_proj = nn.Parameter(torch.empty(experts, hidden, size))

    def forward(self, x: Tensor, weights: Tensor, experts: Tensor) -> Tensor:
        """Tokens [N, hidden], a `Router`'s weights and expert ids [N, top_k] -> weighted sum [N, hidden]."""
        num_experts, _, size = self.down_proj.shape
        if num_experts <= 2 * experts.shape[1]:
            # Each token uses half of the experts or more: one GEMM over all of them beats sorting.
            dense = torch.zeros(len(x), num_experts, device=x.device).scatter(1, experts, weights).to(x.dtype)
            gate, up = (x @ self.gate_up_proj.flatten(0, 1).T).unflatten(1, (num_experts, 2, size)).unbind(2)
            inner = F.gelu(gate, approximate="tanh") * up * dense[..., None]
            return inner.flatten(1) @ self.down_proj.transpose(1, 2).flatten(0, 1)
        return self._sorted(x, weights, experts)

    def _sorted(self, x: Tensor, weights: Tensor, experts: Tensor) -> Tensor:
        """One GEMM pair an expert that got tokens, over its tokens only."""
        flat = experts.flatten()
        order = flat.argsort(stable=True)
        tokens = order // experts.shape[1]
        counts = torch.bincount(flat, minlength=len(self.down_proj)).tolist()
        outputs, start = [], 0
        for expert, count in enumerate(counts):
            if count:
                gate, up = (x[tokens[start : start + count]] @ self.gate_up_proj[expert].T).chunk(2, dim=-1)
                outputs.append((F.gelu(gate, approximate="tanh") * up) @ self.down_proj[expert].T)
                start += count
        weighted = torch.cat(outputs) * weights.flatten()[order, None].to(x.dtype)
        return torch.zeros_like(x).index_add(0, tokens, weighted)


class DecoderLayer(nn.Module):
    """Layer `index` of a model, in the variant that its config asks for."""

    def __init__(self, config: TextConfig, index: int) -> None:
        super().__init__()
        hidden, eps = config.hidden_size, config.rms_norm_eps
        is_wide = config.use_double_wide_mlp and index >= config.num_kv_layers
        self.self_attn = Attention(config, index)
        self.mlp = GatedMLP(hidden, config.intermediate_size * (2 if is_wide else 1))
        self.router, self.experts = (Router(config), Experts(config)) if config.num_experts else (None, None)
        self.input_layernorm = RMSNorm(hidden, eps)
        self.post_attention_layernorm = RMSNorm(hidden, eps)
        self.pre_feedforward_layernorm = RMSNorm(hidden, eps)
        self.post_feedforward_layernorm = RMSNorm(hidden, eps)
        if config.num_experts:
            self.post_feedforward_layernorm_1 = RMSNorm(hidden, eps)
            self.pre_feedforward_layernorm_2 = RMSNorm(hidden, eps)
            self.post_feedforward_layernorm_2 = RMSNorm(hidden, eps)
        if size := config.hidden_size_per_layer_input:
            self.per_layer_input_gate = nn.Linear(hidden, size, bias=False)
            self.per_layer_projection = nn.Linear(size, hidden, bias=False)
            self.post_per_layer_input_norm = RMSNorm(hidden, eps)
        self.register_buffer("layer_scalar", torch.ones(1))

    def forward(
        self,
        x: Tensor,
        rotary: tuple[Tensor, Tensor],
        attend: Attend,
        scalar: Tensor,
        per_layer: Tensor | None = None,
    ) -> Tensor:
        """x [B, T, hidden] -> the same shape, times `scalar`. `per_layer` [B, T, size]: this one's `PerLayerInputs`."""
        x = x + self.post_attention_layernorm(self.self_attn(self.input_layernorm(x), rotary, attend))
        x = self.feed_forward(x)
        if per_layer is not None:
            gated = F.gelu(self.per_layer_input_gate(x), approximate="tanh") * per_layer
            x = x + self.post_per_layer_input_norm(self.per_layer_projection(gated))
        return x * scalar

    def feed_forward(self, x: Tensor) -> Tensor:
        """The dense MLP, beside the experts where there are any, added to x [B, T, hidden]."""
        dense = self.mlp(self.pre_feedforward_layernorm(x))
        if self.router is None or self.experts is None:
            return x + self.post_feedforward_layernorm(dense)
        dense = self.post_feedforward_layernorm_1(dense)
        tokens = x.flatten(0, 1)
        sparse = self.experts(self.pre_feedforward_layernorm_2(tokens), *self.router(tokens)).view_as(x)
        mixed = self.post_feedforward_layernorm(dense + self.post_feedforward_layernorm_2(sparse))
        return x + mixed
