"""Gemma 4 in causal mode: each token sees those before it, and predicts the one after it.

This is a whole autoregressive Gemma 4, and the causal mode of a `DiffusionGemma`. What it remembers is not its
business: K and V go to an attention function, as a `KVSlot` or `TreeKV` has one.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from midfill.engine.config import TextConfig
from midfill.engine.cpu_products import pad_rows
from midfill.engine.gemma4 import DecoderLayer, RMSNorm, rotary_table

if TYPE_CHECKING:
    from midfill.engine.cpu_layers import OnCPU
    from midfill.engine.passes import Passes

LayerAttend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""(layer index, q, k, v) -> attention output: what `gemma4.Attend` is, for all layers.

A layer without K and V of its own is given those of the layer that it shares with.
"""
RawAttend = Callable[[int, Tensor, Tensor | None, Tensor | None], Tensor]
"""The same, but k and v are None in a layer without K and V of its own."""


class PerLayerInputs(nn.Module):
    """What each token tells each layer: an embedding of its own, mixed with a projection of the common one."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.shape = len(config.layers), config.hidden_size_per_layer_input
        size = self.shape[0] * self.shape[1]
        weights = torch.empty(config.vocab_size, size)
        self.embed_tokens_per_layer = nn.Embedding(config.vocab_size, size, _weight=weights)
        self.per_layer_model_projection = nn.Linear(config.hidden_size, size, bias=False)
        self.per_layer_projection_norm = RMSNorm(self.shape[1], config.rms_norm_eps)

    def forward(self, ids: Tensor, embedded: Tensor) -> Tensor:
        """Token ids [B, T] and their scaled embeddings [B, T, hidden] -> [B, T, layers, size]."""
        own = self.embed_tokens_per_layer(ids) * scale(self.shape[1], embedded.dtype)
        projected = self.per_layer_model_projection(embedded) * embedded.shape[-1] ** -0.5
        mixed = self.per_layer_projection_norm(projected.unflatten(-1, self.shape)) + own.unflatten(-1, self.shape)
        return mixed * 2**-0.5


def scale(size: int, dtype: torch.dtype) -> Tensor:
    """What embeddings of `size` numbers are multiplied by: its root."""
    # Rounded to the model's dtype first, as the released weights were trained (bfloat16: 53.0 for 2816). On the
    # CPU always: there it is an argument of the card's kernel, on the card a copy that is waited for.
    return torch.tensor(size**0.5, dtype=dtype, device="cpu")


class CausalGemma(nn.Module):
    """The text model. Parameter names are the checkpoint's; see `gemma4_checkpoint.py` for their prefixes."""

    kernels: "Passes | None" = None
    """The same passes on kernels, where there are any for this model and its device."""
    on_cpu: "OnCPU | None" = None
    """Layers and embedding, where `cpu_layers` laid out the model."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        # Given weights, or nn.Embedding draws them: on the meta device that loads torch's compiler, 2.7 s on 2 cores.
        weights = torch.empty(config.vocab_size, config.hidden_size)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, _weight=weights)
        self.layers = nn.ModuleList(DecoderLayer(config, index) for index in range(len(config.layers)))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.per_layer = PerLayerInputs(config) if config.hidden_size_per_layer_input else None

    @property
    def kv_dtype(self) -> torch.dtype:
        """What its layers give K and V in."""
        # In bfloat16, a CPU takes longer over few queries.
        return self.embed_tokens.weight.dtype if self.on_cpu is None else torch.float32

    def embed(self, ids: Tensor) -> Tensor:
        """Token ids [...] -> embeddings [..., hidden], scaled."""
        return self.embed_tokens(ids) * scale(self.config.hidden_size, self.embed_tokens.weight.dtype)

    def encode(self, ids: Tensor, positions: Tensor, attend: LayerAttend) -> Tensor:
        """Ids [B, T] at `positions` [T] or [B, T] -> final hidden states [B, T, hidden]."""
        x = self.embed(ids)
        per_layer = None if self.per_layer is None else self.per_layer(ids, x)
        return self._run(x, positions, attend, self.causal_scalars(), per_layer)

    def _run(
        self,
        x: Tensor,
        positions: Tensor,
        attend: LayerAttend,
        scalars: Sequence[Tensor],
        per_layer: Tensor | None = None,
    ) -> Tensor:
        if self.on_cpu is not None:
            return self.on_cpu.layers(x, positions, attend, scalars)
        shared = _sharing(self.config, attend)
        return self.norm(run_layers(self.config, self.layers, x, positions, shared, scalars, per_layer))

    def causal_scalars(self) -> list[Tensor]:
        """What multiplies the output of each layer in causal mode, [1] each."""
        return [layer.get_buffer("layer_scalar") for layer in self.layers]

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden states [..., hidden] -> logits [..., V] float32, soft-capped."""
        logits = self._raw_logits(hidden).float()
        cap = self.config.final_logit_softcapping
        return logits if cap is None else soft_capped(logits, cap)

    def _raw_logits(self, hidden: Tensor) -> Tensor:
        if self.on_cpu is None:
            return hidden @ self.embed_tokens.weight.T
        rows = hidden.reshape(-1, hidden.shape[-1])
        return self.on_cpu.head(pad_rows(rows))[: len(rows)].view(*hidden.shape[:-1], -1)


def soft_capped(logits: Tensor, cap: float) -> Tensor:
    """cap tanh(logits / cap); the memory of `logits` may become its own."""
    if logits.device.type != "cpu" or logits.requires_grad:
        return torch.tanh(logits / cap) * cap
    # The same, but torch's tanh takes a CPU six times as long as its sigmoid: 1.3 and 0.2 ms of 64 rows of 8,192.
    return logits.mul_(2 / cap).sigmoid_().mul_(2 * cap).sub_(cap)


def run_layers(
    config: TextConfig,
    layers: nn.ModuleList,
    x: Tensor,
    positions: Tensor,
    attend: RawAttend,
    scalars: Sequence[Tensor],
    per_layer: Tensor | None = None,
) -> Tensor:
    """All layers one after the other, x [B, T, hidden] -> the same shape, not yet normed.

    `scalars` multiplies their outputs, one a layer; `per_layer` [B, T, layers, size] is what `PerLayerInputs` gives.
    """
    tables: dict[str, tuple[Tensor, Tensor]] = {}
    for layer in config.layers:
        if layer.kind not in tables:
            cos, sin = rotary_table(layer, positions)
            tables[layer.kind] = cos.unsqueeze(-3).to(x.dtype), sin.unsqueeze(-3).to(x.dtype)
    for index, (layer, scalar) in enumerate(zip(layers, scalars, strict=True)):

        def attend_here(q: Tensor, k: Tensor | None, v: Tensor | None, index: int = index) -> Tensor:
            return attend(index, q, k, v)

        theirs = None if per_layer is None else per_layer[:, :, index]
        x = layer(x, tables[config.layers[index].kind], attend_here, scalar, theirs)
    return x


def _sharing(config: TextConfig, attend: LayerAttend) -> RawAttend:
    """`attend` for one pass over all layers, in which those without K and V of their own use others'."""
    own: dict[int, tuple[Tensor, Tensor]] = {}

    def attend_shared(index: int, q: Tensor, k: Tensor | None, v: Tensor | None) -> Tensor:
        if k is None or v is None:
            k, v = own[config.kv_layer(index)]
        elif config.num_kv_shared_layers:
            own[index] = k, v
        return attend(index, q, k, v)

    return attend_shared
