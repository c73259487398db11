"""The numbers of weights against the engine's own models, built without memory from the published shapes."""

from pathlib import Path
from typing import Any

import pytest
import torch

from midfill.engine.causal_gemma import CausalGemma
from midfill.engine.drafter import Drafter
from midfill.engine.gemma4_config import parse_drafter_config, parse_gemma4_config
from midfill.engine.google_models import GOOGLE_MODELS
from midfill.engine.stored_models import KINDS

SLIDING, FULL = "sliding_attention", "full_attention"
COMMON = {
    "vocab_size": 262_144,
    "vocab_size_per_layer_input": 262_144,
    "head_dim": 256,
    "global_head_dim": 512,
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 131_072,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 1,
    "rope_parameters": {
        SLIDING: {"rope_type": "default", "rope_theta": 1e4},
        FULL: {"rope_type": "proportional", "rope_theta": 1e6, "partial_rotary_factor": 0.25},
    },
}
K_IS_V = {"attention_k_eq_v": True, "hidden_size_per_layer_input": 0}
EXPERTS = {"enable_moe_block": True, "num_experts": 128, "top_k_experts": 8, "moe_intermediate_size": 704}
DOUBLE_WIDE = {"num_kv_shared_layers": 20, "use_double_wide_mlp": True}
TARGETS = {  # layers, each how many-th full, hidden, feed-forward, heads, KV heads, those of full layers; others
    "E2B": (35, 5, 1536, 6144, 8, 1, None, DOUBLE_WIDE),
    "E4B": (42, 6, 2560, 10_240, 8, 2, None, {"num_kv_shared_layers": 18}),
    "12B": (48, 6, 3840, 15_360, 16, 8, 1, K_IS_V),
    "26B-A4B": (30, 6, 2816, 2112, 16, 8, 2, {**K_IS_V, **EXPERTS}),
    "31B": (60, 6, 5376, 21_504, 32, 16, 4, K_IS_V),
}
ORDERED, DENSE = {"use_ordered_embeddings": True}, {"use_ordered_embeddings": False}
DRAFTERS = {  # hidden, feed-forward, heads, KV heads, those of full layers; the head
    "E2B": (256, 2048, 4, 1, None, ORDERED),
    "E4B": (256, 2048, 4, 2, None, ORDERED),
    "12B": (1024, 8192, 16, 8, 1, DENSE),
    "26B-A4B": (1024, 8192, 16, 8, 2, DENSE),
    "31B": (1024, 8192, 32, 16, 4, DENSE),
}


def text(layers: int, period: int, hidden: int, ffn: int, heads: int, kv: int, global_kv: int | None) -> dict[str, Any]:
    return {
        **COMMON,
        "num_hidden_layers": layers,
        "layer_types": [FULL if (index + 1) % period == 0 else SLIDING for index in range(layers)],
        "hidden_size": hidden,
        "intermediate_size": ffn,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "num_global_key_value_heads": global_kv,
    }


def num_weights(model: torch.nn.Module) -> int:
    return sum(tensor.numel() for tensor in model.state_dict().values() if tensor.is_floating_point())


def listed(repo: str) -> int:
    return next(model.num_weights for model in GOOGLE_MODELS if model.repo == repo)


@pytest.mark.parametrize("size", TARGETS)
def test_the_numbers_of_weights_are_those_of_the_published_shapes(size: str) -> None:
    *shape, others = TARGETS[size]
    raw = {**text(*shape), **others, "model_type": "gemma4_text"}
    with torch.device("meta"):
        model = CausalGemma(parse_gemma4_config(raw, Path("config.json")))
    assert listed(f"google/gemma-4-{size}-it") == num_weights(model)


@pytest.mark.parametrize("size", DRAFTERS)
def test_the_numbers_of_the_drafters_are_too(size: str) -> None:
    *shape, head = DRAFTERS[size]
    raw = {
        "model_type": "gemma4_assistant",
        "backbone_hidden_size": TARGETS[size][2],
        **head,
        "text_config": {**text(4, 4, *shape), "num_kv_shared_layers": 4},
    }
    with torch.device("meta"):
        drafter = Drafter(parse_drafter_config(raw, Path("config.json")))
    assert listed(f"google/gemma-4-{size}-it-assistant") == num_weights(drafter)


def test_all_are_of_kinds_that_the_engine_runs() -> None:
    assert all(KINDS[model.kind].uses == model.uses for model in GOOGLE_MODELS)


def test_no_model_is_listed_twice() -> None:
    assert len({model.repo for model in GOOGLE_MODELS}) == len(GOOGLE_MODELS)
