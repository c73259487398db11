"""The packed corpus on its way to a machine that reaches no registry: `python engine/nano/carried.py pack`.

There `unpack` has what training maps into memory again. All that travels is bounded (64 MiB to the cards we are lent),
what git tracks included; token ids under xz take a quarter of their 16 bits.
"""

import argparse
import logging
import lzma
from collections.abc import Iterator
from pathlib import Path

from contamination import WORK

FOLDER = WORK.with_name(".carry")
SPLITS = "train", "functions", "exercises", "val"
PARTS = "", "_docs", "_lang"
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 256 << 20, "lc": 0, "lp": 1, "pb": 1}]
"""For ids of two bytes, in a dictionary that reaches back over the whole corpus."""

log = logging.getLogger(__name__)


def pack(work: Path, folder: Path) -> int:
    """Writes what `pack.py` left in `work` to `folder`, under xz; bytes in all."""
    folder.mkdir(parents=True, exist_ok=True)
    return sum(
        (folder / f"{name}.xz").write_bytes(lzma.compress((work / name).read_bytes(), filters=FILTERS))
        for name in _names()
    )


def unpack(folder: Path, work: Path) -> None:
    """Has in `work` what `pack` found there; a file that is there already stays.

    Raises FileNotFoundError for what is in neither.
    """
    work.mkdir(parents=True, exist_ok=True)
    for name in _names():
        if (work / name).exists():
            continue
        # Under another name until it is whole: a piece may be cut off here.
        fresh = work / f"{name}.new"
        fresh.write_bytes(lzma.decompress((folder / f"{name}.xz").read_bytes()))
        fresh.replace(work / name)


def _names() -> Iterator[str]:
    return (f"{split}{part}.npy" for split in SPLITS for part in PARTS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("way", choices=("pack", "unpack"))
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if options.way == "pack":
        log.info("%.1f MB in %s", pack(options.work, options.folder) / 1e6, options.folder)
    else:
        unpack(options.folder, options.work)


if __name__ == "__main__":
    main()
