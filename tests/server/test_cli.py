"""The real command in a subprocess, as a shell starts it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("midfill")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, check=False)


def test_help_lists_every_command() -> None:
    result = run("--help")
    assert result.returncode == 0
    names = ("lsp", "fill", "eval", "pull", "models", "doctor", "stats", "engine")
    assert all(f" {name} " in result.stdout for name in names)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["nonsense"], ["pull", "a/b/c"], ["models", "remove", "x"]]
)
def test_neither_help_nor_a_mistake_imports_torch(arguments: list[str]) -> None:
    script = (
        "import sys; from midfill.server.cli import main; sys.argv = ['midfill', *sys.argv[1:]]\n"
        "try: main()\n"
        "finally: assert 'torch' not in sys.modules, 'torch was imported'"
    )
    result = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)
    assert "torch was imported" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nonsense"], "midfill: no command 'nonsense', see midfill --help\n"),
        (["pull"], 'midfill: Command "pull" parameter REPO requires an argument.\n'),
        (["pull", "a/b/c"], "midfill: REPO: wanted a repository as ORG/NAME, got 'a/b/c'\n"),
        (["models", "pull", "a/b/c"], "midfill: REPO: wanted a repository as ORG/NAME, got 'a/b/c'\n"),
    ],
)
def test_a_mistake_is_told_in_one_line_with_exit_code_2(arguments: list[str], complaint: str) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith(complaint)
    assert result.stderr.count("\n") == 1


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [COMMAND, "doctor", "--json"]
    result = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (result.returncode, result.stderr) == (1, "")


def test_an_install_without_the_engine_extra_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['huggingface_hub'] = None; sys.argv = ['midfill', 'pull', 'a/b']\n"
        "from midfill.server.cli import main; main()"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr == "midfill: this command needs huggingface_hub: pip install 'midfill[engine]'\n"
