"""A random float32 model, small enough for hundreds of forward passes, with a window that tests cross."""

from collections.abc import Sequence

import torch

from midfill.engine.config import FULL, SLIDING, LayerConfig, ModelConfig
from midfill.engine.diffusion_gemma import DiffusionGemma

WINDOW = 12


def small_model(
    vocab_size: int = 64,
    canvas_length: int = 16,
    head_dim: int = 8,
    kinds: Sequence[str] = (SLIDING, SLIDING, FULL, SLIDING, FULL),
    window: int = WINDOW,
) -> DiffusionGemma:
    """The same weights each time; heads of full layers are twice as large as those of sliding ones."""
    sliding = LayerConfig(SLIDING, num_heads=4, num_kv_heads=2, head_dim=head_dim, rope_theta=1e4, rotary_dims=head_dim)
    full = LayerConfig(
        FULL, num_heads=4, num_kv_heads=1, head_dim=2 * head_dim, rope_theta=1e6, rotary_dims=head_dim // 2
    )
    config = ModelConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        intermediate_size=32,
        moe_intermediate_size=16,
        num_experts=6,
        top_k_experts=2,
        sliding_window=window,
        rms_norm_eps=1e-6,
        final_logit_softcapping=30.0,
        max_position_embeddings=512,
        layers=tuple(sliding if kind == SLIDING else full for kind in kinds),
        canvas_length=canvas_length,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_ids=(1,),
    )
    generator = torch.Generator().manual_seed(0)
    model = DiffusionGemma(config).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1:
            parameter.normal_(std=parameter.shape[-1] ** -0.5, generator=generator)
        elif "post_" in name:
            parameter.fill_(0.3)  # as after training: branches that outweigh the residual amplify rounding
    return model
