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
    {"after": "colour = ", "text": "red", "others": ["rose", "blue"]},
    {"after": "all:", "text": "\n\techo done"},
]
"""What the scripted engine writes, and where."""

Start = Callable[[], Neovim]


@pytest.fixture(params=["0.12", "0.11"], scope="session")
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


@pytest.fixture(scope="session")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("script") / "rules.json"
    path.write_text(json.dumps(RULES))
    return path


@pytest.fixture
def start(version: str, env: dict[str, str], workspace: Path) -> Iterator[Start]:
    """Starts Neovims of one user that are new, the plugin not set up yet."""
    started: list[Neovim] = []

    def start() -> Neovim:
        started.append(Neovim(version, env, workspace))
        return started[-1]

    yield start
    for nvim in started:
        nvim.quit()


@pytest.fixture(scope="session")
def shared_nvim(version: str, shared_env: dict[str, str], script: Path) -> Iterator[Neovim]:
    """A Neovim with the plugin; nothing is speculated, so that the engine's counts are of what was typed."""
    nvim = Neovim(version, shared_env, Path(shared_env["HOME"]))
    nvim.setup(script, settings={"speculate": False})
    yield nvim
    nvim.quit()


@pytest.fixture
def nvim(shared_nvim: Neovim, workspace: Path) -> Neovim:
    """The shared Neovim, with nothing open."""
    shared_nvim.reset(workspace)
    return shared_nvim
