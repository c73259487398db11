"""The plugin's Lua files compile in both Neovims, have no fault that luacheck sees, and are formatted by StyLua."""

import subprocess
from pathlib import Path

import pytest
from tests.editors.nvim.neovim import EDITORS, PLUGIN, executable

pytestmark = pytest.mark.editors

HERE = Path(__file__).parent
COMPILE = "for _, path in ipairs(_G.arg) do assert(loadfile(path)) end"
FILES = [*sorted(map(str, PLUGIN.rglob("*.lua"))), str(HERE / "luacheck.lua")]
STYLUA = EDITORS / "stylua" / "node_modules" / "@johnnymorganz" / "stylua" / "stylua_lib_node.mjs"


def run(*command: str | Path) -> None:
    """Runs a program that finds faults; they are the message of the failed test."""
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PLUGIN)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_file_compiles(version: str, tmp_path: Path) -> None:
    script = tmp_path / "compile.lua"
    script.write_text(COMPILE)
    run(executable(version), "--clean", "-l", script, *FILES)


def test_luacheck_has_no_complaint() -> None:
    nvim = executable("0.12").resolve()
    packages = nvim.parents[2]
    run(nvim, "--clean", "-l", HERE / "luacheck.lua", packages, "--quiet", "--no-color", *FILES)


def test_every_file_is_formatted() -> None:
    if not STYLUA.exists():
        pytest.skip(f"no StyLua: tests/editors/nvim/install.sh {EDITORS}")
    run("node", HERE / "stylua.mjs", STYLUA, *FILES)
