"""What a part of `make gpu` has measured: a JSON file that is whole after each figure, and goes on where it ended."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "tests" / "benchmarks" / "results"
SOURCES = ("engine/midfill", "kernels/midfill", "tests/benchmarks", "tests/kernels")
"""What a figure may depend on, as far as it is ours."""
CARD_LOST = 3
"""Exit code of a benchmark whose process can use the card no more: what it has measured stays, and another goes on."""


def fingerprint() -> str:
    """Of all that figures may depend on: there may be no git where the card is."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in SOURCES for path in (ROOT / folder).rglob("*.py")):
        digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


class Results:
    """Records of one part on one machine, each known by some of its own entries.

    Those of an earlier run stay if it was the same sources on the same machine: they are not measured again.
    """

    def __init__(self, part: str, machine: Mapping[str, Any], force: bool = False, folder: Path = FOLDER) -> None:
        self.path = folder / f"gpu_{part}.json"
        self.head = {"part": part, "sources": fingerprint(), "machine": dict(machine)}
        self.records: list[dict[str, Any]] = []
        if not force and self.path.exists():
            before = json.loads(self.path.read_text(encoding="utf-8"))
            if _identity(before) == _identity(self.head):
                self.head, self.records = {key: before[key] for key in before if key != "records"}, before["records"]

    def note(self, **entries: Any) -> None:
        """Puts `entries` beside the records, and writes."""
        self.head |= entries
        self.write()

    def has(self, **key: Any) -> bool:
        return any(True for _ in self.matching(**key))

    def matching(self, **key: Any) -> Iterator[dict[str, Any]]:
        """Records that have all entries of `key`."""
        return (record for record in self.records if key.items() <= record.items())

    def add(self, record: dict[str, Any]) -> None:
        """Keeps `record`, tells it as a line on stdout, and writes."""
        self.records.append(record)
        print(json.dumps(record), flush=True)
        self.write()

    def write(self) -> None:
        """Writes the file in one piece, and a copy in the folder that OUT names, if it is set."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".part")
        fresh.write_text(json.dumps({**self.head, "records": self.records}, indent=1) + "\n", encoding="utf-8")
        fresh.replace(self.path)
        if out := os.environ.get("OUT"):
            shutil.copy(self.path, Path(out) / self.path.name)


def _identity(head: Mapping[str, Any]) -> tuple[Any, ...]:
    """What must be the same for figures to stand side by side; on which day they were taken does not matter."""
    machine = {key: value for key, value in head["machine"].items() if key != "date"}
    return head["sources"], machine


def told_error(error: BaseException) -> str:
    """The kind of `error` and its first line, and on stderr all of it."""
    sys.excepthook(type(error), error, error.__traceback__)
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"
