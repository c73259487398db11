"""`engine/nano/gaps.py`: gaps cut from held-out documents, as people leave them."""

import gzip
import json
from itertools import islice
from pathlib import Path

import pytest
from gaps import LONGEST_MIDDLE, PREFIX_CHARS, SUFFIX_CHARS, Documents, Gap, draw_gaps, read_documents

PYTHON = [f"def f{number}(a):\n    b = a + {number}\n\n    return b * {number}\n" for number in range(40)]
DOCUMENTS: Documents = {
    "python": {"one": ["".join(PYTHON)], "two": ["x = 1\n" * 4000]},
    "markdown": {"three": ["# One\n\nA text of some words.\n\n- and\n- a list\n"]},
    "json": {"four": ['{\n  "a": [1, 2],\n  "b": {}\n}\n']},
}


def drawn(count: int = 400, seed: int = 0) -> list[Gap]:
    return list(islice(draw_gaps(DOCUMENTS, seed), count))


def test_prefix_middle_and_suffix_stand_so_in_a_document_of_the_package():
    for gap in drawn():
        assert len(gap.prefix) <= PREFIX_CHARS
        assert len(gap.suffix) <= SUFFIX_CHARS
        assert gap.middle.strip()
        assert len(gap.middle) <= LONGEST_MIDDLE
        assert any(gap.prefix + gap.middle + gap.suffix in text for text in DOCUMENTS[gap.language][gap.package])


def test_rests_of_lines_whole_lines_blocks_and_spans_are_among_them():
    gaps = [gap for gap in drawn() if gap.package == "one"]
    whole = [gap for gap in gaps if not gap.prefix.rpartition("\n")[2].strip() and gap.suffix[:1] in ("", "\n")]
    rests = [gap for gap in gaps if gap.prefix.rpartition("\n")[2].strip() and gap.suffix[:1] == "\n"]
    assert len(whole) > len(gaps) // 8
    assert len(rests) > len(gaps) // 8
    assert any("\n" in gap.middle.strip() for gap in whole)
    assert any(gap.suffix[:1] not in ("", "\n") for gap in gaps)
    assert 0.04 < sum(not gap.suffix for gap in gaps) / len(gaps) < 0.2


def test_languages_come_by_their_shares_and_packages_equally():
    gaps = drawn(1000)
    python = [gap for gap in gaps if gap.language == "python"]
    assert 0.82 < len(python) / len(gaps) < 0.91  # 65 of 75
    assert not any(gap.language == "json" for gap in gaps)
    assert 0.4 < sum(gap.package == "one" for gap in python) / len(python) < 0.6


def test_the_same_seed_draws_the_same_gaps_and_another_others():
    assert drawn(50) == drawn(50) != drawn(50, seed=1)


@pytest.mark.parametrize("line", ["", "    ", "x"])
def test_short_and_blank_documents_are_survived(line: str):
    documents: Documents = {"python": {"one": [f"{line}\n", "y = 2\n"]}}
    assert len(list(islice(draw_gaps(documents, 0), 30))) == 30


def test_documents_are_read_by_language_and_package(tmp_path: Path):
    lines = [{"path": f"{name}/a.py", "language": "python", "text": name} for name in ("one", "two", "one")]
    with gzip.open(tmp_path / "val.jsonl.gz", "wt", encoding="utf-8") as out:
        out.writelines(json.dumps(line) + "\n" for line in lines)
    assert read_documents(tmp_path / "val.jsonl.gz") == {"python": {"one": ["one", "one"], "two": ["two"]}}
