"""`midfill.engine.settings`: the sizes fit together for any canvas that a checkpoint was trained with."""

from pathlib import Path

import pytest
from tests.engine.vocabularies import gemma_like

from midfill.engine.generation_defaults import GenerationDefaults
from midfill.engine.installed import embedded_model
from midfill.engine.settings import InfillSettings, settings_for
from midfill.engine.tokenizer import Tokenizer

DEFAULTS = GenerationDefaults(eos_token_ids=(1,))


@pytest.fixture(scope="module", params=["nano", "gemma-like"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    if request.param == "nano":
        return Tokenizer(embedded_model() / "tokenizer.json")
    path = tmp_path_factory.mktemp("gemma") / "tokenizer.json"
    gemma_like().save(str(path))
    return Tokenizer(path)


@pytest.fixture(params=[4, 8, 12, 16, 24, 64, 100, 256, 300])
def settings(request: pytest.FixtureRequest, tokenizer: Tokenizer) -> InfillSettings:
    return settings_for(tokenizer, DEFAULTS, request.param)


def test_each_hole_has_a_canvas_that_holds_it_and_the_suffix_head(settings: InfillSettings) -> None:
    assert 1 <= settings.longest_hole < settings.longest_canvas
    for hole in range(1, settings.longest_hole + 1):
        assert hole + settings.suffix_head <= settings.canvas_size(hole) <= settings.longest_canvas


def test_a_canvas_is_never_longer_than_the_checkpoints(settings: InfillSettings) -> None:
    for hole in range(1, settings.longest_canvas + 1):
        assert hole <= settings.canvas_size(hole) <= settings.longest_canvas


def test_the_suffix_head_is_part_of_the_suffix_window(settings: InfillSettings) -> None:
    assert settings.suffix_head <= settings.limits.suffix_tokens


def test_the_embedded_models_pins_are_marked_from_the_first_step_as_in_training(tmp_path: Path) -> None:
    gemma_like().save(str(tmp_path / "tokenizer.json"))
    nano = Tokenizer(embedded_model() / "tokenizer.json")
    assert settings_for(nano, DEFAULTS, 64).denoise.mark_pins_from_step == 0
    assert settings_for(Tokenizer(tmp_path / "tokenizer.json"), DEFAULTS, 64).denoise.mark_pins_from_step == 1
