"""The real commands in subprocesses, with a scripted engine."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest
from tests.engine.engine_process import EngineFolder, engine_folder

from midfill.engine.commands.engine import NUM_LINES, describe
from midfill.engine.wire import Status

COMMAND = [Path(sys.executable).with_name("midfill"), "engine"]
STATUS = Status(
    id=1,
    version="1.2",
    pid=7,
    model="nano",
    device="cpu",
    dtype="float32",
    uptime_s=3700.4,
    resident_bytes=330_000_000,
    kv_bytes=1_250_000,
    documents=3,
    clients=2,
    running=1,
    answered=10,
    dropped=5,
    failed=0,
    p50_ms=81.6,
    p90_ms=120.0,
    cached_share=0.957,
)


@pytest.fixture
def folder() -> Iterator[EngineFolder]:
    with engine_folder() as made:
        yield made


def environment(folder: EngineFolder) -> dict[str, str]:
    return {**os.environ, **folder.endpoint.environment, "XDG_STATE_HOME": str(folder.path)}


def run(folder: EngineFolder, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment(folder))


def write_log(folder: EngineFolder, text: str) -> Path:
    path = folder.path / "midfill" / "log" / "engine.log"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def test_status_tells_a_running_engines_figures(folder: EngineFolder) -> None:
    engine = folder.start(*folder.script([]))
    table, figures = run(folder, "status"), run(folder, "status", "--json")
    assert (table.returncode, table.stderr) == (0, "")
    assert "script on none" in table.stdout
    assert json.loads(figures.stdout)["pid"] == engine.pid


def test_where_no_engine_runs_none_is_started(folder: EngineFolder) -> None:
    folder.endpoint.prepare()
    for command in ("status", "stop"):
        result = run(folder, command)
        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith("midfill: no engine answers at ")
        assert result.stderr.count("\n") == 1
    assert not folder.endpoint.socket.exists()


def test_stop_ends_the_engine(folder: EngineFolder) -> None:
    engine = folder.start(*folder.script([]))
    result = run(folder, "stop")
    assert (result.returncode, result.stderr) == (0, "")
    assert engine.wait(10) == 0


def test_run_serves_in_the_foreground_until_interrupted(folder: EngineFolder) -> None:
    command = [*COMMAND, "run", *folder.script([])]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment(folder)) as engine:
        assert engine.stderr is not None
        assert "script is ready" in engine.stderr.readline()
        engine.send_signal(signal.SIGINT)
        assert engine.wait(10) == 0


def test_logs_prints_the_last_lines(folder: EngineFolder) -> None:
    write_log(folder, "".join(f"line {number}\n" for number in range(NUM_LINES + 50)))
    result = run(folder, "logs")
    assert result.stdout.splitlines() == [f"line {number}" for number in range(50, NUM_LINES + 50)]


def test_logs_follows_what_is_added_and_what_takes_its_place(folder: EngineFolder) -> None:
    path = write_log(folder, "old\n")
    command = [*COMMAND, "logs", "--follow"]
    interruptible = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell's background work is not
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment(folder), preexec_fn=interruptible
    ) as reading:
        assert reading.stdout is not None
        assert reading.stdout.readline() == "old\n"
        with path.open("a") as file:
            file.write("added\n")
        assert reading.stdout.readline() == "added\n"
        path.replace(path.with_name("engine.log.1"))
        path.write_text("new\n")
        assert reading.stdout.readline() == "new\n"
        reading.send_signal(signal.SIGINT)
        assert reading.wait(10) == 0


def test_a_log_that_there_is_not_is_told(folder: EngineFolder) -> None:
    result = run(folder, "logs")
    assert result.returncode == 2
    assert result.stderr.endswith("engine.log: wanted the engine's log, got No such file or directory\n")


@pytest.mark.parametrize("command", ["status", "stop", "logs"])
def test_none_of_these_imports_torch(command: str, folder: EngineFolder) -> None:
    script = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['midfill', 'engine', *sys.argv[1:]]\n"
        "from midfill.server.cli import main; main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, command], capture_output=True, text=True, check=False, env=environment(folder)
    )
    assert result.returncode == 2
    assert "torch" not in result.stderr


def test_the_table_says_what_a_person_asks() -> None:
    assert describe(STATUS) == [
        ("model", "nano on cpu, float32"),
        ("process", "7, midfill 1.2, up 1:01:40"),
        ("memory", "330.0 MB in all, 1.2 MB of caches"),
        ("serves", "3 documents of 2 clients"),
        ("requests", "10 answered, 5 dropped, 0 failed, 1 open"),
        ("latency", "p50 82 ms, p90 120 ms"),
        ("prompt", "96% found in a cache"),
    ]


def test_before_the_first_answer_the_table_has_no_latency() -> None:
    fresh = msgspec.structs.replace(STATUS, device="", p50_ms=None, p90_ms=None, cached_share=None)
    lines = dict(describe(fresh))
    assert lines["model"] == "nano, being loaded"
    assert not {"latency", "prompt"} & lines.keys()
