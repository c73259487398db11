"""DiffusionGemma: one set of Gemma 4 layers in two modes.

`encode` is causal: it reads the prompt and fills a KV cache. `denoise` is bidirectional: it reads a canvas of tokens
of which some are noise, sees that cache, writes nothing, and predicts every canvas position at once.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from midfill.engine.config import ModelConfig
from midfill.engine.gemma4 import DecoderLayer, GatedMLP, RMSNorm, rms_norm_unscaled, rotary_table

LayerAttend = Callable[[int, Tensor, Tensor, Tensor], Tensor]
"""(layer index, q, k, v) -> attention output: what `gemma4.Attend` is, for all layers."""


class SelfConditioning(GatedMLP):
    """Mixes the soft embedding of the last step's prediction into the canvas embedding. Zero in adds nothing."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config.hidden_size, config.intermediate_size)
        self.eps = config.rms_norm_eps
        self.pre_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def mix(self, embedded: Tensor, soft: Tensor | None) -> Tensor:
        """Canvas embedding and soft embedding, both [B, C, hidden] -> the layers' input, normed."""
        if soft is not None:
            embedded = embedded + self(self.pre_norm(soft))
        return rms_norm_unscaled(embedded, self.eps)


class DiffusionGemma(nn.Module):
    """The text model. Parameter names are the checkpoint's below `model.decoder.`; see `checkpoint.py` for the rest."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        # Given weights, or nn.Embedding draws them: on the meta device that loads torch's compiler, 2.7 s on 2 cores.
        weights = torch.empty(config.vocab_size, config.hidden_size)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, _weight=weights)
        self.layers = nn.ModuleList(DecoderLayer(config, layer) for layer in config.layers)
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.self_conditioning = SelfConditioning(config)

    def embed(self, ids: Tensor) -> Tensor:
        """Token ids [...] -> embeddings [..., hidden], scaled."""
        return self.embed_tokens(ids) * self._embedding_scale()

    def soft_embed(self, probabilities: Tensor) -> Tensor:
        """Probabilities [..., V] -> their mean embedding [..., hidden], scaled as `embed` scales."""
        weight = self.embed_tokens.weight
        return (probabilities.to(weight.dtype) @ weight) * self._embedding_scale()

    def _embedding_scale(self) -> Tensor:
        # Rounded to the model's dtype first, as the released weights were trained (bfloat16: 53.0 for 2816). On the
        # CPU always: there it is an argument of the card's kernel, on the card a copy that is waited for.
        return torch.tensor(self.config.hidden_size**0.5, dtype=self.embed_tokens.weight.dtype, device="cpu")

    def encode(self, ids: Tensor, positions: Tensor, attend: LayerAttend) -> Tensor:
        """Causal mode: ids [B, T] at `positions` [T] or [B, T] -> final hidden states [B, T, hidden]."""
        scalars = [layer.get_buffer("encoder_layer_scalar") for layer in self.layers]
        return self._run(self.embed(ids), positions, attend, scalars)

    def denoise(self, canvas: Tensor, positions: Tensor, soft: Tensor | None, attend: LayerAttend) -> Tensor:
        """Canvas mode: ids [B, C] and an optional soft embedding [B, C, hidden] -> hidden states [B, C, hidden]."""
        x = self.self_conditioning.mix(self.embed(canvas), soft)
        return self._run(x, positions, attend, [layer.get_buffer("layer_scalar") for layer in self.layers])

    def _run(self, x: Tensor, positions: Tensor, attend: LayerAttend, scalars: list[Tensor]) -> Tensor:
        tables: dict[str, tuple[Tensor, Tensor]] = {}
        for config in self.config.layers:
            if config.kind not in tables:
                cos, sin = rotary_table(config, positions)
                tables[config.kind] = cos.unsqueeze(-3).to(x.dtype), sin.unsqueeze(-3).to(x.dtype)
        for index, (layer, scalar) in enumerate(zip(self.layers, scalars, strict=True)):

            def attend_here(q: Tensor, k: Tensor, v: Tensor, index: int = index) -> Tensor:
                return attend(index, q, k, v)

            x = layer(x, tables[self.config.layers[index].kind], attend_here, scalar)
        return self.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden states [..., hidden] -> logits [..., V] float32, soft-capped."""
        logits = (hidden @ self.embed_tokens.weight.T).float()
        cap = self.config.final_logit_softcapping
        return logits if cap is None else torch.tanh(logits / cap) * cap
