"""`midfill.server.offers`: what an editor inserts, and whether what was typed goes on with what was offered."""

import pytest
from lsprotocol import types

from midfill.server.document import Document, Place
from midfill.server.ghost import Ghost
from midfill.server.offers import Gap, Offer, edit_of, goes_along, goes_on, look
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


def test_fills_that_replace_differently_may_look_the_same() -> None:
    assert look(Ghost("f(1)", 0, 1), ")") == look(Ghost("x = f(1", 4, 0), ")") == look(Ghost("f(1)\n", 0, 1), ") ")
    assert look(Ghost("f(1)", 0, 0), ")") != look(Ghost("f(1)", 0, 1), ")")


@pytest.mark.parametrize(
    ("gap", "ghost", "columns", "text"),
    [
        (Gap(Place(0, 4), Place(0, 4)), Ghost("f(1)", 0, 1), (5, 6), "f(1)"),
        (Gap(Place(0, 4), Place(0, 4)), Ghost("= f(1)", 2, 0), (3, 5), "= f(1)"),
        (Gap(Place(0, 2), Place(0, 4), "xyz"), Ghost("= f(1)", 2, 0), (3, 5), "xyzf(1)"),  # a menu's entry, whole
    ],
)
def test_an_edit_replaces_the_gap_and_what_its_text_repeats(
    gap: Gap, ghost: Ghost, columns: tuple[int, int], text: str
) -> None:
    document = Document("file:///a.py", "python", 1, "🙂 = )", "utf-16")
    edit = edit_of(document, gap, ghost)
    assert (edit.range.start, edit.range.end) == tuple(types.Position(0, column) for column in columns)
    assert edit.new_text == text
