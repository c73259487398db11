"""DiffusionGemma: one set of Gemma 4 layers in two modes.

`encode` is causal: it reads the prompt and fills a KV cache. `denoise` is bidirectional: it reads a canvas of tokens
of which some are noise, sees that cache, writes nothing, and predicts every canvas position at once.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from midfill.engine.causal_gemma import CausalGemma, LayerAttend, scale
from midfill.engine.config import ModelConfig
from midfill.engine.gemma4 import GatedMLP, RMSNorm, rms_norm_unscaled

if TYPE_CHECKING:
    from midfill.engine.device_canvas import DeviceCanvas
    from midfill.engine.steps import StepTimes


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


class DiffusionGemma(CausalGemma):
    """The text model. Parameter names are the checkpoint's below `model.decoder.`; see `checkpoint.py` for the rest.

    The `layer_scalar` of a layer belongs to the canvas mode; the causal mode has its own, `encoder_layer_scalar`.
    """

    config: ModelConfig
    device_canvas: "DeviceCanvas | None" = None
    """Denoises on the device, where there are kernels for it."""
    step_times: "StepTimes | None" = None
    """What denoise steps take here, where that was measured."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        for layer in self.layers:
            layer.register_buffer("encoder_layer_scalar", torch.ones(1))
        self.self_conditioning = SelfConditioning(config)

    def soft_embed(self, probabilities: Tensor) -> Tensor:
        """Probabilities [..., V] -> their mean embedding [..., hidden], scaled as `embed` scales."""
        weight = self.embed_tokens.weight
        return (probabilities.to(weight.dtype) @ weight) * scale(self.config.hidden_size, weight.dtype)

    def denoise(self, canvas: Tensor, positions: Tensor, soft: Tensor | None, attend: LayerAttend) -> Tensor:
        """Canvas mode: ids [B, C] and an optional soft embedding [B, C, hidden] -> hidden states [B, C, hidden]."""
        x = self.self_conditioning.mix(self.embed(canvas), soft)
        scalars = [layer.get_buffer("layer_scalar") for layer in self.layers]
        return self._run(x, positions, attend, scalars)

    def causal_scalars(self) -> list[Tensor]:
        return [layer.get_buffer("encoder_layer_scalar") for layer in self.layers]
