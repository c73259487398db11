"""The two sizes of nano, as `config.json` text of the official format."""

from typing import Any

SMALL = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "moe_intermediate_size": 128,
    "num_experts": 4,
    "top_k_experts": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_global_key_value_heads": 1,
    "head_dim": 64,
    "global_head_dim": 64,
    "pattern": "SSFSSF",
}
"""8.3M parameters: what two CPU cores can train in two hours."""

MEDIUM = {
    "hidden_size": 384,
    "intermediate_size": 768,
    "moe_intermediate_size": 256,
    "num_experts": 4,
    "top_k_experts": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "num_global_key_value_heads": 1,
    "head_dim": 64,
    "global_head_dim": 128,
    "pattern": "SSFSSFSF",
}
"""24.5M parameters: for a GPU. With no more than twice as many experts as a token has, a CPU computes them all at once.

Untrained, on two threads of an EPYC (AVX2), a warm fill takes 119 ms so, and 258 ms with 8 experts of 128; S8 84 ms.
"""

SHAPES = {"S8": SMALL, "M24": MEDIUM}


def config_json(shape: str, vocab_size: int = 8192) -> dict[str, Any]:
    """`config.json` of a nano of `shape`. The vision tower is a placeholder that transformers insists on."""
    text = dict(SHAPES[shape])
    kinds = {"S": "sliding_attention", "F": "full_attention"}
    layer_types = [kinds[letter] for letter in text.pop("pattern")]
    return {
        "architectures": ["DiffusionGemmaForBlockDiffusion"],
        "model_type": "diffusion_gemma",
        "canvas_length": 64,
        "boi_token_id": vocab_size - 3,
        "eoi_token_id": vocab_size - 2,
        "image_token_id": vocab_size - 1,
        "eos_token_id": [1],
        "tie_word_embeddings": True,
        "text_config": {
            "model_type": "diffusion_gemma_text",
            "vocab_size": vocab_size,
            **text,
            "num_hidden_layers": len(layer_types),
            "layer_types": layer_types,
            "sliding_window": 512,
            "max_position_embeddings": 2048,
            "final_logit_softcapping": 30.0,
            "rms_norm_eps": 1e-6,
            "hidden_activation": "gelu_pytorch_tanh",
            "attention_bias": False,
            "use_bidirectional_attention": "vision",
            "tie_word_embeddings": True,
            "pad_token_id": 0,
            "eos_token_id": 1,
            "bos_token_id": 2,
            "rope_parameters": {
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
                "full_attention": {"rope_type": "proportional", "rope_theta": 1e6, "partial_rotary_factor": 0.25},
            },
        },
        "vision_config": {
            "model_type": "gemma4_vision",
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 1,
            "num_key_value_heads": 1,
            "head_dim": 16,
            "position_embedding_size": 16,
        },
    }
