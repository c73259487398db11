"""`make eval` on data made here, with the embedded model: figures, files, and a run that goes on where it stopped."""

import gzip
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.benchmarks.eval.measure import Filled, by_length, intact, main

from midfill.engine.commands.evaluate import Record
from midfill.engine.quality import Outcome
from midfill.engine.syntax import SyntaxCheck

HOLES = [
    ("def add(a, b):\n    ", "return a + b", "\n"),
    ("for i in range(10):\n    print(", "i", ")\n"),
    ("import ", "os", "\n\nprint(os.name)\n"),
    ("x = [1, 2", ", 3", "]\n"),
]
SCORER = """
import json, sys
given = dict(zip(sys.argv, sys.argv[1:]))
found = [json.loads(line) for line in open(given["--pred"])]
rows = [{"id": each["id"], "pass": each["completion"] != "", "syntax": None} for each in found]
open(given["--details"], "w").write("".join(json.dumps(row) + "\\n" for row in rows))
"""


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    """A folder of data with one set, and a scorer beside it for which every fill passes that is there."""
    path = tmp_path / "bench" / "dev" / "humaneval-infilling" / "single-line.jsonl.gz"
    path.parent.mkdir(parents=True)
    rows = (
        {"id": str(number), "language": "python", "group": str(number // 2), "exec": "none"}
        | {"prefix": prefix, "middle": middle, "suffix": suffix}
        for number, (prefix, middle, suffix) in enumerate(HOLES)
    )
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    (tmp_path / "bench" / "score.py").write_text(SCORER, encoding="utf-8")
    return path.parents[1]


def run(bench: Path, *options: str) -> dict[str, Any]:
    folder = bench.parents[1]
    main(["--bench", str(bench), "--work", str(folder / "work"), "--out", str(folder / "out"), *options])
    return json.loads((folder / "out" / "eval.json").read_text(encoding="utf-8"))


def test_a_run_tells_all_figures_and_the_next_goes_on_from_its_fills(bench: Path) -> None:
    asked = "--limit", "3", "--sets", "single-line", "--variants"
    found = run(bench, *asked, "canvas", "all")
    assert [(each["variant"], each["records"], each["groups"]) for each in found["records"]] == [
        ("canvas", 3, 2),
        ("all", 3, 2),
    ]
    assert found["records"][0]["difference"] == {"value": 0, "low": 0, "high": 0}
    assert found["records"][1]["solved"]["records"] == 3
    assert found["records"][1]["parses"] is None
    assert found["variants"]["canvas"]["settings"]["search"] is None

    kept = sorted((bench.parents[1] / "work" / "single-line").glob("*[0-9a-f].jsonl"))
    for path in kept:
        first, second, last = path.read_bytes().splitlines(keepends=True)
        known = msgspec.json.encode({**msgspec.json.decode(first), "completion": HOLES[0][1]}) + b"\n"
        path.write_bytes(known + second + last[:-7])
    again = run(bench, *asked, "all")
    assert again["records"][0]["exact"]["value"] >= 0.333
    assert sorted(path.read_bytes().count(b"\n") for path in kept) == [2, 3]

    data = bench / "humaneval-infilling" / "single-line.jsonl.gz"
    data.write_bytes(gzip.compress(gzip.decompress(data.read_bytes()).replace(b"import ", b"from ")))
    run(bench, *asked, "all")
    assert len(list(kept[0].parent.glob("*[0-9a-f].jsonl"))) == 3


def test_data_that_are_not_there_are_named(bench: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"safim/api\.jsonl\.gz is not there: BENCH=PATH names the folder"):
        run(bench, "--sets", "single-line", "safim")
    with pytest.raises(SystemExit, match=r"absent/humaneval-infilling/.* is not there"):
        run(tmp_path / "a" / "absent")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--sets", "no-set"), "no no-set: there are single-line, "),
        (("--variants", "no-way"), "no no-way: there are canvas, "),
        (("--limit", "0"), "--limit: wanted 1 or more, got 0"),
    ],
)
def test_a_wrong_argument_is_named(
    bench: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(SystemExit):
        run(bench, *options)
    assert complaint in capsys.readouterr().err


def test_a_fill_is_intact_where_it_adds_no_syntax_error() -> None:
    pytest.importorskip("tree_sitter_language_pack", reason="nothing parses here")
    check = SyntaxCheck()
    record = Record(id="a", prefix="x = (1, ", suffix=")\n", language="python")
    assert intact(check, record, "3", "2") is True
    assert intact(check, record, "3))]", "2") is False
    assert intact(check, Record(id="a", prefix="", suffix="", language="cobol"), "3", "2") is None


def test_lengths_are_told_by_the_length_of_the_hole() -> None:
    outcomes = [Outcome("a", False, 0.0, True, off, True, 1, 1.0) for off in (0, -1, 2, 0)]
    found = list(by_length(Filled(outcomes, [0.5] * 4, [1, 1, 3, 90], [None] * 4, None)))
    assert found == [
        {"tokens": [1, 1], "records": 2, "same": 0.5, "about": 1.0},
        {"tokens": [2, 3], "records": 1, "same": 0.0, "about": 0.0},
        {"tokens": [16, None], "records": 1, "same": 1.0, "about": 1.0},
    ]
