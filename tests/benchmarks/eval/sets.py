"""The data that quality is measured on: it lies beside the project and is never part of it."""

import gzip
from collections.abc import Sequence
from pathlib import Path

import msgspec
from tests.benchmarks.schema_sets import evenly

from midfill.engine.commands.evaluate import Record

SETS = {
    "single-line": ["humaneval-infilling/single-line"],
    "multi-line": ["humaneval-infilling/multi-line"],
    "random-span-light": ["humaneval-infilling/random-span-light"],
    "safim": ["safim/api", "safim/block", "safim/control"],
    "javascript": ["humanevalpack-infill/javascript"],
    "java": ["humanevalpack-infill/java"],
    "go": ["humanevalpack-infill/go"],
    "rust": ["humanevalpack-infill/rust"],
    "commits": ["commit-infill/commits"],  # holes in real files, where real commits added lines
}
"""Their files, by the names that SETS= takes."""


def files(bench: Path, name: str) -> list[Path]:
    """The files of a set. Ends the program where one is missing."""
    found = [bench / f"{each}.jsonl.gz" for each in SETS[name]]
    for path in found:
        if not path.is_file():
            raise SystemExit(f"{path} is not there: BENCH=PATH names the folder of the data, SETS=NAMES what to take")
    return found


def records(paths: Sequence[Path], limit: int | None) -> list[Record]:
    """Those of all files, each with its true middle; at most `limit` of them, evenly from the first to the last."""
    lines = [line for path in paths for line in gzip.decompress(path.read_bytes()).split(b"\n") if line]
    found = [msgspec.json.decode(line, type=Record) for line in lines]
    return evenly(found, limit) if limit is not None else found
