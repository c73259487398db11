"""One engine serves all Neovims, and comes back when it dies."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.editors.nvim.conftest import Start
from tests.editors.nvim.neovim import Neovim, engine_status, until
from tests.server.editor import home

pytestmark = pytest.mark.editors


@pytest.fixture
def env() -> Iterator[dict[str, str]]:
    """A user of its own for each test: engines are counted and killed."""
    with home() as env:
        yield env


@pytest.fixture
def nvim(start: Start, script: Path) -> Neovim:
    nvim = start()
    nvim.setup(script)
    return nvim


def test_two_neovims_share_one_engine(start: Start, script: Path, env: dict[str, str]) -> None:
    for name in ("a.py", "b.py"):
        nvim: Neovim = start()
        nvim.setup(script)
        nvim.open(name)
        nvim.keys("ianswer = ")
        nvim.shows("forty_two")
    status = engine_status(env)
    assert status["clients"] - 1 == 2, "the one that asks for the status is a client too"
    assert status["documents"] == 2


def test_ghost_text_comes_back_after_the_engine_was_killed(nvim: Neovim, env: dict[str, str]) -> None:
    nvim.open("a.py")
    nvim.keys("ianswer = ")
    nvim.shows("forty_two")
    killed = engine_status(env)["pid"]
    os.kill(killed, signal.SIGKILL)
    nvim.keys("<Tab><CR>")

    def typed_again() -> str:
        answers = nvim.answers()
        nvim.keys("<C-u>total = ")
        until(lambda: nvim.answers() > answers, "an answer")
        return nvim.ghost()

    assert until(typed_again, "ghost text from a new engine") == "sum(values)"
    assert engine_status(env)["pid"] != killed


def test_the_status_line_tells_the_latency(nvim: Neovim) -> None:
    nvim.open("a.py")
    nvim.api.command("set statusline=%{v:lua.require'midfill'.statusline()}")
    nvim.keys("ianswer = ")
    nvim.shows("forty_two")
    until(lambda: nvim.lua("return require('midfill').statusline()").endswith(" ms"), "a latency")
    assert any("midfill" in line and " ms" in line for line in nvim.screen())


def test_a_restarted_language_server_serves_the_open_buffers(nvim: Neovim) -> None:
    nvim.open("a.py")
    before = nvim.client()
    nvim.api.command("Midfill restart")
    until(lambda: nvim.client() not in (None, before), "another client")
    nvim.keys("ianswer = ")
    nvim.shows("forty_two")
