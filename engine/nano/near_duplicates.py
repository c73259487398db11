"""Copies and near copies among documents: whole-text hashes, and sketches of consecutive line pairs."""

import hashlib
import re
import zlib
from collections import Counter
from itertools import pairwise

SKETCH_SIZE = 64
MIN_SKETCH = 6
MAX_OVERLAP = 0.7
# A pair of lines that this many kept documents share is boilerplate, and looking all of them up is slow.
MAX_POSTINGS = 32


class DuplicateFilter:
    """Remembers the documents kept so far. Sees each text once, so what must win comes first."""

    def __init__(self) -> None:
        self._digests: set[bytes] = set()
        self._kept_by_shingle: dict[int, list[int]] = {}
        self._num_kept = 0

    def duplicate_kind(self, text: str) -> str | None:
        """ "copy" or "near copy" when `text` repeats a kept document; else None, and `text` is kept."""
        digest = hashlib.blake2b("".join(text.split()).encode("utf-8", "replace"), digest_size=16).digest()
        if digest in self._digests:
            return "copy"
        sketch = line_pair_sketch(text)
        if self._overlaps(sketch):
            return "near copy"
        self._keep(digest, sketch)
        return None

    def _overlaps(self, sketch: list[int]) -> bool:
        """Whether one kept document shares more than MAX_OVERLAP of `sketch`; short texts never do."""
        if len(sketch) < MIN_SKETCH:
            return False
        shared: Counter[int] = Counter()
        for shingle in sketch:
            shared.update(self._kept_by_shingle.get(shingle, ()))
        return bool(shared) and max(shared.values()) > MAX_OVERLAP * len(sketch)

    def _keep(self, digest: bytes, sketch: list[int]) -> None:
        self._digests.add(digest)
        for shingle in sketch:
            postings = self._kept_by_shingle.setdefault(shingle, [])
            if len(postings) < MAX_POSTINGS:
                postings.append(self._num_kept)
        self._num_kept += 1


def line_pair_sketch(text: str) -> list[int]:
    """The SKETCH_SIZE smallest hashes of `text`'s pairs of consecutive lines, indentation aside. Pure.

    Two texts' smallest hashes overlap about as much as all their pairs do: bottom-k MinHash, Broder 1997.
    """
    lines = [zlib.crc32(line.encode("utf-8", "replace")) for line in re.findall(r"\S.*", text)]
    # The multiplier is Knuth's: without it a pair and its reverse would hash alike.
    pairs = {(first * 2654435761 + second) & 0xFFFFFFFF for first, second in pairwise(lines)}
    return sorted(pairs)[:SKETCH_SIZE]
