"""Finds documents that share code with a benchmark: 13 words in a row. As a script it checks the built corpus.

A word is a run of letters, digits and underscores. Benchmark text is only ever hashed: none of it is kept.
"""

import argparse
import gzip
import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

GRAM_WORDS = 13
# Only the code around the hole: some records carry a whole source file as their prefix.
CONTEXT_CHARS = 2000
# A gram in more documents than this is boilerplate (a licence header, a run of numbers), not a leaked answer.
MAX_COMMON_DOCUMENTS = 20
WORD = re.compile(r"\w+")

WORK = Path(__file__).resolve().parents[2] / ".nano"

log = logging.getLogger(__name__)


@dataclass
class Report:
    """What the check found: `hits` maps a document's index to the benchmarks that it shares grams with."""

    num_records: dict[str, int] = field(default_factory=dict)
    num_grams: dict[str, int] = field(default_factory=dict)
    num_boilerplate_grams: int = 0
    hits: dict[int, list[str]] = field(default_factory=dict)
    skipped: str | None = None

    def summary(self) -> dict[str, object]:
        """The counts alone, for `contamination.json`."""
        per_bench = Counter(bench for benches in self.hits.values() for bench in benches)
        return {
            "skipped": self.skipped,
            "gram_words": GRAM_WORDS,
            "records": self.num_records,
            "grams": self.num_grams,
            "boilerplate_grams": self.num_boilerplate_grams,
            "documents_hit": len(self.hits),
            "documents_hit_by_benchmark": dict(sorted(per_bench.items())),
        }


class GramHasher:
    """Hashes the 13-word windows of texts; the same words give the same hash within one hasher."""

    def __init__(self) -> None:
        self._number_of_word: dict[str, int] = {}
        rng = np.random.default_rng(13)
        self._weights = rng.integers(0, 2**64, GRAM_WORDS, dtype=np.uint64) | np.uint64(1)

    def grams(self, text: str) -> NDArray[np.uint64]:
        """The hashes of all windows of GRAM_WORDS words in `text`, in order; empty for a shorter text."""
        numbers = self._number_of_word
        found = [numbers.setdefault(word, len(numbers) + 1) for word in WORD.findall(text)]
        words = np.array(found, dtype=np.uint64)
        # splitmix64's finish spreads the small word numbers over 64 bits; without it windows would collide.
        words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        words ^= words >> np.uint64(31)
        num_grams = max(0, len(words) - GRAM_WORDS + 1)
        total = np.zeros(num_grams, dtype=np.uint64)
        for offset, weight in enumerate(self._weights):
            total += words[offset : offset + num_grams] * weight
        return total


def read_records(bench: Path) -> Iterator[tuple[str, str]]:
    """(benchmark, code) of each fill-in record below `bench`: prefix, middle and suffix joined."""
    for path in sorted(bench.glob("*/*.jsonl*")):
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
            for line in lines:
                record = json.loads(line)
                if isinstance(record, dict) and {"prefix", "middle", "suffix"} <= record.keys():
                    prefix, suffix = record["prefix"][-CONTEXT_CHARS:], record["suffix"][:CONTEXT_CHARS]
                    yield path.parent.name, prefix + record["middle"] + suffix


def check(texts: Iterable[str], bench: Path) -> Report:
    """Which of `texts` share a 13-word gram with a record below `bench`.

    Boilerplate does not count. Without a benchmark folder nothing is checked and the report says so.
    """
    report = Report()
    if not bench.is_dir():
        report.skipped = f"there is no benchmark folder {bench.name}"
        log.warning("contamination check skipped: %s", report.skipped)
        return report
    hasher = GramHasher()
    grams_of_bench = benchmark_grams(read_records(bench), hasher, report)
    wanted = np.unique(np.concatenate([*grams_of_bench.values(), np.empty(0, np.uint64)]))
    shared_of_text = {}
    for index, text in enumerate(texts):
        grams = np.unique(hasher.grams(text))
        # Membership by binary search in `wanted`: np.isin would sort both sides anew for every text.
        places = np.minimum(np.searchsorted(wanted, grams), max(0, len(wanted) - 1))
        shared = grams[wanted[places] == grams] if len(wanted) else grams[:0]
        if len(shared):
            shared_of_text[index] = shared
    drop_boilerplate(shared_of_text, report)
    for index, shared in shared_of_text.items():
        hit = [name for name, grams in grams_of_bench.items() if np.isin(shared, grams).any()]
        report.hits[index] = hit
    return report


def benchmark_grams(
    records: Iterable[tuple[str, str]], hasher: GramHasher, report: Report
) -> dict[str, NDArray[np.uint64]]:
    """The distinct grams of each benchmark; counts records and grams into `report`."""
    collected: dict[str, list[NDArray[np.uint64]]] = {}
    for bench, code in records:
        collected.setdefault(bench, []).append(hasher.grams(code))
    grams_of_bench = {bench: np.unique(np.concatenate(grams)) for bench, grams in collected.items()}
    report.num_records = {bench: len(grams) for bench, grams in collected.items()}
    report.num_grams = {bench: len(grams) for bench, grams in grams_of_bench.items()}
    return grams_of_bench


def drop_boilerplate(shared_of_text: dict[int, NDArray[np.uint64]], report: Report) -> None:
    """Take grams that many texts hold out of `shared_of_text`, and texts that are left with none."""
    if not shared_of_text:
        return
    grams, num_texts = np.unique(np.concatenate(list(shared_of_text.values())), return_counts=True)
    boilerplate = grams[num_texts > MAX_COMMON_DOCUMENTS]
    report.num_boilerplate_grams = len(boilerplate)
    for index, shared in list(shared_of_text.items()):
        left = shared[~np.isin(shared, boilerplate)]
        if len(left):
            shared_of_text[index] = left
        else:
            del shared_of_text[index]


def main() -> None:
    """Print what a check of the built training corpus finds.

    A few documents are named even after `corpus.py` dropped what it found: it cut some languages to their caps
    after the check, so a gram that was boilerplate then may now stand in too few documents to count as that.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument(
        "--bench", type=Path, help="folder of <benchmark>/*.jsonl[.gz]; bench in the work folder if none"
    )
    options = parser.parse_args()
    with gzip.open(options.work / "train.jsonl.gz", "rb") as lines:
        documents = [json.loads(line) for line in lines]
    report = check((document["text"] for document in documents), options.bench or options.work / "bench")
    print(json.dumps(report.summary(), indent=2))
    for index, benches in report.hits.items():
        print(documents[index]["path"], *benches)


if __name__ == "__main__":
    main()
