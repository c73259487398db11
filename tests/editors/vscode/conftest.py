"""A real VS Code with the extension, a scripted engine, and a home of its own: one for all tests here."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from tests.editors.vscode.window import Window
    from tests.editors.vscode.workbench import Home, Workbench

ROOT = Path(__file__).parents[3]
EDITORS = Path(os.environ.get("MIDFILL_EDITORS", ROOT / ".editors"))
EXTENSION = ROOT / "editors/vscode"
VSIX = ROOT / "build/midfill.vsix"
RULES = Path(__file__).with_name("rules.json")


def _missing() -> str | None:
    """What is not installed, with the command that installs it."""
    if find_spec("playwright") is None:
        return "no playwright: pip install 'midfill[editors]'"
    if not (EDITORS / "code-server/.complete").exists() or shutil.which("chromium") is None:
        return f"no VS Code: tests/editors/vscode/install.sh {EDITORS}"
    if not (EXTENSION / "node_modules").exists():
        return "no packages of the extension: npm --prefix editors/vscode ci"
    return None


@pytest.fixture(scope="package")
def vsix() -> Path:
    """The extension as its sources are now."""
    if (missing := _missing()) is not None:
        pytest.skip(missing)
    subprocess.run(["npm", "--prefix", str(EXTENSION), "run", "package"], check=True, capture_output=True)
    return VSIX


@pytest.fixture(scope="package")
def home(vsix: Path) -> Iterator[Home]:
    from tests.editors.vscode.workbench import Home

    home = Home(RULES)
    yield home
    home.remove()


@pytest.fixture(scope="package")
def browser(vsix: Path) -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright
    from tests.editors.vscode.workbench import CHROMIUM, CHROMIUM_FLAGS

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def workbench(home: Home, vsix: Path, browser: Browser) -> Iterator[Workbench]:
    from tests.editors.vscode.workbench import Workbench

    settings: dict[str, Any] = {"midfill.command": str(home.program), "midfill.arguments": home.arguments}
    settings["midfill.speculate"] = False  # it would count among the engine's answers
    workbench = Workbench(home, EDITORS, vsix, browser, settings)
    with workbench.serving():
        yield workbench


@pytest.fixture(scope="package")
def first_window(workbench: Workbench) -> Window:
    folder = workbench.home.path / "work"
    folder.mkdir()
    window = workbench.window(folder)
    window.trust()
    window.wait_for_status("ready")
    return window


@pytest.fixture
def windows(workbench: Workbench, first_window: Window, request: pytest.FixtureRequest) -> Iterator[list[Window]]:
    """The windows of a test. Where it fails, pictures of them and the language servers' log are kept."""
    windows: list[Window] = []
    failed = request.session.testsfailed
    yield windows
    if request.session.testsfailed > failed:
        for number, window in enumerate(windows, start=1):
            picture = window.screenshot(f"failed-{request.node.name}-{number}")
            picture.with_suffix(".log").write_text(workbench.home.log.read_text())
    for window in windows:
        if window is not first_window:
            window.close()


@pytest.fixture
def window(first_window: Window, windows: list[Window]) -> Window:
    """A window whose language server is ready, the same one for all tests."""
    windows.append(first_window)
    return first_window


@pytest.fixture
def open_window(workbench: Workbench, windows: list[Window]) -> Callable[[Path], Window]:
    """Opens more windows onto folders. They are closed after the test."""

    def open_window(folder: Path) -> Window:
        windows.append(workbench.window(folder))
        return windows[-1]

    return open_window
