"""`make gpu`: all that needs a card, in parts, each of which is cut off in time and leaves its JSON in `results/`.

    python3 -m tests.benchmarks.gpu.parts [tests] [engine] [kernels] [nano] [--force]

All four end within ten minutes. What an earlier run has measured, of the same sources on the same machine, is not
measured again: a part that was cut off goes on where it ended. Only torch, Triton and pytest are needed; what else the
engine imports may lie unpacked in `.gpu/`, where nothing can be installed.
"""

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch
from tests.benchmarks.gpu.report import tables
from tests.benchmarks.gpu.results import CARD_LOST, FOLDER, ROOT, Results
from tests.benchmarks.gpu.timing import machine

SECONDS = {"tests": 130, "engine": 230, "kernels": 130, "nano": 60}
"""What each part may take where all run. A part that runs alone may take `ALONE`."""
ALONE = 540
GRACE_S = 20
"""A benchmark ends by itself at its time; what it has begun then may take so much longer."""
LAST_WORDS_S = 5
ATTEMPTS = 4
WORKERS = 6
"""Of pytest, where it has xdist: each takes some gigabytes of the card."""
CARRIED = ROOT / ".gpu"
SLOWEST = 5
NANO = {
    "infill": ("infill", {}),
    "infill, definitions": ("infill", {"MIDFILL_KERNELS": "reference"}),
    "drafting": ("drafting", {}),
}
"""The embedded model's benchmarks, by name, each with what it is told by the environment."""


def environment() -> dict[str, str]:
    """What the parts' processes see: our sources, and what is carried along where it is not installed."""
    folders = [ROOT / "server", ROOT / "engine", ROOT / "kernels", ROOT]
    if importlib.util.find_spec("msgspec") is None and CARRIED.is_dir():
        folders.append(CARRIED)
    paths = [*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


def run(command: list[str], seconds: float, **options: Any) -> subprocess.CompletedProcess[str] | None:
    """`command` at its end, or None if it took longer and was ended, with all that it had started.

    It is interrupted first: pytest then still writes what it has seen.
    """
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, text=True, process_group=0, **{"env": environment(), **options}
    )
    try:
        out, _ = process.communicate(timeout=max(1.0, seconds))
    except subprocess.TimeoutExpired:
        _end(process)
        return None
    return subprocess.CompletedProcess(process.args, process.returncode, out)


def _end(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.communicate(timeout=LAST_WORDS_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def benchmark(part: str, seconds: float, force: bool) -> None:
    """`bench_engine.py` or `bench_kernels.py`, begun again where an error took the card from it."""
    ends_at = time.monotonic() + seconds
    for attempt in range(ATTEMPTS):
        left = ends_at - time.monotonic()
        if left < GRACE_S:
            return
        command = [f"tests/benchmarks/bench_{part}.py", f"--seconds={left - GRACE_S:.0f}"]
        done = run([*command, *(["--force"] if force and not attempt else [])], left)
        if done is None or done.returncode != CARD_LOST:
            return


def suites() -> dict[str, list[str]]:
    """pytest's arguments for what runs on a card: all tests of kernels, and those of the engine that are for one."""
    engine = [(path, path.read_text(encoding="utf-8")) for path in sorted((ROOT / "tests/engine").glob("test_*.py"))]
    either = [str(path) for path, text in engine if "cuda.is_available" in text]
    marked = [str(path) for path, text in engine if "mark.gpu" in text]
    # Triton compiles something for almost every test.
    side_by_side = ["-n", str(WORKERS)] if importlib.util.find_spec("xdist") else []
    return {
        # What compiles for all cards needs none; it is for CI.
        "kernels": ["tests/kernels", "-k", "not compile", *side_by_side],
        "passes": [*either, *side_by_side],
        "engine": ["-m", "gpu", *marked],
    }


def run_tests(seconds: float, force: bool) -> None:
    """All suites, each a record; one that passed as it is now is not run again."""
    ends_at = time.monotonic() + seconds
    results = Results("tests", machine(torch.device("cuda")), force)
    results.records = [record for record in results.records if not record["failures"] and not record["cut_off"]]
    for suite, arguments in suites().items():
        if results.has(suite=suite):
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "junit.xml"
            options = ["-q", "-W", "ignore::pytest.PytestConfigWarning", f"--junitxml={path}"]
            began = time.monotonic()
            done = run(["-m", "pytest", *options, *arguments], ends_at - began)
            record = {"suite": suite, "cut_off": done is None, "wall_s": round(time.monotonic() - began, 1)}
            results.add(record | told_tests(path))


def told_tests(path: Path) -> dict[str, Any]:
    """What pytest's report in JUnit's form says; of nothing where it was cut off."""
    cases = list(ElementTree.parse(path).iter("testcase")) if path.exists() else []
    failures = [
        {"test": _name(case), "message": (problem.get("message") or "")[:500]}
        for case in cases
        for problem in (*case.findall("failure"), *case.findall("error"))
    ]
    skipped = sum(case.find("skipped") is not None for case in cases)
    slowest = sorted(cases, key=lambda case: -float(case.get("time", 0)))[:SLOWEST]
    return {
        "passed": len(cases) - skipped - len({failure["test"] for failure in failures}),
        "skipped": skipped,
        "failures": failures,
        "slowest": {_name(case): float(case.get("time", 0)) for case in slowest},
    }


def _name(case: ElementTree.Element) -> str:
    return f"{case.get('classname')}::{case.get('name')}"


def run_nano(seconds: float, force: bool) -> None:
    """The benchmarks of the embedded model, as they are; their lines are records."""
    ends_at = time.monotonic() + seconds
    results = Results("nano", machine(torch.device("cuda")), force)
    ended = results.head.get("ended", [])
    results.records = [record for record in results.records if record["script"] in ended]
    for name, (script, forced) in NANO.items():
        left = ends_at - time.monotonic()
        if name in ended or left < GRACE_S:
            continue
        with kept(FOLDER / f"{script}.json"), tempfile.TemporaryFile("w+", encoding="utf-8") as out:
            done = run([f"tests/benchmarks/bench_{script}.py"], left, stdout=out, env=environment() | forced)
            out.seek(0)
            for line in json_lines(out.read()):
                results.add({"script": name, **line})
        if done is not None and done.returncode == 0:
            ended = [*ended, name]
            results.note(ended=ended)


@contextmanager
def kept(path: Path) -> Generator[None]:
    """Leaves the file as it is before: a CPU's figures, which a benchmark would replace by a card's."""
    before = path.read_bytes() if path.exists() else None
    try:
        yield
    finally:
        if before is not None:
            path.write_bytes(before)


def json_lines(text: str) -> Iterator[dict[str, Any]]:
    """The objects among the lines of `text`."""
    yield from (json.loads(line) for line in text.splitlines() if line.startswith("{"))


def run_part(part: str, seconds: float, force: bool) -> None:
    if part == "tests":
        run_tests(seconds, force)
    elif part == "nano":
        run_nano(seconds, force)
    else:
        benchmark(part, seconds, force)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(SECONDS)}; all by default")
    parser.add_argument("--force", action="store_true", help="measures again what is measured")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(SECONDS):
        parser.error(f"no part {', '.join(sorted(unknown))}: there are {', '.join(SECONDS)}")
    if not torch.cuda.is_available():
        raise SystemExit("no card here: `make gpu` needs one that torch sees")
    parts = arguments.parts or list(SECONDS)
    for part in parts:
        print(f"== {part}", flush=True)
        run_part(part, SECONDS[part] if len(parts) > 1 else ALONE, arguments.force)
    print("\n\n".join(tables(FOLDER).values()))


if __name__ == "__main__":
    main()
