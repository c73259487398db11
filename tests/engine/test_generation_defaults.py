"""`midfill.engine.generation_defaults`: what a checkpoint says about denoising, and what it leaves unsaid."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from midfill.engine.canvas import DenoiseSettings
from midfill.engine.config import read_config
from midfill.engine.errors import CheckpointError
from midfill.engine.generation_defaults import GenerationDefaults, read_generation_defaults

RELEASED = {
    "max_new_tokens": 256,
    "max_denoising_steps": 48,
    "sampler_config": {"_cls_name": "EntropyBoundSamplerConfig", "entropy_bound": 0.1},
    "t_min": 0.4,
    "t_max": 0.8,
    "stability_threshold": 1,
    "confidence_threshold": 0.005,
    "eos_token_id": [1, 106, 50],
    "pad_token_id": 0,
}


@pytest.fixture
def read(tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> Callable[[Any], GenerationDefaults]:
    """Reads a `generation_config.json` of this content."""
    config = read_config(tiny_checkpoint("released") / "config.json")

    def read_content(content: Any) -> GenerationDefaults:
        path = tmp_path / "generation_config.json"
        path.write_text(json.dumps(content), encoding="utf-8")
        return read_generation_defaults(path, config)

    return read_content


def test_the_released_settings_are_the_defaults(read: Callable[[Any], GenerationDefaults]) -> None:
    assert read(RELEASED) == GenerationDefaults(eos_token_ids=(1, 106, 50))
    assert read(RELEASED).denoise_settings(mark_pins_from_step=1) == DenoiseSettings()


def test_every_setting_reaches_the_denoise_loop(read: Callable[[Any], GenerationDefaults]) -> None:
    content = {
        "max_denoising_steps": 9,
        "sampler_config": {"entropy_bound": 0.5},
        "t_min": 0.1,
        "t_max": 1,
        "stability_threshold": 2,
        "confidence_threshold": 0.25,
    }
    assert read(content).denoise_settings(mark_pins_from_step=0, settle_entropy=0.2) == DenoiseSettings(
        max_steps=9,
        t_min=0.1,
        t_max=1.0,
        entropy_bound=0.5,
        stability_threshold=2,
        confidence_threshold=0.25,
        settle_entropy=0.2,
        mark_pins_from_step=0,
    )


@pytest.mark.parametrize("content", [{}, {"t_min": None, "sampler_config": None, "eos_token_id": None}])
def test_what_is_left_unsaid_is_the_default(
    content: dict[str, None], read: Callable[[Any], GenerationDefaults]
) -> None:
    assert read(content) == GenerationDefaults(eos_token_ids=(1,))


def test_one_end_token_is_a_tuple_of_one(read: Callable[[Any], GenerationDefaults]) -> None:
    assert read({"eos_token_id": 7}).eos_token_ids == (7,)


def test_a_missing_file_leaves_all_unsaid(tiny_checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    config = read_config(tiny_checkpoint("released") / "config.json")
    defaults = read_generation_defaults(tmp_path / "generation_config.json", config)
    assert defaults == GenerationDefaults(eos_token_ids=config.eos_token_ids)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "wanted a valid generation_config.json, got Expected `object`, got `array`"),
        ({"max_denoising_steps": 0}, "got Expected `int` >= 1 - at `$.max_denoising_steps`"),
        ({"max_denoising_steps": "48"}, "got Expected `int`, got `str` - at `$.max_denoising_steps`"),
        ({"sampler_config": "entropy"}, "wanted valid sampler settings, got sampler_config 'entropy'"),
        ({"sampler_config": {"_cls_name": "Greedy"}}, "got sampler_config {'_cls_name': 'Greedy'}"),
        ({"sampler_config": {"entropy_bound": 0}}, "got Expected `float` > 0.0 - at `$.entropy_bound`"),
        ({"t_min": 0.9}, "wanted valid sampler settings, got t_max 0.8 below t_min 0.9"),
        ({"eos_token_id": ["<eos>"]}, "got Expected `int`, got `str` - at `$.eos_token_ids[0]`"),
        ({"stability_threshold": -1}, "got Expected `int` >= 0 - at `$.stability_threshold`"),
    ],
)
def test_a_value_out_of_range_is_refused(content: Any, message: str, read: Callable[[Any], GenerationDefaults]) -> None:
    with pytest.raises(CheckpointError, match=r"generation_config\.json: wanted ") as caught:
        read(content)
    assert message in str(caught.value)
