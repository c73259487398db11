"""`midfill.engine.gemma4_config`: the released sizes, what is left out, and what this engine cannot run."""

from pathlib import Path
from typing import Any

import pytest

from midfill.engine.config import FULL, SLIDING
from midfill.engine.errors import CheckpointError
from midfill.engine.gemma4_config import parse_drafter_config, parse_gemma4_config

PATH = Path("some/config.json")
ROPE = {
    SLIDING: {"rope_type": "default", "rope_theta": 10_000.0},
    FULL: {"rope_type": "proportional", "rope_theta": 1_000_000.0, "partial_rotary_factor": 0.25},
}
TEXT = {
    "model_type": "gemma4_text",
    "vocab_size": 262_144,
    "hidden_size": 1536,
    "intermediate_size": 6144,
    "num_hidden_layers": 35,
    "layer_types": [*[SLIDING] * 4, FULL] * 7,
    "num_attention_heads": 8,
    "num_key_value_heads": 1,
    "num_global_key_value_heads": None,
    "head_dim": 256,
    "global_head_dim": 512,
    "sliding_window": 512,
    "final_logit_softcapping": 30.0,
    "max_position_embeddings": 131_072,
    "rope_parameters": ROPE,
    "num_kv_shared_layers": 20,
    "use_double_wide_mlp": True,
    "hidden_size_per_layer_input": 256,
    "vocab_size_per_layer_input": 262_144,
    "attention_k_eq_v": False,
    "enable_moe_block": False,
    "num_experts": None,
}
"""The text part of E2B."""
E2B = {"model_type": "gemma4", "text_config": TEXT, "eos_token_id": [1, 106]}
DRAFTER = {
    "model_type": "gemma4_assistant",
    "backbone_hidden_size": 2816,
    "text_config": {
        **TEXT,
        "hidden_size": 1024,
        "num_hidden_layers": 4,
        "layer_types": [*[SLIDING] * 3, FULL],
        "num_kv_shared_layers": 4,
        "use_double_wide_mlp": False,
        "hidden_size_per_layer_input": 0,
        "final_logit_softcapping": None,
    },
}


def with_text(**changes: Any) -> dict[str, Any]:
    return {**E2B, "text_config": {**TEXT, **changes}}


def test_layers_that_share_use_the_last_of_their_kind_before_them():
    config = parse_gemma4_config(E2B, PATH)
    assert config.num_kv_layers == 15
    assert [config.kv_layer(index) for index in range(12, 21)] == [12, 13, 14, 13, 13, 13, 13, 14, 13]
    assert config.kv_values_per_token == 2 * (12 * 256 + 3 * 512)


def test_a_dense_model_has_no_experts():
    config = parse_gemma4_config(E2B, PATH)
    assert (config.num_experts, config.top_k_experts, config.moe_intermediate_size) == (0, 0, 0)


def test_full_layers_have_kv_heads_of_their_own_number_only_where_v_comes_from_k():
    split = parse_gemma4_config(with_text(num_key_value_heads=4, num_global_key_value_heads=2), PATH)
    joint = parse_gemma4_config(
        with_text(num_key_value_heads=4, num_global_key_value_heads=2, attention_k_eq_v=True), PATH
    )
    assert [split.layers[index].num_kv_heads for index in (0, 4)] == [4, 4]
    assert [joint.layers[index].num_kv_heads for index in (0, 4)] == [4, 2]


def test_a_text_only_config_has_no_text_part():
    assert parse_gemma4_config({**TEXT, "eos_token_id": [1, 106]}, PATH) == parse_gemma4_config(E2B, PATH)


def test_the_unified_model_is_dense_and_has_no_embeddings_by_layer():
    text = {**TEXT, "model_type": "gemma4_unified_text", "num_kv_shared_layers": 0, "enable_moe_block": True}
    del text["sliding_window"]
    config = parse_gemma4_config({"model_type": "gemma4_unified", "text_config": text}, PATH)
    assert (config.hidden_size_per_layer_input, config.num_experts, config.sliding_window) == (0, 0, 1024)


def test_a_drafter_has_no_layer_with_kv():
    config = parse_drafter_config(DRAFTER, PATH)
    assert config.num_kv_layers == 0
    assert config.kv_values_per_token == 0
    assert config.backbone_hidden_size == 2816
    assert config.final_logit_softcapping is None
    assert not config.use_ordered_embeddings


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({**E2B, "model_type": "gemma3"}, "wanted model_type 'gemma4' or 'gemma4_text' or 'gemma4_unified'"),
        (DRAFTER, "got 'gemma4_assistant'"),
        ({"model_type": "gemma4"}, "wanted a text_config object, got None"),
        (with_text(num_kv_shared_layers=36), "got num_kv_shared_layers is 36, but 35 layers"),
        (with_text(num_kv_shared_layers=31), "wanted a layer of its own K and V for full_attention"),
        (with_text(vocab_size_per_layer_input=1000), "wanted vocab_size_per_layer_input 262144, got 1000"),
        (with_text(enable_moe_block=True), "wanted num_experts, as enable_moe_block is true, got None"),
        (with_text(use_bidirectional_attention="all"), "wanted use_bidirectional_attention 'vision' or None"),
        ({**E2B, "quantization_config": {"quant_method": "fp8"}}, "got quantisation 'fp8'"),
    ],
)
def test_a_config_that_cannot_be_run_is_refused(raw: dict[str, Any], message: str):
    with pytest.raises(CheckpointError) as caught:
        parse_gemma4_config(raw, PATH)
    assert str(caught.value).startswith(f"{PATH}: wanted ")
    assert message in str(caught.value)


def test_centroids_share_the_vocabulary_evenly():
    with pytest.raises(CheckpointError, match="wanted num_centroids that divides 262144, got 3"):
        parse_drafter_config({**DRAFTER, "use_ordered_embeddings": True, "num_centroids": 3}, PATH)


def test_a_target_is_no_drafter():
    with pytest.raises(CheckpointError, match="wanted model_type 'gemma4_assistant' or 'gemma4_unified_assistant'"):
        parse_drafter_config(E2B, PATH)
