"""A file with a schema: by the embedded model, whose answers are its own, but valid."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from tests.editors.vscode.window import Window
    from tests.editors.vscode.workbench import Home

from tests.editors.vscode.conftest import EDITORS, ROOT

pytestmark = pytest.mark.editors

SCHEMAS = ROOT / "fixtures/schemas"
RULES = [{"fileMatch": ["*.package.json"], "url": "./schemas/package.json"}]
SETTINGS = {"midfill.schemas": RULES, "json.schemas": RULES}  # VS Code's own validator, too


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    from tests.editors.vscode.workbench import Home

    home = Home(script=None)
    yield home
    home.remove()


@pytest.fixture(scope="module")
def window(home: Home, vsix: Path, browser: Browser) -> Iterator[Window]:
    """A workspace that ships schemas, and its settings, which name one."""
    from tests.editors.vscode.workbench import Workbench

    folder = home.path / "work"
    shutil.copytree(SCHEMAS, folder / "schemas")
    (folder / ".vscode").mkdir()
    (folder / ".vscode/settings.json").write_text(json.dumps(SETTINGS))
    settings: dict[str, Any] = {"midfill.command": str(home.program), "midfill.arguments": home.arguments}
    workbench = Workbench(home, EDITORS, vsix, browser, settings)
    with workbench.serving():
        window = workbench.window(folder)
        window.trust()
        window.wait_for_status("ready")
        yield window
        window.close()


def validates(text: str) -> bool:
    """By a validator that is not the one in the engine."""
    from jsonschema import Draft7Validator
    from referencing import Registry, Resource

    schema, parts = (json.loads((SCHEMAS / name).read_text()) for name in ("package.json", "parts.json"))
    registry: Any = Registry().with_resource("parts.json", Resource.from_contents(parts))
    try:
        return Draft7Validator(schema, registry=registry).is_valid(json.loads(text))
    except json.JSONDecodeError:
        return False


def take(window: Window, picture: str) -> str:
    """Takes the suggestion; the text that comes of it."""
    window.wait_for_some_ghost()
    window.screenshot(picture)
    window.press("Tab")
    window.wait_for_ghost("")
    return window.wait_for_saved(validates, "a text that validates")


def test_what_is_missing_is_suggested_and_the_text_validates(window: Window) -> None:
    window.open("harbour.package.json", '{\n  "name": "harbour",\n  "version": "1.2.0",\n  ‸\n}\n')
    window.type('"li')  # the editor closes the quote
    text = json.loads(take(window, "schema-key"))
    assert text["license"] in {"Apache-2.0", "BSD-3-Clause", "MIT", "UNLICENSED"}
    assert {"build", "test"} <= text["scripts"].keys()
    window.screenshot("schema-accepted")


def test_a_value_is_one_that_the_schema_allows(window: Window) -> None:
    before = '{\n  "name": "harbour",\n  "version": "1.2.0",\n  "scripts": {"build": "make", "test": "make test"},\n'
    window.open("harbour.package.json", before + '  "license"‸\n}\n')
    window.type(": ")
    text = json.loads(take(window, "schema-value"))
    assert text["license"] in {"Apache-2.0", "BSD-3-Clause", "MIT", "UNLICENSED"}


def test_another_file_of_the_workspace_is_referred_to(window: Window) -> None:
    before = '{\n  "name": "harbour",\n  "version": "1.2.0",\n  "license": "MIT",\n'
    after = ',\n  "scripts": {"build": "make", "test": "make test"}\n}\n'
    window.open("harbour.package.json", f'{before}  "engines"‸{after}')
    window.type(": ")
    text = json.loads(take(window, "schema-object"))
    assert text["engines"].keys() == {"node"}
