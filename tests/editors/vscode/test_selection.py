"""Filling a selection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.editors.vscode.window import Window
    from tests.editors.vscode.workbench import Home

from tests.editors.vscode.until import until

pytestmark = pytest.mark.editors

AREA = "def area(width, height):\n    return width + 1  # area\n"


def select_the_sum(window: Window, name: str) -> None:
    window.open(name, AREA.replace("width + 1", "‸width + 1"))
    window.press("Shift+ArrowRight", times=len("width + 1"))


def test_a_selection_is_filled_in_one_edit_that_one_undo_takes_back(window: Window) -> None:
    select_the_sum(window, "area.py")
    window.command("Midfill: Fill Selection (Fast)")
    window.wait_for_line("    return width * height  # area")
    window.screenshot("filled-selection")
    window.wait_for_text(AREA.replace("width + 1", "width * height"))
    window.press("Control+z")
    window.wait_for_text(AREA)


def test_a_selection_is_filled_by_keys(window: Window) -> None:
    select_the_sum(window, "keys.py")
    window.press("Control+k")
    window.press("Control+g")
    window.wait_for_line("    return width * height  # area")


def test_a_selection_is_filled_by_a_code_action(window: Window) -> None:
    select_the_sum(window, "action.py")
    window.press("Control+.")
    window.screenshot("code-action")
    window.click(".action-widget :text('Fill selection (fast)')")
    window.wait_for_line("    return width * height  # area")


def test_best_quality_is_told_to_be_missing(window: Window) -> None:
    select_the_sum(window, "best.py")
    window.command("Midfill: Fill Selection (Best Quality)")
    window.wait_for_message("best quality is not available")
    window.screenshot("no-best-quality")
    window.wait_for_text(AREA)
    window.dismiss_messages()


def test_a_slow_fill_can_be_cancelled(window: Window, home: Home) -> None:
    window.open("slow.py", "slow = ‸1\n")
    window.press("Shift+ArrowRight")
    window.command("Midfill: Fill Selection (Fast)")
    window.wait_for_message("Midfill")
    window.screenshot("slow-fill")
    window.click(".notifications-toasts :text('Cancel')")
    until(lambda: home.engine()["running"] == 0, "the engine to be free")
    window.wait_for_text("slow = 1\n")
