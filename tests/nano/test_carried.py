"""`engine/nano/carried.py`: what is unpacked there is what was packed here."""

from pathlib import Path

import numpy as np
import pytest
from carried import PARTS, SPLITS, pack, unpack

NAMES = sorted(f"{split}{part}.npy" for split in SPLITS for part in PARTS)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path / "work"
    folder.mkdir()
    for name in NAMES:
        np.save(folder / name, rng.integers(0, 300, 5000, dtype=np.uint16))
    return folder


def test_a_corpus_comes_back_whole_and_takes_less_on_its_way(work: Path, tmp_path: Path) -> None:
    size = pack(work, tmp_path / "carry")
    unpack(tmp_path / "carry", tmp_path / "there")
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == NAMES
    for name in NAMES:
        assert (tmp_path / "there" / name).read_bytes() == (work / name).read_bytes()
    assert size == sum(path.stat().st_size for path in (tmp_path / "carry").iterdir())
    assert size < 0.7 * sum((work / name).stat().st_size for name in NAMES)


def test_what_is_there_already_is_not_unpacked_again(work: Path, tmp_path: Path) -> None:
    """The second piece on a machine has the corpus, and nothing was carried with it."""
    pack(work, tmp_path / "carry")
    unpack(tmp_path / "carry", tmp_path / "there")
    unpack(tmp_path / "nothing", tmp_path / "there")


def test_a_file_that_was_not_carried_is_named(work: Path, tmp_path: Path) -> None:
    pack(work, tmp_path / "carry")
    (tmp_path / "carry" / "val_docs.npy.xz").unlink()
    with pytest.raises(FileNotFoundError, match="val_docs"):
        unpack(tmp_path / "carry", tmp_path / "there")
