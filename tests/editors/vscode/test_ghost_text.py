"""Suggestions while typing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.editors.vscode.window import Window
    from tests.editors.vscode.workbench import Home

pytestmark = pytest.mark.editors


def test_tab_takes_the_suggestion(window: Window) -> None:
    window.open("add.py", "x = 1\n‸")
    window.type("def add(a, b):")
    window.wait_for_ghost("\n    return a + b")
    window.screenshot("ghost-text")
    window.press("Tab")
    window.wait_for_ghost("")
    window.wait_for_text("x = 1\ndef add(a, b):\n    return a + b")
    window.screenshot("accepted")


def test_escape_dismisses_it_and_leaves_what_was_typed(window: Window) -> None:
    window.open("dismissed.py", "‸\n")
    window.type("mean = ")
    window.wait_for_ghost("total / count")
    window.press("Escape")
    window.wait_for_ghost("")
    window.wait_for_text("mean = \n")


def test_typing_along_keeps_the_rest_without_asking_the_engine(window: Window, home: Home) -> None:
    window.open("along.py", "‸\n")
    window.type("mean = ")
    window.wait_for_ghost("total / count")
    answered = home.engine()["answered"]
    for typed in ("t", "o", "ta", "l /", " c"):
        window.type(typed)
    window.wait_for_ghost("ount")
    window.screenshot("typed-along")
    assert home.engine()["answered"] == answered
    window.press("Tab")
    window.wait_for_text("mean = total / count\n")


def test_a_word_is_taken_without_asking_the_engine(window: Window, home: Home) -> None:
    window.open("word.py", "‸\n")
    window.type("mean = ")
    window.wait_for_ghost("total / count")
    answered = home.engine()["answered"]
    window.press("Control+ArrowRight")
    window.wait_for_ghost(" / count")
    assert home.engine()["answered"] == answered
    window.press("Tab")
    window.wait_for_text("mean = total / count\n")


def test_a_bracket_that_the_editor_closed_is_not_doubled(window: Window, home: Home) -> None:
    window.open("closed.py", "‸\n")
    window.type("print(")
    window.wait_for_ghost('"hello, world"')
    window.screenshot("auto-closed")
    answered = home.engine()["answered"]
    window.type('"hel')  # the editor closes the quote too
    window.wait_for_ghost("lo, world")
    assert home.engine()["answered"] == answered
    window.press("Tab")
    window.wait_for_text('print("hello, world")\n')


def test_a_suggestion_in_the_middle_of_a_line_fits_what_follows(window: Window) -> None:
    window.open("middle.py", "def limit(value, low, high):\n    return clamp(value, ‸) + 1\n")
    window.type("low")
    window.wait_for_ghost(", high")
    window.screenshot("middle-of-a-line")
    window.press("Tab")
    window.wait_for_text("def limit(value, low, high):\n    return clamp(value, low, high) + 1\n")


def test_a_suggestion_of_several_lines_is_shown_whole(window: Window) -> None:
    window.open("median.py", "‸\n\nprint(median([1, 2, 3]))\n")
    window.type("def median(values):")
    body = "\n    ordered = sorted(values)\n    middle = len(ordered) // 2\n    return ordered[middle]"
    window.wait_for_ghost(body)
    window.screenshot("several-lines")
    window.press("Tab")
    window.wait_for_text(f"def median(values):{body}\n\nprint(median([1, 2, 3]))\n")


def test_a_suggestion_can_be_asked_for_where_none_comes_by_itself(window: Window) -> None:
    window.open("asked.py", "mean = x‸\n")
    window.press("Backspace")
    window.press("Alt+Backslash")
    window.wait_for_ghost("total / count")


def test_another_suggestion_is_chosen_and_taken(window: Window) -> None:
    window.open("chosen.py", "‸\n")
    window.type("colour = ")
    window.wait_for_ghost("red")
    window.press("Alt+BracketRight")
    window.wait_for_ghost("green")
    window.press("Alt+BracketLeft")
    window.wait_for_ghost("red")
    window.press("Alt+BracketLeft")
    window.wait_for_ghost("blue")
    window.screenshot("chosen")
    window.press("Tab")
    window.wait_for_text("colour = blue\n")


def test_crlf_stays_crlf(window: Window) -> None:
    window.open("crlf.py", "x = 1\r\n‸\r\n")
    window.type("def add(a, b):")
    window.wait_for_ghost("\n    return a + b")
    window.press("Tab")
    window.wait_for_text("x = 1\r\ndef add(a, b):\r\n    return a + b\r\n")


def test_characters_outside_the_basic_plane_before_the_cursor_shift_nothing(window: Window) -> None:
    window.open("astral.py", "# 𝒙 🦊🦊\n‸  # 🦊\n")
    window.type('fox = "🦊"; mean = ')
    window.wait_for_ghost("total / count")
    window.press("Tab")
    window.wait_for_text('# 𝒙 🦊🦊\nfox = "🦊"; mean = total / count  # 🦊\n')
