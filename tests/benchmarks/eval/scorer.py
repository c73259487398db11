"""What the data's own scorer says of predictions: whether the text with the fill parses, and whether its tests pass."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec


class Score(msgspec.Struct, frozen=True):
    """One prediction's; None where the scorer does not say."""

    id: str
    syntax: bool | None = None
    """Of Python only, where the true text parses."""
    solved: bool | None = msgspec.field(default=None, name="pass")
    """Whether its tests pass."""


def scores(scorer: Path, data: Sequence[Path], predictions: Path, ids: Sequence[str]) -> list[Score]:
    """Those of `ids`, in their order. What the scorer said of them before stands beside `predictions` and is kept.

    IT RUNS THE CODE THAT THE MODEL WROTE, within the limits that the scorer sets.
    """
    details = predictions.with_suffix(".scores.jsonl")
    found = _read(details)
    if not found.keys() >= set(ids):
        _run(scorer, data, predictions, details)
        found = _read(details)
    return [found[id] for id in ids]


def _read(details: Path) -> dict[str, Score]:
    lines = details.read_bytes().splitlines() if details.exists() else []
    return {score.id: score for score in (msgspec.json.decode(line, type=Score) for line in lines)}


def _run(scorer: Path, data: Sequence[Path], predictions: Path, details: Path) -> None:
    fresh = details.with_suffix(".part")
    command = [sys.executable, scorer, "infill", "--exec", "--only-predicted", "--by", ""]
    command += ["--data", *data, "--pred", predictions, "--details", fresh]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{scorer} failed: {done.stderr.strip()[-500:]}")
    fresh.replace(details)
