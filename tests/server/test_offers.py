"""`midfill.server.offers`: whether what was typed goes on with what was offered."""

import pytest

from midfill.server.document import Place
from midfill.server.ghost import Ghost
from midfill.server.offers import Gap, Offer, goes_along, goes_on
from midfill.server.reuse import Situation

PLACE = Place(0, 4)


def offer(text: str, after: str = "") -> Offer:
    return Offer(1, Gap(PLACE, PLACE), Ghost(text, 0, 0), Situation("x = ", after), text, "engine", is_new=True)


@pytest.mark.parametrize(
    ("before", "after", "agrees"),
    [
        ("x = ", "", True),
        ("x = f(1", "", True),
        ("x = f(", ")", True),  # the editor closed the bracket
        ("x = f()", "", True),  # and the cursor is told to be behind it
        ("x = f)", "", False),
        ("x = g", "", False),
        ("y = f(1", "", False),
    ],
)
def test_typing_agrees_with_an_offer_that_it_is_the_start_of(before: str, after: str, agrees: bool) -> None:
    assert goes_along(offer("f(1)"), Situation(before, after)) is agrees


def test_what_typing_has_left_is_no_new_offer() -> None:
    assert goes_on(offer("f(1)"), Situation("x = f(", ""), "1)")
    assert not goes_on(offer("f(1)"), Situation("x = f(", ""), "2)")
    assert not goes_on(offer("f(1)"), Situation("y = ", ""), "f(1)")
