"""Models of random weights for benchmarks: the shape of 26B-A4B, built on the card, and a tiny one of the same kinds.

The weights are made where they are used: 50 GB pass through no other memory.
"""

from pathlib import Path
from typing import Any

import torch

from midfill.engine.config import ModelConfig, parse_config
from midfill.engine.diffusion_gemma import DiffusionGemma

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
