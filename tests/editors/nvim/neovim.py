"""A real Neovim with our plugin, driven as a person would: keys go in, and what is drawn comes out."""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
from tests.server.editor import MIDFILL

T = TypeVar("T")
ROOT = Path(__file__).parents[3]
PLUGIN = ROOT / "editors" / "nvim"
EDITORS = Path(os.environ.get("EDITORS", ROOT / ".editors"))
DEADLINE_S = 60.0
"""Far more than anything takes: the machine may be busy."""
COLUMNS, ROWS = 80, 40

GHOST = """
local texts = {}
local function add(chunks)
  texts[#texts + 1] = table.concat(vim.tbl_map(function(chunk) return chunk[1] end, chunks))
end
for name, namespace in pairs(vim.api.nvim_get_namespaces()) do
  if name == "midfill" or name == "nvim.lsp.inline_completion" then
    for _, mark in ipairs(vim.api.nvim_buf_get_extmarks(0, namespace, 0, -1, { details = true })) do
      if mark[4].virt_text then
        add(mark[4].virt_text)
        vim.tbl_map(add, mark[4].virt_lines or {})
      end
    end
  end
end
return table.concat(texts, "\\n")
"""

COUNT_ANSWERS = """
vim.g.answers = 0
vim.api.nvim_create_autocmd("LspRequest", { callback = function(event)
  local request = event.data.request
  if request.type == "complete" and request.method == "textDocument/inlineCompletion" then
    vim.g.answers = vim.g.answers + 1
  end
end })
"""


def executable(version: str) -> Path:
    """The Neovim that `install.sh` has put there; skips the test where it has not."""
    path = EDITORS / "bin" / f"nvim-{version}"
    if not path.exists():
        pytest.skip(f"no Neovim {version}: tests/editors/nvim/install.sh {EDITORS}")
    return path


def until(condition: Callable[[], T], what: str) -> T:
    """What `condition` returns, once that is true."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError(f"never came: {what}")


def engine_status(env: Mapping[str, str]) -> dict[str, Any]:
    """What `midfill engine status --json` prints for the user of `env`."""
    command = [MIDFILL, "engine", "status", "--json"]
    return json.loads(subprocess.run(command, env=dict(env), capture_output=True, check=True).stdout)


class Neovim:
    """One Neovim without a terminal, in which a file of `workspace` is edited."""

    def __init__(self, version: str, env: Mapping[str, str], workspace: Path) -> None:
        pynvim = pytest.importorskip("pynvim", reason="no pynvim: pip install 'midfill[editors]'")
        self.version, self.workspace = version, workspace
        settings = [f"{name}={value}" for name, value in env.items()]
        command = [str(executable(version)), "--embed", "--headless", "--clean", "-n", "--cmd", f"set rtp^={PLUGIN}"]
        self.api: Any = pynvim.attach("child", argv=["env", "-i", "-C", str(workspace), *settings, *command])
        self._pid = self.api.eval("getpid()")
        self._watchdog = self._watch()
        self.api.ui_attach(COLUMNS, ROWS)
        self.api.command("set cmdheight=12")  # a message of more lines than that would wait for a key

    def _watch(self) -> threading.Timer:
        """Ends Neovim after a time: a call never returns while it waits for a key, as in the middle of a command."""
        watchdog = threading.Timer(2 * DEADLINE_S, os.kill, (self._pid, signal.SIGKILL))
        watchdog.daemon = True
        watchdog.start()
        return watchdog

    def reset(self, workspace: Path) -> None:
        """As if it were new, in another folder."""
        self._watchdog.cancel()
        self._watchdog = self._watch()
        self.workspace = workspace
        self.keys("<Esc>")
        for command in ("silent! %bwipeout!", "messages clear", f"cd {workspace}"):
            self.api.command(command)

    def quit(self) -> None:
        """Ends it, and with it its language server."""
        self._watchdog.cancel()
        try:
            self.api.quit("qa!")
        except (EOFError, OSError):
            pass  # it ended before it could answer
        finally:
            self.api.close()

    # What a person does

    def setup(self, script: Path, **options: Any) -> None:
        """Switches the plugin on, with a language server whose engine follows `script`."""
        options.setdefault("cmd", [MIDFILL, "lsp", "--script", str(script)])
        self.lua(COUNT_ANSWERS)
        self.lua("require('midfill').setup(...)", options)

    def open(self, name: str, text: str = "", *, served: bool = True) -> Path:
        """Opens a file, and waits for the language server."""
        path = self.workspace / name
        path.write_bytes(text.encode())
        self.api.command(f"edit {path}")
        if served:
            until(self.is_served, "the language server, attached")
        return path

    def keys(self, keys: str) -> None:
        """Types `keys`, in Vim's notation, and waits until they are taken."""
        self.api.input(keys)
        self.api.eval("0")  # answered only when no key is left

    # What a person sees

    @property
    def lines(self) -> list[str]:
        """The text."""
        return self.api.current.buffer[:]

    @property
    def cursor(self) -> tuple[int, int]:
        """Line from 1, bytes from 0."""
        return tuple(self.api.current.window.cursor)

    def ghost(self) -> str:
        """The ghost text; empty if there is none."""
        return self.lua(GHOST)

    def shows(self, text: str) -> None:
        """Waits until exactly this ghost text is there."""
        try:
            until(lambda: self.ghost() == text, "")
        except AssertionError:
            found = f"wanted ghost text {text!r}, got {self.ghost()!r} in {self.lines}"
            raise AssertionError(f"{found}\n{self.messages()}\n{self.log()}") from None

    def answers(self) -> int:
        """How many requests for suggestions the server has answered."""
        return self.lua("return vim.g.answers")

    def screen(self) -> list[str]:
        """What is drawn, line by line."""
        self.api.command("redraw")
        cells = [f"screenstring({row}, v:val)" for row in range(1, ROWS + 1)]
        return [self.api.eval(f"join(map(range(1, {COLUMNS}), '{cell}'), '')") for cell in cells]

    def messages(self) -> str:
        """All that was said below the text."""
        return self.api.command_output("messages")

    # What only a test asks

    def lua(self, code: str, *arguments: Any) -> Any:
        """Runs Lua in it."""
        return self.api.exec_lua(code, *arguments)

    def is_served(self) -> bool:
        """Whether the language server is attached and asked for suggestions."""
        return self.client() is not None

    def client(self) -> int | None:
        """The id of the language server's client that serves the buffer."""
        session = "local session = require('midfill.session').of(vim.api.nvim_get_current_buf())"
        return self.lua(f"{session} return session and session.client.initialized and session.client.id or nil")

    def log(self) -> str:
        """The end of Neovim's log of language servers, for the message of a failed test."""
        path = Path(self.lua("return vim.lsp.log.get_filename()"))
        return path.read_text()[-3000:] if path.exists() else ""
