"""The plugin as a piece of software: found programs, options, health, help."""

import re
from pathlib import Path

import pytest
from tests.editors.nvim.conftest import Start
from tests.editors.nvim.neovim import PLUGIN, Neovim, until
from tests.server.editor import MIDFILL

pytestmark = pytest.mark.editors


def health(nvim: Neovim) -> str:
    nvim.api.command("checkhealth midfill")
    return until(lambda: "\n".join(nvim.lines) if len(nvim.lines) > 5 else "", "the report")


def test_checkhealth_finds_nothing_wrong_with_a_working_setup(nvim: Neovim) -> None:
    nvim.open("a.py")
    nvim.keys("ianswer = ")
    nvim.shows("forty_two")
    nvim.keys("<Esc>")
    report = health(nvim)
    assert "ERROR" not in report
    assert "WARNING" not in report
    assert "positions in utf-8" in report
    assert re.search(r"pid \d+, model", report)


def test_a_missing_program_is_told_once_and_harms_nothing(start: Start, script: Path, env: dict[str, str]) -> None:
    env["PATH"] = "/usr/bin:/bin"
    nvim = start()
    nvim.lua("require('midfill').setup()")
    nvim.open("a.py", served=False)
    until(lambda: "no `midfill` program found" in nvim.messages(), "a message")
    nvim.open("b.py", served=False)
    nvim.keys("i<Tab>x")
    assert nvim.lines[0].strip() == "x"
    assert nvim.messages().count("no `midfill` program") == 1
    nvim.keys("<Esc>")
    assert "ERROR not found" in health(nvim)


def test_the_program_of_a_trusted_workspace_is_taken_and_that_of_another_is_not(
    start: Start, workspace: Path, env: dict[str, str]
) -> None:
    trusted, other = workspace / "trusted", workspace / "other"
    for folder in (trusted, other):
        (folder / ".git").mkdir(parents=True)
        (folder / ".venv/bin").mkdir(parents=True)
        (folder / ".venv/bin/midfill").symlink_to(MIDFILL)
    state = Path(env["XDG_STATE_HOME"], "nvim")
    state.mkdir(parents=True, exist_ok=True)
    (state / "trust").write_text(f"directory {trusted}/.venv\n! {other}/.venv\n")
    env["PATH"] = "/usr/bin:/bin"
    nvim = start()
    found = "return require('midfill.server').command(...)"
    assert nvim.lua(found, str(trusted)) == [f"{trusted}/.venv/bin/midfill", "lsp"]
    assert nvim.lua(found, str(other)) is None


def test_wrong_options_are_told_and_the_defaults_used(start: Start) -> None:
    nvim = start()
    nvim.lua(
        "require('midfill').setup({ debounce_ms = 'soon', colour = 1, keymaps = { accept = '<C-y>', jump = 'x' } })"
    )
    messages = nvim.messages()
    assert "option debounce_ms: wanted number, got string" in messages
    assert "unknown option colour" in messages
    assert "unknown option keymaps.jump" in messages
    assert nvim.lua("return require('midfill.config').current.debounce_ms") == 30
    assert nvim.lua("return vim.fn.maparg('<C-y>', 'i', false, true).desc").startswith("Midfill")


def test_a_second_setup_goes_on_serving_what_is_open(start: Start, script: Path) -> None:
    nvim = start()
    nvim.setup(script)
    nvim.open("a.py")
    nvim.setup(script)
    nvim.keys("ianswer = ")
    nvim.shows("forty_two")
    nvim.keys("<Tab>")
    assert nvim.lines == ["answer = forty_two"]


def test_switched_off_nothing_is_shown_until_it_is_switched_on(nvim: Neovim) -> None:
    nvim.open("a.py", "answer = \n")
    nvim.api.command("Midfill disable")
    assert nvim.lua("return require('midfill').statusline()") == "midfill off"
    nvim.keys("A")
    assert nvim.lua("return require('midfill').trigger()") is False
    nvim.api.command("Midfill toggle")
    nvim.shows("forty_two")


def test_the_command_completes_its_subcommands_and_names_them(nvim: Neovim) -> None:
    assert nvim.api.funcs.getcompletion("Midfill ", "cmdline") == [
        "disable",
        "enable",
        "log",
        "restart",
        "stats",
        "status",
        "toggle",
    ]
    nvim.api.command("Midfill nonsense")
    assert "no subcommand nonsense; there are disable, enable" in nvim.messages()
    nvim.open("a.py")
    until(lambda: nvim.lua("return require('midfill.status').text()").startswith("midfill: ready"), "the status")


def test_statistics_and_log_open_beside_the_text(nvim: Neovim) -> None:
    nvim.open("a.py")
    nvim.keys("ianswer = ")
    nvim.shows("forty_two")
    nvim.keys("<Esc>")
    for subcommand in ("stats", "log"):
        nvim.api.command(f"Midfill {subcommand}")
        assert nvim.lua("return vim.bo.buftype") == "terminal"
        [exit_code] = nvim.lua("return vim.fn.jobwait({ vim.b.terminal_job_id })")
        assert exit_code == 0
        until(lambda: any(nvim.lines), "what it printed")
        nvim.api.command("close")


def test_help_has_unique_tags_and_the_defaults_as_they_are(nvim: Neovim, tmp_path: Path) -> None:
    documentation = (PLUGIN / "doc" / "midfill.txt").read_text()
    (tmp_path / "doc").mkdir()
    (tmp_path / "doc" / "midfill.txt").write_text(documentation)
    nvim.api.command(f"helptags {tmp_path}/doc")
    tags = {line.split("\t")[0] for line in (tmp_path / "doc" / "tags").read_text().splitlines()}
    nvim.api.command(f"set rtp+={tmp_path}")
    for link in re.findall(r"\|([^|\s]+)\|", documentation):
        assert link in tags or nvim.api.funcs.getcompletion(link, "help"), link
    config = (PLUGIN / "lua" / "midfill" / "config.lua").read_text()
    defaults = re.sub(r" ---@type.*", "", config[config.index("M.defaults = {") + 13 : config.index("\n}\n") + 2])
    example = documentation[documentation.index(".setup({") + 7 : documentation.index("\n    })\n<") + 6]
    assert "\n".join(line[4:] if line.startswith("    ") else line for line in example.splitlines()) == defaults
