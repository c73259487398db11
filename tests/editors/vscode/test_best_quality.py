"""Best quality by the embedded model, which writes then, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from tests.editors.vscode.window import Window
    from tests.editors.vscode.workbench import Home

from tests.editors.vscode.conftest import EDITORS

pytestmark = pytest.mark.editors

BEFORE, AFTER = 'def median(values):\n    """The middle value."""\n    ordered = sorted', "\n    return ordered[1]\n"
MARK = "TODO"


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    from tests.editors.vscode.workbench import Home

    home = Home(script=None)
    yield home
    home.remove()


@pytest.fixture(scope="module")
def window(home: Home, vsix: Path, browser: Browser) -> Iterator[Window]:
    from tests.editors.vscode.workbench import Workbench

    settings: dict[str, Any] = {"midfill.command": str(home.program), "midfill.arguments": home.arguments}
    workbench = Workbench(home, EDITORS, vsix, browser, settings)
    with workbench.serving():
        (home.path / "work").mkdir()
        window = workbench.window(home.path / "work")
        window.trust()
        window.wait_for_status("ready")
        yield window
        window.close()


def test_a_selection_is_written_in_best_quality(window: Window) -> None:
    window.open("median.py", f"{BEFORE}‸{MARK}{AFTER}")
    window.press("Shift+ArrowRight", times=len(MARK))
    window.command("Midfill: Fill Selection (Best Quality)")
    window.page.wait_for_selector(f".view-line:has-text('{MARK}')", state="detached")

    def is_written(text: str) -> bool:
        middle = text.removeprefix(BEFORE).removesuffix(AFTER)
        return BEFORE + middle + AFTER == text and middle not in ("", MARK)

    window.wait_for_saved(is_written, "the selection to be filled, and nothing else to change")
    window.screenshot("best-quality")
