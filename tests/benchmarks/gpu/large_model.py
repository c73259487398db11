"""Models of random weights for benchmarks: the shape of 26B-A4B, built on the card, and a tiny one of the same kinds.

The weights are made where they are used: 50 GB pass through no other memory.
"""

from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from midfill.engine.config import ModelConfig, parse_config
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.drafter import Drafter
from midfill.engine.gemma4_config import parse_drafter_config

Model = TypeVar("Model", bound=nn.Module)
SLIDING, FULL = "sliding_attention", "full_attention"
LARGE: dict[str, Any] = {
    "vocab_size": 262144,
    "hidden_size": 2816,
    "intermediate_size": 2112,
    "num_experts": 128,
    "top_k_experts": 8,
    "moe_intermediate_size": 704,
    "num_hidden_layers": 30,
    "layer_types": [*[SLIDING] * 5, FULL] * 5,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "num_global_key_value_heads": 2,
    "head_dim": 256,
    "global_head_dim": 512,
    "sliding_window": 1024,
    "final_logit_softcapping": 30.0,
    "max_position_embeddings": 262144,
    "rms_norm_eps": 1e-6,
    "rope_parameters": {
        SLIDING: {"rope_type": "default", "rope_theta": 1e4},
        FULL: {"rope_type": "proportional", "rope_theta": 1e6, "partial_rotary_factor": 0.25},
    },
    "use_bidirectional_attention": "vision",
    "bos_token_id": 2,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
"""text_config of google/diffusiongemma-26B-A4B-it."""
TINY: dict[str, Any] = {
    **LARGE,
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 48,
    "num_experts": 4,
    "top_k_experts": 2,
    "moe_intermediate_size": 32,
    "num_hidden_layers": 2,
    "layer_types": [SLIDING, FULL],
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_global_key_value_heads": 1,
    "head_dim": 16,
    "global_head_dim": 32,
    "sliding_window": 8,
    "max_position_embeddings": 128,
}
DRAFTER_SIZES = {"hidden_size": 1024, "intermediate_size": 8192}
"""Of google/gemma-4-26B-A4B-it-assistant; the heads are its target's."""
CANVAS_LENGTH = 256


def config_of(text: dict[str, Any]) -> ModelConfig:
    """As the engine reads it from a checkpoint with this text_config."""
    raw = {"model_type": "diffusion_gemma", "canvas_length": CANVAS_LENGTH, "text_config": text}
    return parse_config(raw, Path(__file__))


@torch.inference_mode()
def random_model(config: ModelConfig, device: torch.device, dtype: torch.dtype) -> DiffusionGemma:
    """A model with weights that keep all numbers within bounds, and whose routers choose about evenly."""
    with torch.device("meta"):
        model = DiffusionGemma(config).to(dtype)
    return _randomised(model, device)


@torch.inference_mode()
def random_drafter(text: dict[str, Any], device: torch.device, dtype: torch.dtype) -> Drafter:
    """A drafter for a target with this text_config: three sliding layers and a full one, which read the target's KV."""
    layers = {"layer_types": [SLIDING] * 3 + [FULL], "num_hidden_layers": 4, "num_kv_shared_layers": 4}
    experts = {"enable_moe_block": False, "num_experts": None, "top_k_experts": None, "moe_intermediate_size": None}
    own = {**text, **DRAFTER_SIZES, **layers, **experts, "final_logit_softcapping": None, "attention_k_eq_v": True}
    raw = {"model_type": "gemma4_assistant", "backbone_hidden_size": text["hidden_size"], "text_config": own}
    with torch.device("meta"):
        drafter = Drafter(parse_drafter_config(raw, Path(__file__))).to(dtype)
    return _randomised(drafter, device)


def _randomised(model: Model, device: torch.device) -> Model:
    model = model.to_empty(device=device).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            # A router's logits are then of the order of 1, as are those of the vocabulary.
            spread = 1.0 if "router" in name else parameter.shape[-1] ** -0.5
            parameter.normal_(std=spread)
        else:
            # As after training: branches that outweigh the residual amplify rounding.
            parameter.fill_(0.3 if "post_" in name else 1.0)
    for buffer in model.buffers():
        buffer.fill_(1.0)
    return model
