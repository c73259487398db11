"""Runs the parity tests and prints how far this engine is from transformers: `python tests/engine/parity_table.py`.

A row a quantity, a column a checkpoint: the largest absolute difference, float32, over all cases; for tokens and
bools, how many differ.
"""

import sys
from collections import defaultdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table


class Differences:
    """A pytest plugin that gathers what `parity.assert_close` and `assert_equal` record."""

    def __init__(self) -> None:
        self.largest: dict[str, dict[str, float]] = defaultdict(dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call":
            return
        properties: list[tuple[str, Any]] = report.user_properties
        for quantity, (checkpoint, difference) in properties:
            row = self.largest[quantity]
            row[checkpoint] = max(difference, row.get(checkpoint, 0))

    def table(self) -> Table:
        checkpoints = sorted({checkpoint for row in self.largest.values() for checkpoint in row})
        versions = f"transformers {version('transformers')}, torch {version('torch')}"
        table = Table("largest difference", *checkpoints, title=versions, title_justify="left")
        for quantity, row in self.largest.items():
            table.add_row(quantity, *(_spell(row.get(checkpoint)) for checkpoint in checkpoints))
        return table


def _spell(difference: float | None) -> str:
    if difference is None:
        return ""
    return str(difference) if isinstance(difference, int) else f"{difference:.1e}"


def main() -> int:
    differences = Differences()
    tests = [str(path) for path in sorted(Path(__file__).parent.glob("test_*_parity.py"))]
    status = pytest.main(["-q", *tests], plugins=[differences])
    Console(width=160).print(differences.table())
    return status


if __name__ == "__main__":
    sys.exit(main())
