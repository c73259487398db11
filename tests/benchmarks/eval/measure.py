"""Quality of fills, by data set and way to fill: `make eval`.

    python3 -m tests.benchmarks.eval.measure [--bench PATH] [--limit N] [--sets NAME …] [--variants NAME …]

fills the holes, has the data's scorer run the tests, and writes `eval.json`, `eval.md` and its plots into `results/`.
Fills are kept in `out/eval/` as long as the data, the model, the settings and what the engine's code does stay as they
are: a run that is cut off goes on where it stopped.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from tests.benchmarks.eval.identity import files_hash, machine, model_hash, sources
from tests.benchmarks.eval.predictions import key, predictions
from tests.benchmarks.eval.report import write_report
from tests.benchmarks.eval.scorer import Score, scores
from tests.benchmarks.eval.sets import SETS, files, records
from tests.benchmarks.eval.variants import VARIANTS, Variant
from tests.benchmarks.gpu.results import FOLDER, ROOT

from midfill.engine.changed_settings import changed
from midfill.engine.commands.evaluate import Record, Result, compare
from midfill.engine.errors import InputError
from midfill.engine.infill import Infiller
from midfill.engine.installed import embedded_model
from midfill.engine.loading import open_infiller
from midfill.engine.quality import Outcome, estimate, quality
from midfill.engine.reliability import calibration_error, reliability
from midfill.engine.syntax import GRAMMARS, SyntaxCheck

BENCH = ROOT.parent / "shared" / "bench" / "dev"
WORK = ROOT / "out" / "eval"
LENGTHS = ((1, 1), (2, 3), (4, 7), (8, 15), (16, None))
"""Holes of how many tokens are looked at together, first and last; the last is without end."""


class Filled(NamedTuple):
    """One variant's fills of one set."""

    outcomes: list[Outcome]
    confidences: list[float]
    hole_tokens: list[int]
    """Of the true texts."""
    intact: list[bool | None]
    """As `intact` says."""
    scores: list[Score] | None
    """None where the data have no scorer."""


class Eval(NamedTuple):
    """What one run measures with."""

    bench: Path
    limit: int | None
    work: Path
    model: Path
    hashes: tuple[str, str]
    """Of the model and the sources."""

    def open(self, variant: Variant) -> Infiller:
        """The model with the variant's settings. Ends the program where there are no such settings."""
        try:
            return open_infiller(self.model, steer=lambda settings: changed(settings, variant.changes))
        except InputError as error:
            raise SystemExit(str(error)) from None

    def fill(self, infiller: Infiller, variant: Variant, name: str) -> Filled:
        """All of set `name`, filled now or before."""
        paths = files(self.bench, name)
        found = records(paths, self.limit)
        hashes = *self.hashes, files_hash(self.bench, paths)
        kept = self.work / name / f"{key(infiller, variant.asked, *hashes)}.jsonl"
        results = predictions(infiller, found, variant.asked, kept)
        scorer = self.bench.parent / "score.py"
        told = scores(scorer, paths, kept, [each.id for each in found]) if scorer.is_file() else None
        return _filled(infiller, found, results, told)


def _filled(infiller: Infiller, found: Sequence[Record], results: Sequence[Result], told: list[Score] | None) -> Filled:
    tokenizer = infiller.tokenizer
    middles = [each.middle or "" for each in found]
    compared = list(zip(found, results, middles, strict=True))
    check = SyntaxCheck()
    return Filled(
        outcomes=[compare(record, result, middle, tokenizer) for record, result, middle in compared],
        confidences=[result.confidence for result in results],
        hole_tokens=[len(tokenizer.encode(middle)) for middle in middles],
        intact=[intact(check, record, result.completion, middle) for record, result, middle in compared],
        scores=told,
    )


def intact(check: SyntaxCheck, record: Record, fill: str, middle: str) -> bool | None:
    """Whether the text with the fill has no syntax errors that it need not have; None where nothing can say so."""
    if record.language not in GRAMMARS or find_spec("tree_sitter_language_pack") is None:
        return None
    return check.added_errors(record.language, record.prefix, record.suffix, [fill, middle])[0] == 0


def figures(filled: Filled, first: Filled) -> dict[str, Any]:
    """All that is told of one variant on one set; `first` is what it is compared with."""
    groups = [each.group for each in filled.outcomes]
    differences = [mine.exact - theirs.exact for mine, theirs in zip(filled.outcomes, first.outcomes, strict=True)]
    exact = [each.exact for each in filled.outcomes]
    bins = reliability(filled.confidences, exact)
    return {
        **msgspec.to_builtins(quality(filled.outcomes)),
        "groups": len(set(groups)),
        "difference": msgspec.to_builtins(estimate(differences, groups)),
        "solved": _share([each.solved for each in filled.scores or []], groups),
        "parses": _share([each.syntax for each in filled.scores or []], groups),
        "intact": _share(filled.intact, groups),
        "calibration_error": calibration_error(bins),
        "reliability": [each._asdict() for each in bins],
        "lengths": list(by_length(filled)),
    }


def _share(verdicts: Sequence[bool | None], groups: Sequence[str]) -> dict[str, Any] | None:
    """Of the verdicts that there are, the share that is true, and their number; None where there is none."""
    if not any(each is not None for each in verdicts):
        return None
    found = estimate([bool(each) for each in verdicts], groups, [each is not None for each in verdicts])
    return {**msgspec.to_builtins(found), "records": sum(each is not None for each in verdicts)}


def by_length(filled: Filled) -> Iterable[dict[str, Any]]:
    """Of holes of each length, the share whose fill has as many tokens, and about as many."""
    for first, last in LENGTHS:
        told = zip(filled.hole_tokens, filled.outcomes, strict=True)
        off = [abs(each.tokens_off) for tokens, each in told if first <= tokens and (last is None or tokens <= last)]
        if off:
            same, about = (sum(each <= most for each in off) / len(off) for most in (0, 1))
            yield {"tokens": [first, last], "records": len(off), "same": round(same, 6), "about": round(about, 6)}


def measure(run: Eval, sets: Sequence[str], variants: Sequence[str], out: Path) -> None:
    """Fills and tells, variant by variant; after each the results are written, with those before it."""
    ways: dict[str, Any] = {}
    told: list[dict[str, Any]] = []
    first: dict[str, Filled] = {}
    for way in variants:
        variant = VARIANTS[way]
        infiller = run.open(variant)
        asked = variant.asked._asdict()
        settings = msgspec.json.decode(msgspec.json.encode(infiller.settings))  # infinity, which JSON lacks, as null
        ways[way] = {"does": variant.does, "set": variant.changes, "asked": asked, "settings": settings}
        for name in sets:
            filled = run.fill(infiller, variant, name)
            first.setdefault(name, filled)
            told.append({"set": name, "variant": way, **figures(filled, first[name])})
            print(json.dumps({each: told[-1][each] for each in ("set", "variant", "records", "exact")}), flush=True)
        model, engine = run.hashes
        head = {"machine": machine(), "model": model, "sources": engine, "limit": run.limit, "variants": ways}
        write_report({**head, "records": told}, out)


def _chosen(parser: argparse.ArgumentParser, asked: Sequence[str], there: Iterable[str]) -> list[str]:
    """`asked`, or all that are there. Ends the program with a message where one is not."""
    if unknown := set(asked) - set(there):
        parser.error(f"no {', '.join(sorted(unknown))}: there are {', '.join(there)}")
    return list(asked) or list(there)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", type=Path, default=BENCH, help="the folder of the data sets")
    parser.add_argument("--limit", type=int, help="records of a set, evenly from the first to the last")
    parser.add_argument("--sets", nargs="+", default=[], metavar="NAME", help=f"of {', '.join(SETS)}; all by default")
    parser.add_argument("--variants", nargs="+", default=[], metavar="NAME", help=f"of {', '.join(VARIANTS)}")
    parser.add_argument("--model", type=Path, default=embedded_model())
    parser.add_argument("--work", type=Path, default=WORK, help="where fills are kept")
    parser.add_argument("--out", type=Path, default=FOLDER)
    given = parser.parse_args(arguments)
    if given.limit is not None and given.limit < 1:
        parser.error(f"--limit: wanted 1 or more, got {given.limit}")
    sets, variants = _chosen(parser, given.sets, SETS), _chosen(parser, given.variants, VARIANTS)
    for name in sets:
        files(given.bench, name)  # before hours of filling
    run = Eval(given.bench, given.limit, given.work, given.model, (model_hash(given.model), sources()))
    measure(run, sets, variants, given.out)


if __name__ == "__main__":
    main()
