"""Parts are cut off in time, and what they say is understood."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.benchmarks.gpu import parts

JUNIT = """<testsuites><testsuite>
<testcase classname="a" name="one" time="2.5"/>
<testcase classname="a" name="two" time="0.5"><failure message="assert 1 == 2">…</failure></testcase>
<testcase classname="a" name="three" time="0"><skipped/></testcase>
</testsuite></testsuites>"""


def test_a_report_of_pytest_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    path.write_text(JUNIT)
    told = parts.told_tests(path)
    assert (told["passed"], told["skipped"]) == (1, 1)
    assert told["failures"] == [{"test": "a::two", "message": "assert 1 == 2"}]
    assert next(iter(told["slowest"])) == "a::one"


def test_no_report_is_nothing_passed(tmp_path: Path) -> None:
    assert parts.told_tests(tmp_path / "none.xml")["passed"] == 0


def test_a_process_that_takes_too_long_is_interrupted() -> None:
    began = time.monotonic()
    assert parts.run(["-c", "import time; time.sleep(60)"], 1.0, stderr=subprocess.DEVNULL) is None
    assert time.monotonic() - began < 30


def test_a_process_that_ends_gives_its_code_and_output() -> None:
    done = parts.run(["-c", "print('x'); raise SystemExit(3)"], 60.0, stdout=subprocess.PIPE)
    assert done is not None
    assert (done.returncode, done.stdout) == (3, "x\n")


def test_only_objects_are_read_from_lines() -> None:
    assert list(parts.json_lines('a\n{"b": 1}\n[2]\n')) == [{"b": 1}]


def test_a_cpus_figures_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "infill.json"
    path.write_text("before")
    with parts.kept(path):
        path.write_text("after")
    assert path.read_text() == "before"


def test_all_parts_together_end_within_ten_minutes() -> None:
    assert sum(parts.SECONDS.values()) <= 560
    assert parts.ALONE <= 560


def test_suites_name_files_that_are_there() -> None:
    named = [word for words in parts.suites().values() for word in words if word.endswith(".py")]
    assert any(name.endswith("test_kernel_passes.py") for name in named)
    assert all(Path(name).is_file() for name in named)


def test_without_a_card_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    if parts.torch.cuda.is_available():
        pytest.skip("there is a card")
    monkeypatch.setattr(sys, "argv", ["parts", "kernels"])
    with pytest.raises(SystemExit, match="no card here"):
        parts.main()
