"""Fills that are kept: a run that is cut off goes on where it stopped."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from midfill.engine.commands.evaluate import Asked, Record, Result, fill_record
from midfill.engine.infill import Infiller


def key(infiller: Infiller, asked: Asked, *others: str) -> str:
    """Names all that decides a fill: settings, what is asked, and the hashes of model, sources and data."""
    told = f"{infiller.settings!r}\0{asked!r}\0{others!r}"
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def predictions(infiller: Infiller, records: Sequence[Record], asked: Asked, path: Path) -> list[Result]:
    """The results for `records`, in their order. Those that are in `path` are not filled again, others are added."""
    kept = {result.id: result for result in _kept(path)}
    with path.open("ab") as file:
        for record in records:
            if record.id not in kept:
                kept[record.id] = result = fill_record(infiller, record, asked)
                file.write(msgspec.json.encode(result) + b"\n")
                file.flush()
    return [kept[record.id] for record in records]


def _kept(path: Path) -> list[Result]:
    """The results in `path`, which is made if need be. A line that a run was cut off in is cut away."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        file.seek(0)
        whole, _, rest = file.read().rpartition(b"\n")
        if rest:
            file.truncate(len(whole) + bool(whole))
    return [msgspec.json.decode(line, type=Result) for line in whole.splitlines()]
