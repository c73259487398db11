"""Builds the corpus of the nano model: `python engine/nano/corpus.py`.

Writes .nano/{train,functions,exercises,val}.jsonl.gz. Fetches what `corpus.toml` lists, keeps the files worth training
on, drops copies and near copies and what shares code with a benchmark, and writes `NOTICE.md` with every source's
licence. The same inputs give the same corpus. Skips all of it when the files are there.
"""

import argparse
import gzip
import json
import logging
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from contamination import WORK, Report, check
from documents import SUFFIXES, Document, Rejected, draw, read_documents
from functions import standalone
from near_duplicates import DuplicateFilter
from sources import SPLITS, Source, fetch, read_members, read_sources

HERE = Path(__file__).resolve().parent
SOURCE_HEADER = ("package", "version", "registry", "licence", "split", "documents", "bytes")
LANGUAGE_HEADER = ("split", "language", "documents", "MB")

log = logging.getLogger(__name__)


@dataclass
class Corpus:
    """The documents kept so far, each with its source, and why the other files were not kept."""

    kept: list[tuple[Source, Document]] = field(default_factory=list)
    functions: list[tuple[Source, Document]] = field(default_factory=list)
    """Those that stand alone, of training documents, of those over a cap too; and of exercises."""
    rejected: Counter[str] = field(default_factory=Counter)


def read_source(source: Source, archive: Path, corpus: Corpus) -> list[Document]:
    """The documents of one package in a drawn order, so that a byte cap takes a fair share of its folders."""
    documents = []
    for name, content in read_members(archive, SUFFIXES):
        try:
            documents += read_documents(f"{source.name}/{name}", content)
        except Rejected as reason:
            corpus.rejected[str(reason)] += 1
    return sorted(documents, key=lambda document: draw(document.path, "order"))


def collect(sources: list[Source], cache: Path, caps: float = 1.0) -> Corpus:
    """The distinct documents of `sources`, each up to `caps` times its cap; of copies the one of the first split stays.

    Packages that are held out keep their caps.
    """
    corpus, seen, seen_functions = Corpus(), DuplicateFilter(), DuplicateFilter()
    ordered = sorted(sources, key=lambda source: SPLITS.index(source.split))
    with ThreadPoolExecutor(4) as downloads:
        archives = downloads.map(partial(fetch, cache=cache), ordered)
        for source, archive in zip(ordered, archives, strict=True):
            num_bytes = Counter[str]()
            most = source.cap_bytes * (1.0 if source.split == "val" else caps)
            for document in read_source(source, archive, corpus):
                functions = [each for each in standalone(document) if not seen_functions.duplicate_kind(each.text)]
                if source.split != "val":
                    corpus.functions += [(source, each) for each in functions]
                if source.split == "exercises":
                    continue
                size = len(document.text.encode())
                if num_bytes[document.language] + size > most:
                    corpus.rejected["over the source's cap"] += 1
                elif kind := seen.duplicate_kind(document.text):
                    corpus.rejected[kind] += 1
                else:
                    corpus.kept.append((source, document))
                    num_bytes[document.language] += size
            log.info("%s %s: %.2f MB", source.name, source.version, num_bytes.total() / 1e6)
    return corpus


def trim_languages(corpus: Corpus, cap_bytes: dict[str, float]) -> None:
    """Keep a drawn part of the training documents of a language that is over its cap; held-out ones stay."""
    total = Counter[str]()
    kept = []
    for source, document in sorted(corpus.kept, key=lambda pair: draw(pair[1].path, "trim")):
        size = len(document.text.encode()) if source.split == "train" else 0
        if total[document.language] + size > cap_bytes.get(document.language, sys.maxsize):
            corpus.rejected["over the language's cap"] += 1
            continue
        total[document.language] += size
        kept.append((source, document))
    corpus.kept = kept


def drop_contaminated(corpus: Corpus, bench: Path) -> Report:
    """Drop the documents that share code with a benchmark below `bench`."""
    documents = [*corpus.kept, *corpus.functions]
    report = check((document.text for _, document in documents), bench)
    corpus.rejected["shares code with a benchmark"] += len(report.hits)
    clean = [None if index in report.hits else pair for index, pair in enumerate(documents)]
    num_kept = len(corpus.kept)
    corpus.kept, corpus.functions = (list(filter(None, part)) for part in (clean[:num_kept], clean[num_kept:]))
    return report


def exercises(corpus: Corpus) -> list[tuple[Source, Document]]:
    """The definitions of packages that teach algorithms."""
    return [(source, document) for source, document in corpus.functions if source.split == "exercises"]


def write_jsonl(path: Path, documents: Iterable[Document]) -> None:
    """Write one {path, language, text} a line; the same documents give the same bytes."""
    with path.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=3, mtime=0) as packed:
        for document in documents:
            packed.write(json.dumps(document._asdict(), ensure_ascii=False).encode() + b"\n")


def table(rows: Iterable[tuple[object, ...]], header: tuple[str, ...]) -> Iterator[str]:
    """The lines of a Markdown table."""
    yield "| " + " | ".join(header) + " |"
    yield "|" + " --- |" * len(header)
    for row in rows:
        yield "| " + " | ".join(str(cell) for cell in row) + " |"


def language_rows(corpus: Corpus) -> list[tuple[object, ...]]:
    """(split, language, documents, megabytes) of what is kept, the largest first."""
    count, num_bytes = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for source, document in [*corpus.kept, *exercises(corpus)]:
        count[source.split, document.language] += 1
        num_bytes[source.split, document.language] += len(document.text.encode())
    return [(*key, count[key], f"{size / 1e6:.2f}") for key, size in num_bytes.most_common()]


def source_rows(corpus: Corpus) -> list[tuple[object, ...]]:
    """One row of SOURCE_HEADER for each source that gave documents, by name."""
    count, num_bytes = Counter[Source](), Counter[Source]()
    for source, document in [*corpus.kept, *exercises(corpus)]:
        count[source] += 1
        num_bytes[source] += len(document.text.encode())
    ordered = sorted(num_bytes, key=lambda source: (source.registry, source.name.lower()))
    return [(s.name, s.version, s.registry, s.licence, s.split, count[s], num_bytes[s]) for s in ordered]


def notice(corpus: Corpus, report: Report) -> str:
    """The text of NOTICE.md: every source with its licence, and what the contamination check found."""
    if report.skipped:
        verdict = f"The contamination check did not run: {report.skipped}."
    else:
        verdict = (
            f"{len(report.hits)} documents were left out: they share 13 words in a row with a record of\n"
            f"{', '.join(sorted(report.num_records))}."
        )
    return "\n".join(
        [
            "# What the nano model was trained on",
            "",
            "Written by `corpus.py`. The weights were trained on files of these packages, under the licences",
            "that the packages name. Their copyright holders keep their rights; no file of them is in this",
            "repository. Packages of the split `val` are held out of training whole; of those of the split",
            "`exercises` only functions and classes were used that stand alone.",
            "",
            verdict,
            "",
            *table(source_rows(corpus), SOURCE_HEADER),
            "",
        ]
    )


def main() -> None:
    """Build both splits, `NOTICE.md` and `contamination.json`, and print what was kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK, help="cache and output folder")
    parser.add_argument(
        "--bench", type=Path, help="folder of <benchmark>/*.jsonl[.gz]; bench in the work folder if none"
    )
    parser.add_argument("--caps", type=float, default=1.0, help="factor of all caps but those of packages held out")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    files = {split: options.work / f"{split}.jsonl.gz" for split in ("functions", *SPLITS)}
    told = options.work / "contamination.json"
    if all(file.exists() for file in files.values()):
        if (caps := json.loads(told.read_text(encoding="utf-8")).get("caps", 1.0)) != options.caps:
            parser.error(f"caps of {options.caps} are wanted, the corpus in {options.work} was cut with {caps}")
        log.info("the corpus is already in %s", options.work)
        return
    listing = HERE / "corpus.toml"
    corpus = collect(read_sources(listing), options.work / "cache", options.caps)
    report = drop_contaminated(corpus, options.bench or options.work / "bench")
    cap_bytes = tomllib.loads(listing.read_text(encoding="utf-8"))["language_cap_bytes"]
    trim_languages(corpus, {language: cap * options.caps for language, cap in cap_bytes.items()})
    for split in ("train", "val"):
        write_jsonl(files[split], (document for source, document in corpus.kept if source.split == split))
    write_jsonl(files["functions"], (each for source, each in corpus.functions if source.split == "train"))
    write_jsonl(files["exercises"], (each for _, each in exercises(corpus)))
    (HERE / "NOTICE.md").write_text(notice(corpus, report), encoding="utf-8")
    summary = json.dumps(
        {**report.summary(), "caps": options.caps, "rejected": dict(corpus.rejected.most_common())}, indent=2
    )
    told.write_text(summary + "\n", encoding="utf-8")
    print(*table(source_rows(corpus), SOURCE_HEADER), "", sep="\n")
    print(*table(language_rows(corpus), LANGUAGE_HEADER), "", summary, sep="\n")


if __name__ == "__main__":
    main()
