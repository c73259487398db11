"""`midfill stats` in a subprocess, as a shell starts it, with a state folder of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from midfill.server.statistics import Statistics

LATENCIES_MS = [20, 30, 40, 90, 90, 90, 90, 150, 300, 2000]


def run(state: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("midfill"), "stats", *arguments]
    inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "FORCE_COLOR")}
    environment = {**inherited, "XDG_STATE_HOME": str(state), "COLUMNS": "80", **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, encoding="utf-8")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    kept = Statistics(tmp_path / "midfill" / "statistics.jsonl")
    for latency_ms in LATENCIES_MS:
        kept.record("shown", "python", source="engine", latency_ms=latency_ms)
    for language in ("", "a-language-with-a-very-long-name"):
        kept.record("shown", language, source="memory", latency_ms=0.4)
    kept.record("accepted", "python")
    kept.record("partly", "python")
    kept.close()
    return tmp_path


def rows(output: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in output.splitlines() if line.strip()}


def test_the_table_tells_each_language_and_all(state: Path) -> None:
    result = run(state)
    assert (result.returncode, result.stderr) == (0, "")
    table = rows(result.stdout)
    assert table["python"] == ["10", "1", "10%", "1", "0", "90", "ms", "300", "ms"]
    assert table["unknown"] == ["1", "0", "0%", "0", "0"]
    assert table["all"][:2] == ["12", "1"]
    assert str(state / "midfill" / "statistics.jsonl") in result.stdout


def test_the_histograms_bars_are_as_long_as_the_counts(state: Path) -> None:
    bars = {line.split("ms")[0].strip(): line.count("█") for line in run(state).stdout.splitlines() if "█" in line}
    assert bars == {"0-25": 10, "25-50": 20, "50-100": 40, "100-200": 10, "200-400": 10, "from 1600": 10}


def test_it_fits_80_columns_and_a_pipe_gets_no_colours(state: Path) -> None:
    output = run(state).stdout
    figures = output[: output.index("Kept in")]
    assert max(map(len, figures.splitlines())) <= 80
    assert "\x1b" not in output


def test_colours_are_a_terminals_and_can_be_declined(state: Path) -> None:
    assert "\x1b[36m█" in run(state, FORCE_COLOR="1", TERM="xterm-256color").stdout
    declined = run(state, FORCE_COLOR="1", TERM="xterm-256color", NO_COLOR="1").stdout
    assert "\x1b[36m" not in declined


def test_a_terminal_without_block_characters_gets_bars_too(state: Path) -> None:
    result = run(state, PYTHONIOENCODING="ascii")
    assert result.returncode == 0
    assert " 4  " + "#" * 40 in result.stdout


def test_the_json_holds_the_same_figures(state: Path) -> None:
    summary = json.loads(run(state, "--json").stdout)
    assert [tally["language"] for tally in summary["languages"]] == ["python", "", "a-language-with-a-very-long-name"]
    assert (summary["total"]["shown"], summary["total"]["known"], summary["total"]["p50_ms"]) == (12, 2, 90)
    assert sum(bucket["count"] for bucket in summary["latencies"]) == len(LATENCIES_MS)


def test_no_statistics_are_no_error(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.returncode == 0
    assert result.stdout.startswith("No suggestion was shown yet.")
    assert json.loads(run(tmp_path, "--json").stdout)["since"] is None


def test_delete_deletes_and_says_so(state: Path) -> None:
    path = state / "midfill" / "statistics.jsonl"
    assert run(state, "--delete").stdout == f"deleted {path}\n"
    assert not path.exists()
    assert run(state, "--delete").stdout == f"nothing to delete in {path.parent}\n"


def test_a_file_that_cannot_be_read_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "midfill" / "statistics.jsonl"
    path.mkdir(parents=True)
    result = run(tmp_path)
    assert result.returncode == 2
    assert result.stderr == f"midfill: {path}: wanted a file of statistics, got Is a directory\n"
