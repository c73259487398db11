"""Settings are replaced by name, with the types they have, and what is wrong is named."""

from math import inf

import pytest

from midfill.engine.best_first import SearchSettings
from midfill.engine.canvas import DenoiseSettings
from midfill.engine.changed_settings import changed
from midfill.engine.errors import InputError
from midfill.engine.prompt import PromptLimits
from midfill.engine.settings import InfillSettings

SETTINGS = InfillSettings(
    limits=PromptLimits(prefix_tokens=8, suffix_tokens=8, quantum_tokens=4),
    denoise=DenoiseSettings(),
    longest_canvas=32,
    longest_candidate=24,
    num_lengths=4,
    num_finalists=1,
    num_draws=1,
    suffix_head=8,
    scored_suffix=4,
)


def test_no_change_gives_equal_settings() -> None:
    assert changed(SETTINGS, []) == SETTINGS


def test_changes_are_made_in_order_and_leave_the_others_as_they_are() -> None:
    found = changed(SETTINGS, ["num_lengths=8", "denoise.max_steps=2", "denoise.t_min=0.5", "num_lengths=16"])
    assert (found.num_lengths, found.denoise.max_steps, found.denoise.t_min) == (16, 2, 0.5)
    assert changed(found, ["num_lengths=4", "denoise.max_steps=48", "denoise.t_min=0.4"]) == SETTINGS
    assert SETTINGS.num_lengths == 4


def test_settings_within_are_given_whole_and_taken_away() -> None:
    found = changed(SETTINGS, ['search={"width": 8, "longest": 16, "kept": 3}', "search.margin=3"])
    assert found.search == SearchSettings(width=8, longest=16, kept=3, margin=3.0)
    assert changed(found, ["search.margin=inf"]).search == SearchSettings(8, 16, 3, inf)
    assert changed(found, ["search=none"]) == changed(found, ["search=null"]) == SETTINGS


def test_lists_and_deep_names_are_read() -> None:
    found = changed(SETTINGS, ["eos_token_ids=[1, 2]", "write.sample.temperature=0.25", "write.sample.top_k=none"])
    assert found.eos_token_ids == (1, 2)
    assert (found.write.sample.temperature, found.write.sample.top_k) == (0.25, None)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("num_lengths", "--set: wanted NAME=VALUE, such as num_lengths=8, got 'num_lengths'"),
        ("=8", "--set : wanted one of limits, "),
        ("lengths=8", "--set lengths: wanted one of limits, denoise, "),
        ("denoise.steps=8", "--set denoise.steps: wanted one of max_steps, "),
        ("search.width=8", "--set search.width: wanted fields in search, got None, which has none"),
        ("num_lengths.of=8", "--set num_lengths.of: wanted fields in num_lengths, got 4, which has none"),
        ("num_lengths=many", "(Expected `int`, got `str`), got 'many'"),
        ("num_lengths=1.5", "(Expected `int`, got `float`), got '1.5'"),
        ("num_lengths=none", "(Expected `int`, got `null`), got 'none'"),
        ("denoise=8", "(Expected `object`, got `int`), got '8'"),
        ('search={"width": 8}', "missing required field `longest`"),
        ("write.sample.temperature=0", "(Expected `float` > 0.0), got '0'"),
    ],
)
def test_a_wrong_change_is_named_with_what_was_wanted(change: str, complaint: str) -> None:
    with pytest.raises(InputError) as raised:
        changed(SETTINGS, [change])
    assert complaint in str(raised.value)
