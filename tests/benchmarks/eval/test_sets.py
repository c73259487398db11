"""A part of a set is spread over all of it."""

import gzip
import json
from pathlib import Path

from tests.benchmarks.eval.sets import records


def test_a_limit_takes_records_evenly_from_all_files(tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.jsonl.gz" for name in "ab"]
    for path in paths:
        rows = [
            {"id": f"{path.name[0]}{n}", "prefix": "", "suffix": "\u2028", "middle": "m", "exec": "none"}
            for n in range(4)
        ]
        path.write_bytes(gzip.compress("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()))
    assert [each.id for each in records(paths, 4)] == ["a0", "a2", "b0", "b2"]
    assert len(records(paths, None)) == len(records(paths, 100)) == 8
    assert records(paths, 1)[0].suffix == "\u2028"
