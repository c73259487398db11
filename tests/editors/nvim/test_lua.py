"""Every Lua file of the plugin compiles in both Neovims."""

import subprocess
from pathlib import Path

import pytest
from tests.editors.nvim.neovim import PLUGIN, executable

pytestmark = pytest.mark.editors

COMPILE = "for _, path in ipairs(_G.arg) do assert(loadfile(path)) end"


def test_every_file_compiles(version: str, tmp_path: Path) -> None:
    script = tmp_path / "compile.lua"
    script.write_text(COMPILE)
    files = sorted(map(str, PLUGIN.rglob("*.lua")))
    assert len(files) > 10
    subprocess.run([executable(version), "--clean", "-l", script, *files], check=True)
