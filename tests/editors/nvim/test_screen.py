"""Neovim 0.12 in a terminal, as a person sees it. The screens are kept in build/screenshots/nvim/."""

import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.editors.nvim.neovim import PLUGIN, ROOT, executable, until
from tests.server.editor import MIDFILL

pytestmark = pytest.mark.editors
SCREENSHOTS = ROOT / "build" / "screenshots" / "nvim"
TEXT = '''"""Numbers."""


def median(values):
    ordered = sorted(values)
    return ordered[len(ordered) // 2]
'''
INIT = """
vim.opt.runtimepath:prepend({plugin!r})
vim.opt.termguicolors, vim.opt.swapfile, vim.opt.number = true, false, true
require("midfill").setup({{ cmd = {{ {midfill!r}, "lsp", "--script", {script!r} }} }})
vim.opt.statusline = " %f%m%=%{{v:lua.require'midfill'.statusline()}} "
"""


class Terminal:
    """A program in a tmux of its own."""

    def __init__(self, env: dict[str, str], folder: Path, *command: str) -> None:
        self._tmux = ["tmux", "-L", f"midfill-{uuid.uuid4().hex[:8]}", "-f", "/dev/null"]
        settings = [f"{name}={value}" for name, value in {**env, "TERM": "tmux-256color"}.items()]
        size = ["-x", "84", "-y", "18"]
        self._run("new-session", "-d", *size, "-c", str(folder), "env", "-i", *settings, *command, env=env)

    def _run(self, *arguments: str, env: dict[str, str] | None = None) -> str:
        return subprocess.run([*self._tmux, *arguments], capture_output=True, text=True, check=True, env=env).stdout

    def keys(self, *keys: str) -> None:
        """Presses keys by their tmux names."""
        self._run("send-keys", *keys)

    def type(self, text: str) -> None:
        """Types `text`."""
        self._run("send-keys", "-l", text)

    def screen(self, *, colours: bool = False) -> str:
        """What is on the screen; with the terminal's codes for colours, if they are wanted."""
        return self._run("capture-pane", "-p", *(["-e"] if colours else []))

    def keep(self, name: str) -> None:
        """Writes the screen to a file, plain and with colours (`cat` shows them)."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        (SCREENSHOTS / f"{name}.txt").write_text(self.screen())
        (SCREENSHOTS / f"{name}.ansi.txt").write_text(self.screen(colours=True))

    def end(self) -> None:
        self._run("kill-server")


@pytest.fixture
def terminal(env: dict[str, str], workspace: Path, script: Path) -> Iterator[Terminal]:
    if shutil.which("tmux") is None:
        pytest.skip("no tmux: apt-get install tmux")
    nvim = str(executable("0.12"))
    init = workspace / "init.lua"
    init.write_text(INIT.format(plugin=str(PLUGIN), midfill=MIDFILL, script=str(script)))
    (workspace / "numbers.py").write_text(TEXT)
    terminal = Terminal({**env, "LANG": "C.UTF-8"}, workspace, nvim, "-u", str(init), "numbers.py")
    yield terminal
    terminal.end()


def test_ghost_text_is_grey_on_the_screen_and_black_once_accepted(terminal: Terminal, workspace: Path) -> None:
    until(lambda: "midfill ready" in terminal.screen(), "the server, in the status line")
    terminal.type("Go")
    terminal.keys("Enter")
    terminal.type("def add(a, b):")
    until(lambda: "    return total" in terminal.screen(), "ghost text")
    terminal.keep("ghost")
    ghost = _row(terminal, "return total")
    terminal.keys("Tab")
    until(lambda: _row(terminal, "return total") != ghost, "another colour")
    until(lambda: re.search(r"midfill \d+ ms", terminal.screen()), "the latency, in the status line")
    terminal.keep("accepted")
    terminal.keys("Escape")
    terminal.type(":w")
    terminal.keys("Enter")
    body = "\n\ndef add(a, b):\n    total = a + b\n    return total\n"
    until(lambda: (workspace / "numbers.py").read_text() == TEXT + body[1:], "the file, written")


def _row(terminal: Terminal, text: str) -> str:
    """The screen's line with `text`, and its colours."""
    return next((line for line in terminal.screen(colours=True).splitlines() if text in line), "")
