"""Fills longer than a canvas: what each canvas holds."""

import msgspec
import pytest
from tests.engine.test_infill import SETTINGS

from midfill.engine.continuation import middle_hole
from midfill.engine.settings import InfillSettings
from midfill.engine.warm_up import canvas_shapes

LARGE = msgspec.structs.replace(SETTINGS, longest_canvas=256, suffix_head=16)


def holes_of(max_tokens: int, settings: InfillSettings) -> list[int]:
    """Of the canvases of a fill that the model does not end: those in the middle, and the last."""
    holes, left = [], max_tokens
    while left > settings.longest_hole:
        holes.append(middle_hole(left, settings))
        left -= holes[-1]
    return [*holes, left]


@pytest.mark.parametrize("settings", [SETTINGS, LARGE])
def test_canvases_in_the_middle_are_of_sizes_that_are_made_at_load(settings: InfillSettings) -> None:
    made = {size for number, size in canvas_shapes(settings) if number == 1}
    for max_tokens in range(settings.longest_hole + 1, 4 * settings.longest_canvas):
        *middle, last = holes_of(max_tokens, settings)
        assert middle
        assert set(middle) <= made
        assert 1 <= last <= settings.longest_hole
        assert sum(middle) + last == max_tokens


def test_the_last_canvas_holds_nearly_all_that_it_can() -> None:
    assert holes_of(241, LARGE) == [24, 217]
    assert holes_of(500, LARGE) == [256, 24, 220]


def test_tiny_canvases_hold_what_is_left() -> None:
    tiny = msgspec.structs.replace(SETTINGS, longest_canvas=16, suffix_head=4)
    for max_tokens in range(13, 60):
        assert min(holes_of(max_tokens, tiny)) >= 1
