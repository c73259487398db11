"""Neovims of both versions, each in the home of a user of its own."""

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.editors.nvim.neovim import Neovim
from tests.server.editor import home

RULES: list[dict[str, Any]] = [
    {"after": "def add(a, b):", "text": "\n    total = a + b\n    return total"},
    {"after": "print(", "before": ")", "text": '"hello")'},
    {"after": "answer = ", "text": "forty_two"},
    {"after": "total = ", "text": "sum(values)"},
    {"after": "class Point:\n", "text": "    x = 0\n    y = 0"},
    {"after": "all:", "text": "\n\techo done"},
]
"""What the scripted engine writes, and where."""

Start = Callable[[], Neovim]


@pytest.fixture(params=["0.12", "0.11"])
def version(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def shared_env() -> Iterator[dict[str, str]]:
    """A user whose engine serves most tests, one after the other."""
    with home() as env:
        yield env


@pytest.fixture
def env(shared_env: dict[str, str]) -> dict[str, str]:
    """The environment of a user; a test may change its own."""
    return dict(shared_env)


@pytest.fixture
def workspace(env: dict[str, str]) -> Path:
    """An empty folder, short, so that its name fits on the screen."""
    return Path(tempfile.mkdtemp(prefix="w", dir=env["HOME"]))


@pytest.fixture
def script(env: dict[str, str]) -> Path:
    path = Path(env["HOME"], "rules.json")
    path.write_text(json.dumps(RULES))
    return path


@pytest.fixture
def start(version: str, env: dict[str, str], workspace: Path) -> Iterator[Start]:
    """Starts Neovims, all of one user, in which the plugin is not set up yet."""
    started: list[Neovim] = []

    def start() -> Neovim:
        started.append(Neovim(version, env, workspace))
        return started[-1]

    yield start
    for nvim in started:
        nvim.quit()


@pytest.fixture
def nvim(start: Start, script: Path) -> Neovim:
    """A Neovim with the plugin; nothing is speculated, so that the engine's counts are of what was typed."""
    nvim = start()
    nvim.setup(script, settings={"speculate": False})
    return nvim
