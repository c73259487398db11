"""`midfill eval`: the real command on a tiny random checkpoint, and all that can be wrong with what it is given."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from midfill.engine.commands.evaluate import evaluate
from midfill.engine.errors import CheckpointError, InputError
from midfill.engine.wire import Mode
from midfill.server.command_tree import app

COMMAND = Path(sys.executable).with_name("midfill")
RECORDS = [
    {"id": "first", "prefix": "def f(x):\n    retu", "suffix": "\n", "language": "python"},
    {"id": "empty", "prefix": "", "suffix": ""},
    {"id": "größe", "prefix": "größe = '🙂", "suffix": "'\r\n", "language": None, "note": "left alone"},
    {"id": "first", "prefix": "[bold]", "suffix": "[/bold]", "language": "markdown"},
]
FIELDS = {"id": "", "completion": "", "shown": False, "latency_ms": 0.0, "steps": 0, "confidence": 0.0, "valid": None}


@pytest.fixture(scope="session")
def model(tiny_checkpoint: Callable[[str], Path]) -> Path:
    return tiny_checkpoint("released")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


def write(path: Path, *lines: dict[str, Any] | bytes) -> Path:
    """A file of records, and of lines as they are."""
    path.write_bytes(
        b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    )
    return path


def results(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.read_bytes().split(b"\n")[:-1]]


def completions(records: Path, output: Path, model: Path, seed: int = 0) -> list[tuple[str, str]]:
    evaluate(records, output=output, model=model, max_tokens=12, seed=seed)
    return [(each["id"], each["completion"]) for each in results(output)]


# The whole command


def test_each_record_has_its_line_in_order_with_the_same_fields(tmp_path: Path, output: Path, model: Path) -> None:
    records = write(tmp_path / "in.jsonl", *RECORDS)
    command = [COMMAND, "eval", records, "-o", output, "--model", model, "--max-tokens", "12"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert [each["id"] for each in results(output)] == [record["id"] for record in RECORDS]
    for each in results(output):
        assert {name: type(value) for name, value in each.items()} == {name: type(v) for name, v in FIELDS.items()}
        assert list(each) == list(FIELDS)
        assert each["latency_ms"] > 0
        assert each["steps"] > 0
        assert 0 <= each["confidence"] <= 1


def test_records_are_filled_independently_of_each_other(tmp_path: Path, output: Path, model: Path) -> None:
    forwards = completions(write(tmp_path / "in.jsonl", *RECORDS), output, model)
    backwards = completions(write(tmp_path / "in.jsonl", *reversed(RECORDS)), output, model)
    assert forwards == backwards[::-1]


def test_the_seed_decides(tmp_path: Path, output: Path, model: Path) -> None:
    records = write(tmp_path / "in.jsonl", *RECORDS)
    one, again, two = (completions(records, output, model, seed) for seed in (1, 1, 2))
    assert one == again != two


def test_the_mode_decides(tmp_path: Path, output: Path, model: Path) -> None:
    records = write(tmp_path / "in.jsonl", *RECORDS)
    steps: list[int] = []
    modes: tuple[Mode, ...] = ("fast", "best")
    for mode in modes:
        evaluate(records, output=output, model=model, max_tokens=4, mode=mode)
        steps.append(sum(each["steps"] for each in results(output)))
    assert steps[0] < steps[1]


def test_a_gzipped_file_is_read(tmp_path: Path, output: Path, model: Path) -> None:
    plain = write(tmp_path / "in.jsonl", *RECORDS[:2])
    packed = tmp_path / "in.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert completions(packed, output, model) == completions(plain, tmp_path / "other.jsonl", model)


def test_only_the_first_lines_are_filled_under_a_limit(tmp_path: Path, output: Path, model: Path) -> None:
    evaluate(write(tmp_path / "in.jsonl", *RECORDS), output=output, model=model, limit=2, max_tokens=4)
    assert [each["id"] for each in results(output)] == ["first", "empty"]


def test_a_file_without_records_gives_a_file_without_results(tmp_path: Path, output: Path, model: Path) -> None:
    evaluate(write(tmp_path / "in.jsonl"), output=output, model=model)
    assert output.read_bytes() == b""


# What can be wrong


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"not json", "invalid"),
        (b"[]", "Expected `object`, got `array`"),
        (b'{"id": "x", "prefix": ""}', "missing required field `suffix`"),
        (b'{"id": 7, "prefix": "", "suffix": ""}', "Expected `str`, got `int` - at `$.id`"),
        (b'{"id": "x", "prefix": null, "suffix": ""}', "`$.prefix`"),
        (b'{"id": "x", "prefix": "\xff", "suffix": ""}', "invalid start byte"),
        (b'{"id": "x", "prefix": "\\ud800", "suffix": ""}', ""),
        (b'{"id": "x", "prefix": "", "suffix": "", "deep": ' + b"[" * 100_000, "recursion"),
    ],
)
def test_a_bad_line_is_told_by_its_number_and_skipped(
    tmp_path: Path, output: Path, model: Path, capsys: pytest.CaptureFixture[str], line: bytes, reason: str
) -> None:
    records = write(tmp_path / "in.jsonl", RECORDS[0], line, RECORDS[1])
    evaluate(records, output=output, model=model, max_tokens=4)
    assert [each["id"] for each in results(output)] == ["first", "empty"]
    told = capsys.readouterr().err
    assert told.startswith(f"midfill: {records}:2: skipped: ")
    assert told.count("\n") == 1
    assert reason in told


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"limit": 0}, "--limit: wanted 1 or more, got 0"),
        ({"max_tokens": 0}, "--max-tokens: wanted 1 or more, got 0"),
        ({"seed": -1}, "--seed: wanted 0 or more, below 2 ** 63, got -1"),
        ({"candidates": 0}, "--candidates: wanted 1 to 10, got 0"),
        ({"candidates": 11}, "--candidates: wanted 1 to 10, got 11"),
    ],
)
def test_a_bad_option_is_named_with_what_was_wanted(
    tmp_path: Path, output: Path, options: dict[str, int], complaint: str
) -> None:
    with pytest.raises(InputError) as raised:
        evaluate(write(tmp_path / "in.jsonl", *RECORDS), output=output, **options)  # pyright: ignore[reportArgumentType]
    assert str(raised.value) == complaint
    assert not output.exists()


def test_missing_records_are_named(tmp_path: Path, output: Path) -> None:
    with pytest.raises(InputError, match=r"absent: wanted a readable JSON Lines file, got No such file or directory"):
        evaluate(tmp_path / "absent", output=output)


@pytest.mark.parametrize(
    "data", [gzip.compress(b"{}" * 1000)[:-9], gzip.compress(b"{}")[:3], b"\x1f\x8b\x08" + b"\x00" * 7 + b"\xff" * 30]
)
def test_a_broken_gzip_file_is_named(tmp_path: Path, output: Path, data: bytes) -> None:
    (tmp_path / "in.gz").write_bytes(data)
    with pytest.raises(InputError, match=r"in\.gz: wanted a readable JSON Lines file, got \w"):
        evaluate(tmp_path / "in.gz", output=output)


@pytest.mark.parametrize("place", ["absent/out.jsonl", "."])
def test_an_output_that_cannot_be_written_is_named(tmp_path: Path, model: Path, place: str) -> None:
    with pytest.raises(InputError, match=r"wanted a writable file, got (No such file|Is a) "):
        evaluate(write(tmp_path / "in.jsonl", *RECORDS), output=tmp_path / place, model=model)


def test_the_records_are_not_overwritten(tmp_path: Path) -> None:
    records = write(tmp_path / "in.jsonl", *RECORDS)
    before = records.read_bytes()
    with pytest.raises(InputError, match="wanted another file than the records"):
        evaluate(records, output=tmp_path / "." / "in.jsonl")
    assert records.read_bytes() == before


def test_a_missing_model_leaves_the_output_alone(tmp_path: Path, output: Path) -> None:
    output.write_bytes(b"results of yesterday\n")
    with pytest.raises(CheckpointError, match="wanted a model directory"):
        evaluate(write(tmp_path / "in.jsonl", *RECORDS), output=output, model=tmp_path / "absent")
    assert output.read_bytes() == b"results of yesterday\n"


# Settings and options


def test_changed_settings_steer_every_fill(tmp_path: Path, output: Path, model: Path) -> None:
    records = write(tmp_path / "in.jsonl", *RECORDS)
    evaluate(records, output=output, model=model, max_tokens=4, changes=("num_lengths=2", "denoise.max_steps=1"))
    assert {each["steps"] for each in results(output)} == {2}


def test_a_changed_setting_that_there_is_not_leaves_the_output_alone(tmp_path: Path, output: Path, model: Path) -> None:
    with pytest.raises(InputError, match=r"--set searches: wanted one of limits, .*, got 'searches'"):
        evaluate(write(tmp_path / "in.jsonl", *RECORDS), output=output, model=model, changes=("searches=none",))
    assert not output.exists()


def test_switches_for_developers_are_taken_and_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    switches = ["--candidates", "3", "--set", "search=none", "--set", "num_lengths=2"]
    _, bound, _ = app.parse_args(["eval", "in.jsonl", "-o", "out.jsonl", *switches], exit_on_error=False)
    assert bound.arguments["changes"] == ("search=none", "num_lengths=2")
    app.help_print(["eval"])
    told = capsys.readouterr().out
    assert "--candidates" in told
    assert "--set" not in told


def test_others_stand_in_the_results_where_more_than_one_fill_was_asked_for(
    tmp_path: Path, output: Path, model: Path
) -> None:
    evaluate(write(tmp_path / "in.jsonl", RECORDS[0]), output=output, model=model, max_tokens=4, candidates=3)
    [found] = results(output)
    assert list(found) == [*FIELDS, "others"]
    assert len(found["others"]) <= 2
    assert all(set(each) == {"text", "confidence"} for each in found["others"])


# The summary

WITH_MIDDLE = [
    {"id": "a", "prefix": "x = ", "suffix": "\n", "language": "python", "middle": "1", "group": "one"},
    {"id": "b", "prefix": "y = ", "suffix": "\n", "language": "python", "middle": "2\n", "group": "one"},
    {"id": "c", "prefix": "# ", "suffix": "\n", "language": "[bold]", "middle": "three"},
]


def test_a_table_tells_how_near_the_fills_are_by_language(
    tmp_path: Path, output: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(write(tmp_path / "in.jsonl", *WITH_MIDDLE, RECORDS[0]), output=output, model=model, max_tokens=4)
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["language", "records", "exact"]
    assert [row.split()[:2] for row in rows] == [["[bold]", "1"], ["python", "2"], ["all", "3"]]


def test_the_table_says_what_the_results_say(
    tmp_path: Path, output: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate(write(tmp_path / "first.jsonl", *WITH_MIDDLE), output=output, model=model, max_tokens=4)
    filled = results(output)
    known = [{**record, "middle": each["completion"]} for record, each in zip(WITH_MIDDLE, filled, strict=True)]
    known[0]["middle"] += "\n"
    capsys.readouterr()
    evaluate(write(tmp_path / "known.jsonl", *known), output=output, model=model, max_tokens=4)
    [last] = [row for row in capsys.readouterr().out.splitlines() if row.startswith("all")]
    assert last.split()[2] == last.split()[6] == "66.7%"  # exact, and as many line breaks


# Schemas


SCHEMA = {"type": "object", "required": ["a"], "properties": {"a": {"$ref": "https://example.org/a.json"}}}
WITH_SCHEMA = {
    "id": "schema",
    "prefix": "{",
    "suffix": "}",
    "schema": SCHEMA,
    "draft": "draft2020-12",
    "refs": {"https://example.org/a.json": {"enum": ["größe"]}},
}


def test_a_record_with_a_schema_gets_a_completion_that_meets_it(tmp_path: Path, output: Path, model: Path) -> None:
    evaluate(write(tmp_path / "in.jsonl", WITH_SCHEMA), output=output, model=model, max_tokens=24)
    [found] = results(output)
    assert (found["shown"], found["valid"]) == (True, True)
    assert json.loads("{" + found["completion"] + "}")["a"] == "größe"


def test_a_record_whose_schema_cannot_be_used_is_reported_and_skipped(
    tmp_path: Path, output: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = {**WITH_SCHEMA, "id": "bad", "schema": {"type": 3}}
    odd = {**WITH_SCHEMA, "id": "odd", "draft": "draft5"}
    evaluate(write(tmp_path / "in.jsonl", bad, odd, RECORDS[1]), output=output, model=model, max_tokens=4)
    assert [each["id"] for each in results(output)] == ["empty"]
    said = capsys.readouterr().err
    assert "midfill: bad: skipped: " in said
    assert ":2: skipped: Invalid enum value 'draft5'" in said
