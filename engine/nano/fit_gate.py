"""Fits nano's gate: `python engine/nano/fit_gate.py`, anew after each change of nano's weights.

Nano fills gaps in the packages that were held out of its training. On every other package the gate learns which fills
are exact; on the rest it is examined, and their features and outcomes, no texts, go to `fixtures/gate.jsonl`, where a
test examines what is shipped. 2,400 gaps take about half an hour of a busy core. What was filled is kept with the work:
`--again` fits without filling.
"""

import argparse
import hashlib
import json
import logging
from collections.abc import Generator, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
import torch
from contamination import WORK
from gaps import Gap, draw_gaps, fitted_on, read_documents

from midfill.engine.draws import Draws
from midfill.engine.gate import GATE, MOST_DEVIATIONS, Features, Gate, Term, Thresholds
from midfill.engine.infill import Infiller
from midfill.engine.installed import embedded_model
from midfill.engine.loading import open_infiller
from midfill.engine.recall import RECALL
from midfill.engine.reliability import calibration_error, reliability
from midfill.engine.wire import InfillRequest

log = logging.getLogger("nano.gate")
Found = TypeVar("Found")
FIXTURE = Path(__file__).parents[2] / "fixtures" / "gate.jsonl"
PENALTY = 1.0
"""Of a weight's square, in nats: with some hundred exact fills it draws each a little towards 0."""
ROUNDS = 50
LOW_PRECISION, BALANCED_BETA, HIGH_RECALL = 0.6, 2.0, 0.95


class Row(NamedTuple):
    """What became of a gap."""

    package: str
    is_exact: bool
    features: Features


def observe(infiller: Infiller, gap: Gap) -> Row:
    """Fills a gap in fast mode. White space at the end does not count, as no one sees it."""
    request = InfillRequest(document="gap", prefix=gap.prefix, suffix=gap.suffix, language=gap.language)
    prompt = infiller.prompts.build(request.prefix, request.suffix, request.language)
    slot = result(infiller.cache.prefill(request.document, prompt.tokens))
    try:
        reading = infiller.reading(slot, prompt)
        found = result(infiller.search(slot, prompt, request, Draws(request.seed, slot.device), reading))
    finally:
        infiller.cache.release(request.document)
    infiller.forget(request.document)
    text, features = infiller.judge.order(found.fills, prompt, request, found.quick_passes)[0]
    return Row(gap.package, text.rstrip() == gap.middle.rstrip(), features)


def result(work: Generator[object, None, Found]) -> Found:
    """What `work` comes to."""
    try:
        while True:
            next(work)
    except StopIteration as end:
        return end.value


def fit(features: np.ndarray, is_exact: np.ndarray) -> Gate:
    """The gate that makes the outcomes [N] likeliest, less `PENALTY`: features [N, F]. Newton's method. Pure."""
    means, scales = features.mean(axis=0), features.std(axis=0)
    varies = scales > 1e-6
    deviations = (features[:, varies] - means[varies]) / scales[varies]
    terms = np.c_[np.ones(len(features)), deviations.clip(-MOST_DEVIATIONS, MOST_DEVIATIONS)]
    weights, ridge = np.zeros(terms.shape[1]), np.diag([0.0, *[PENALTY] * int(varies.sum())])
    for _ in range(ROUNDS):
        chances = 1 / (1 + np.exp(-terms @ weights))
        slope = terms.T @ (chances - is_exact) + ridge @ weights
        bend = (terms * (chances * (1 - chances))[:, None]).T @ terms + ridge
        weights -= np.linalg.solve(bend, slope)
    names = [name for name, is_used in zip(Features._fields, varies, strict=True) if is_used]
    found = zip(names, means[varies], scales[varies], weights[1:], strict=True)
    fitted = {name: Term(*(round(float(number), 5) for number in numbers)) for name, *numbers in found}
    gate = Gate(round(float(weights[0]), 5), fitted, Thresholds(1, 1, 1))
    return msgspec.structs.replace(gate, thresholds=thresholds(confidences(gate, features)))


def confidences(gate: Gate, features: np.ndarray) -> np.ndarray:
    """Of each row of features: [N, F] -> [N]."""
    return np.array([gate.confidence(Features(*row)) for row in features.tolist()])


def thresholds(confidence: np.ndarray) -> Thresholds:
    """The levels, by what the confidences [N] themselves promise. Pure.

    Balanced: the best F measure, in which to show what is right counts twice as much as to show nothing else. Low: no
    more than that, and as much as can be shown while `LOW_PRECISION` of it is right. High: all but the least likely,
    until `HIGH_RECALL` of what is right is shown.
    """
    ordered = np.sort(confidence)[::-1]
    precision = ordered.cumsum() / np.arange(1, len(ordered) + 1)
    recall = ordered.cumsum() / ordered.sum()
    weight = BALANCED_BETA**2
    balanced = int(((1 + weight) * precision * recall / (weight * precision + recall)).argmax())
    low = min(max(0, int((precision >= LOW_PRECISION).sum()) - 1), balanced)
    high = max(int((recall < HIGH_RECALL).sum()), balanced)
    return Thresholds(*(round(float(ordered[place]), 4) for place in (low, balanced, high)))


def halves(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Those to fit on and those to examine: every other package's."""
    learned = fitted_on(row.package for row in rows)
    return [row for row in rows if row.package in learned], [row for row in rows if row.package not in learned]


def columns(rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
    """Features [N, F] and outcomes [N]."""
    return np.array([row.features for row in rows]), np.array([row.is_exact for row in rows], dtype=float)


def report(gate: Gate, rows: Sequence[Row]) -> list[str]:
    """Lines on how the gate does on `rows`."""
    features, is_exact = columns(rows)
    confidence = confidences(gate, features)
    bins = reliability(confidence.tolist(), is_exact.tolist())
    lines = [f"{len(rows)} fills, {is_exact.mean():.1%} exact; calibration error {calibration_error(bins):.3f}"]
    lines += [f"  {each.records} at {each.confidence:.3f}: {each.exact:.3f} exact" for each in bins]
    for name, threshold in msgspec.structs.asdict(gate.thresholds).items():
        shown = confidence >= threshold
        lines.append(
            f"  {name}, from {threshold}: {shown.sum()} shown, {is_exact[shown].sum():.0f} of them exact, "
            f"of {is_exact.sum():.0f} exact ones"
        )
    return lines


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """A line a row, numbers to four digits."""
    content = ((row.package, int(row.is_exact), [round(value, 4) for value in row.features]) for row in rows)
    with path.open("w", encoding="utf-8", buffering=1) as out:
        out.writelines(f"{json.dumps(line)}\n" for line in content)


def read_rows(path: Path) -> list[Row]:
    """What `write_rows` wrote."""
    content = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [Row(package, bool(is_exact), Features(*values)) for package, is_exact, values in content]


def notes(gate: Gate, model: Path, learned: Sequence[Row], examined: Sequence[Row]) -> dict[str, object]:
    """What a reader of the file should know; the engine does not look at it."""
    features, is_exact = columns(examined)
    bins = reliability(confidences(gate, features).tolist(), is_exact.tolist())
    recall = model / RECALL
    return {
        "weights_sha256": weights_sha256(model),
        "recall_sha256": hashlib.sha256(recall.read_bytes()).hexdigest() if recall.exists() else None,
        "fitted_on": len(learned),
        "examined_on": len(examined),
        "calibration_error": round(calibration_error(bins), 4),
        "reliability": [[each.records, round(each.confidence, 4), round(each.exact, 4)] for each in bins],
    }


def weights_sha256(model: Path) -> str:
    """Says which weights something was fitted for."""
    digest = hashlib.sha256()
    for path in sorted(model.glob("model*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gaps", type=int, default=2400)
    parser.add_argument("--again", action="store_true", help="fit on what was filled before")
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--model", type=Path, default=embedded_model())
    parser.add_argument("--fixture", type=Path, default=FIXTURE)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)  # fills are short, and other work shares the machine
    kept = arguments.work / "gate.jsonl"
    if not arguments.again:
        gaps = islice(draw_gaps(read_documents(arguments.work / "val.jsonl.gz"), seed=1), arguments.gaps)
        write_rows(kept, _observed(gaps, arguments.model, arguments.gaps))
    learned, examined = halves(read_rows(kept))
    gate = fit(*columns(learned))
    for line in ["fitted on", *report(gate, learned), "examined on", *report(gate, examined)]:
        print(line)
    content = msgspec.to_builtins(gate) | notes(gate, arguments.model, learned, examined)
    (arguments.model / GATE).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    write_rows(arguments.fixture, examined)


def _observed(gaps: Iterable[Gap], model: Path, total: int) -> Generator[Row, None, None]:
    infiller = open_infiller(model)
    for number, gap in enumerate(gaps, start=1):
        yield observe(infiller, gap)
        if number % 100 == 0:
            log.info("%d of %d gaps filled", number, total)


if __name__ == "__main__":
    main()
