"""Tiny random autoregressive Gemma 4 checkpoints, made by transformers: a variant for each of the released sizes."""

from pathlib import Path
from typing import Any

import torch
from tests.engine.tiny import VISION, build_tokenizer, draw_weights
from transformers import (
    Gemma4AssistantConfig,
    Gemma4AssistantForCausalLM,
    Gemma4Config,
    Gemma4ForCausalLM,
    Gemma4ForConditionalGeneration,
    Gemma4TextConfig,
    Gemma4UnifiedAssistantConfig,
    Gemma4UnifiedAssistantForCausalLM,
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


DRAFTED = {"E2B": True, "12B": False, "26B-A4B": False, "31B": True}
"""Variants that have a drafter, and whether it has a centroid head."""


def build_drafter(variant: str, directory: Path) -> Path:
    """Writes a random drafter for `variant` into `directory`; equal each time."""
    sizes = ("num_key_value_heads", "sliding_window", "attention_k_eq_v", "num_global_key_value_heads")
    text: Any = {
        **SMALL,
        **DENSE,
        **{key: TEXTS[variant][key] for key in sizes if key in TEXTS[variant]},
        "vocab_size_per_layer_input": 0,
        "hidden_size": 32,
        "num_attention_heads": 6,
        "num_hidden_layers": 4,
        "layer_types": [SLIDING, SLIDING, SLIDING, FULL],
        "num_kv_shared_layers": 4,
        "final_logit_softcapping": None,
    }
    own: Any = {
        "backbone_hidden_size": SMALL["hidden_size"],
        "use_ordered_embeddings": DRAFTED[variant],
        "num_centroids": 20,
        "centroid_intermediate_top_k": 4,
    }
    if variant == "12B":
        text = {key: value for key, value in text.items() if "per_layer" not in key}
        model: Any = Gemma4UnifiedAssistantForCausalLM(Gemma4UnifiedAssistantConfig(text_config=text, **own))
    else:
        model = Gemma4AssistantForCausalLM(
            Gemma4AssistantConfig(text_config={"model_type": "gemma4_text", **text}, **own)
        )
    generator = torch.Generator().manual_seed(7 + VARIANTS.index(variant))
    draw_weights(model, generator, 0.2)
    for name, parameter in model.named_parameters():
        if "q_norm" in name:
            parameter.data *= 0.4  # attention to one key alone amplifies rounding from draft to draft
    if model.masked_embedding is not None:
        model.masked_embedding.token_ordering.copy_(torch.randperm(VOCAB, generator=generator))
    model.eval().save_pretrained(directory)
    return directory
