"""Tiny random autoregressive Gemma 4 checkpoints, made by transformers: a variant for each of the released sizes."""

from pathlib import Path
from typing import Any

import torch
from tests.engine.tiny import VISION, build_tokenizer, draw_weights
from transformers import (
    Gemma4Config,
    Gemma4ForCausalLM,
    Gemma4ForConditionalGeneration,
    Gemma4TextConfig,
    Gemma4UnifiedConfig,
    Gemma4UnifiedForConditionalGeneration,
)

VOCAB = 400
EMBEDDING_STD = 0.1
"""Small beside what the layers add, or the likeliest token is the last one again."""
SLIDING, FULL = "sliding_attention", "full_attention"
SMALL = {
    "vocab_size": VOCAB,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "global_head_dim": 16,
    "sliding_window": 8,
    "layer_types": [SLIDING, SLIDING, FULL, SLIDING, SLIDING, FULL],
    "num_hidden_layers": 6,
    "final_logit_softcapping": 30.0,
    "max_position_embeddings": 256,
    "eos_token_id": [1, 3],
}
K_IS_V = {"attention_k_eq_v": True, "num_global_key_value_heads": 1}
EXPERTS = {"enable_moe_block": True, "num_experts": 8, "top_k_experts": 2, "moe_intermediate_size": 24}
PER_LAYER = {"hidden_size_per_layer_input": 12, "vocab_size_per_layer_input": VOCAB}
DENSE = {"hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": VOCAB}

TEXTS: dict[str, dict[str, Any]] = {
    "E2B": {**SMALL, **PER_LAYER, "num_key_value_heads": 1, "num_kv_shared_layers": 3, "use_double_wide_mlp": True},
    "E4B": {**SMALL, **PER_LAYER, "num_kv_shared_layers": 2, "final_logit_softcapping": None},
    "12B": {**SMALL, **K_IS_V, "sliding_window": 5},
    "26B-A4B": {**SMALL, **DENSE, **K_IS_V, **EXPERTS},
    "31B": {**SMALL, **DENSE, **K_IS_V, "num_attention_heads": 6, "num_key_value_heads": 3},
    "text": {**SMALL, **DENSE, **EXPERTS, "num_experts": 3},
}
"""Text configs by the size whose switches they have; `text` is a mixture of experts saved without other parts."""
VARIANTS = list(TEXTS)


def build_gemma4(variant: str, directory: Path) -> Path:
    """Writes a random checkpoint of `variant` into `directory`; equal each time."""
    model = _model(variant)
    draw_weights(model, torch.Generator().manual_seed(VARIANTS.index(variant)), EMBEDDING_STD)
    model.generation_config.eos_token_id = [1, 3]
    model.generation_config.pad_token_id = 0
    model.save_pretrained(directory)
    build_tokenizer(VOCAB).save(str(directory / "tokenizer.json"))
    return directory


def _model(variant: str) -> Any:
    text: Any = TEXTS[variant]
    ids: Any = {"boi_token_id": VOCAB - 3, "eoi_token_id": VOCAB - 2, "image_token_id": VOCAB - 1}
    if variant in ("E2B", "text"):
        return Gemma4ForCausalLM(Gemma4TextConfig(**text)).eval()
    if variant == "12B":
        return Gemma4UnifiedForConditionalGeneration(Gemma4UnifiedConfig(text_config=text, **ids)).eval()
    return Gemma4ForConditionalGeneration(Gemma4Config(text_config=text, vision_config=VISION, **ids)).eval()
