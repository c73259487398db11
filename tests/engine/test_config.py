"""`midfill.engine.config`: both spellings of the official config, and every one that this engine cannot run."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.engine.tiny import SHAPES, respell_config

from midfill.engine.config import FULL, SLIDING, LayerConfig, parse_config, read_config
from midfill.engine.errors import CheckpointError

PATH = Path("some/config.json")
SLIDING_ROPE = {"rope_type": "default", "rope_theta": 10_000.0}
FULL_ROPE = {"rope_type": "proportional", "rope_theta": 1_000_000.0, "partial_rotary_factor": 0.25}
RELEASED = {
    "model_type": "diffusion_gemma",
    "canvas_length": 256,
    "eos_token_id": [1, 106],
    "text_config": {
        "vocab_size": 262_144,
        "hidden_size": 2816,
        "intermediate_size": 2112,
        "moe_intermediate_size": 704,
        "num_experts": 128,
        "top_k_experts": 8,
        "num_hidden_layers": 30,
        "layer_types": [*[SLIDING] * 5, FULL] * 5,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "num_global_key_value_heads": 2,
        "head_dim": 256,
        "global_head_dim": 512,
        "sliding_window": 1024,
        "final_logit_softcapping": 30.0,
        "max_position_embeddings": 262_144,
        "rms_norm_eps": 1e-6,
        "hidden_activation": "gelu_pytorch_tanh",
        "attention_bias": False,
        "use_bidirectional_attention": "vision",
        "rope_parameters": {SLIDING: SLIDING_ROPE, FULL: FULL_ROPE},
        "bos_token_id": 2,
        "eos_token_id": 1,
        "pad_token_id": 0,
    },
}
"""The text part of google/diffusiongemma-26B-A4B-it."""


def with_text(**changes: Any) -> dict[str, Any]:
    """The released config with keys of its text_config changed; None removes one."""
    text = {**RELEASED["text_config"], **changes}
    return {**RELEASED, "text_config": {key: value for key, value in text.items() if value is not None}}


def test_the_released_config_is_read() -> None:
    config = parse_config(RELEASED, PATH)
    sliding = LayerConfig(SLIDING, num_heads=16, num_kv_heads=8, head_dim=256, rope_theta=1e4, rotary_dims=256)
    full = LayerConfig(FULL, num_heads=16, num_kv_heads=2, head_dim=512, rope_theta=1e6, rotary_dims=128)
    assert config.layers == (*[sliding] * 5, full) * 5
    assert config.eos_token_ids == (1, 106)
    assert (config.vocab_size, config.canvas_length, config.sliding_window) == (262_144, 256, 1024)


def test_kv_values_per_token_counts_keys_and_values_of_every_layer() -> None:
    assert parse_config(RELEASED, PATH).kv_values_per_token == 25 * 2 * 8 * 256 + 5 * 2 * 2 * 512


@pytest.mark.parametrize("shape", SHAPES)
def test_both_spellings_say_the_same(shape: str, tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    newer = tiny_checkpoint(shape) / "config.json"
    older = Path(shutil.copy(newer, tmp_path))
    respell_config(tmp_path)
    assert "per_layer_config" in newer.read_text(encoding="utf-8")
    assert "per_layer_config" not in older.read_text(encoding="utf-8")
    assert read_config(older) == read_config(newer)


def test_one_end_token_is_a_tuple_of_one() -> None:
    assert parse_config({**RELEASED, "eos_token_id": 7}, PATH).eos_token_ids == (7,)
    assert parse_config({**RELEASED, "eos_token_id": None}, PATH).eos_token_ids == (1,)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({**RELEASED, "model_type": "gemma4"}, "wanted model_type 'diffusion_gemma', got 'gemma4'"),
        ({}, "wanted model_type 'diffusion_gemma', got None"),
        ({"model_type": "diffusion_gemma"}, "wanted a text_config object, got None"),
        (
            {**RELEASED, "quantization_config": {"quant_method": "compressed-tensors"}},
            "wanted an unquantised checkpoint (float32, bfloat16 or float16), got quantisation 'compressed-tensors'",
        ),
        (with_text(hidden_activation="silu"), "wanted hidden_activation 'gelu_pytorch_tanh', got 'silu'"),
        (with_text(attention_bias=True), "wanted attention_bias False, got True"),
        (
            with_text(use_bidirectional_attention="all"),
            "wanted use_bidirectional_attention 'vision' or None, got 'all'",
        ),
        (with_text(tie_word_embeddings=False), "wanted tie_word_embeddings True, got False"),
        (with_text(head_dim=None), "wanted text_config to have 'head_dim', got no such key"),
        (with_text(hidden_size=None), "got Object missing required field `hidden_size`"),
        (with_text(vocab_size="many"), "got Expected `int`, got `str` - at `$.vocab_size`"),
        (with_text(sliding_window=0), "got Expected `int` >= 1 - at `$.sliding_window`"),
        (with_text(global_head_dim=7), "got Expected `int` that's a multiple of 2 - at `$.layers[5].head_dim`"),
        (with_text(num_hidden_layers=31), "got num_hidden_layers is 31, but 30 layer_types"),
        (with_text(rope_parameters={SLIDING: SLIDING_ROPE}), "wanted text_config to have 'full_attention'"),
        (
            with_text(rope_parameters={SLIDING: {**SLIDING_ROPE, "rope_type": "yarn"}, FULL: FULL_ROPE}),
            "got rope_parameters of sliding_attention ask for yarn, factor 1.0",
        ),
        (with_text(rope_parameters="default"), "wanted a valid text_config"),
        (with_text(num_key_value_heads=5), "got 16 attention heads over 5 KV heads"),
        (with_text(top_k_experts=129), "got top_k_experts is 129, but 128 num_experts"),
        (
            with_text(rope_parameters={SLIDING: SLIDING_ROPE, FULL: {**FULL_ROPE, "partial_rotary_factor": 2}}),
            "got 1024 of 512 dimensions rotate",
        ),
        (with_text(pad_token_id=-1), "got pad_token_id or eos_token_id is -1, but vocab_size 262144"),
        ({**RELEASED, "eos_token_id": [1, 262_144]}, "got pad_token_id or eos_token_id is 262144, but vocab_size"),
        ({**RELEASED, "eos_token_id": []}, "got eos_token_id names no token"),
        ({**RELEASED, "canvas_length": 3}, "got Expected `int` >= 4 - at `$.canvas_length`"),
        (with_text(per_layer_config={"3": {"head_dim": 64}}), "got layers of the same kind differ in shape"),
        (
            with_text(per_layer_config={"5": {"intermediate_size": 64}}),
            "got per_layer_config of layer 5 sets intermediate_size",
        ),
    ],
)
def test_a_config_that_cannot_be_run_is_refused(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        parse_config(raw, PATH)
    assert str(caught.value).startswith(f"{PATH}: wanted ")
    assert message in str(caught.value)


def test_an_unknown_layer_type_is_refused() -> None:
    kinds = ["linear_attention", *RELEASED["text_config"]["layer_types"][1:]]
    ropes = {**RELEASED["text_config"]["rope_parameters"], "linear_attention": SLIDING_ROPE}
    with pytest.raises(CheckpointError, match="Invalid enum value 'linear_attention'"):
        parse_config(with_text(layer_types=kinds, rope_parameters=ropes), PATH)


def test_a_missing_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_config(tmp_path / "config.json")
    assert str(caught.value) == f"{tmp_path / 'config.json'}: wanted a config.json, got no such file"
