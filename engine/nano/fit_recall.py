"""Fits how much nano recalls of a file: `python engine/nano/fit_recall.py`, anew after each change of nano's weights.

In gaps of the packages that were held out of training, the true middle and the start of the suffix are read: how likely
nano finds each token, and how often it followed elsewhere in the file, after how many tokens that agree. On every other
package the shares are fitted that make these tokens likeliest, by expectation maximization; on the rest their loss is
told. `fit_gate.py` comes after this: it learns from the fills that are found so.
"""

import argparse
import json
import logging
from collections.abc import Generator, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from contamination import WORK
from fit_gate import result, weights_sha256
from gaps import Gap, draw_gaps, fitted_on, read_documents

from midfill.engine.continuations import Continuations
from midfill.engine.infill import Infiller
from midfill.engine.installed import embedded_model
from midfill.engine.loading import open_infiller
from midfill.engine.reading import Reading
from midfill.engine.recall import RECALL, Recall, RecallSettings

log = logging.getLogger("nano.recall")
LONGEST = 16
"""Tokens; agreement in more counts as in so many. With 8 the loss is 0.01 nats higher."""
MOST_TOKENS = 24
"""Of a middle, beyond which only its start is looked at."""
ROUNDS = 60


class Seen(NamedTuple):
    """A true token of a gap in `package`."""

    package: str
    probability: float
    """By nano."""
    places: np.ndarray
    """Elsewhere in the file, where so many tokens or more before it agree: [LONGEST]."""
    hits: np.ndarray
    """Those of them that the token follows."""


def observe(infiller: Infiller, gap: Gap) -> Generator[Seen, None, None]:
    """The tokens of a gap's middle and of the suffix head behind it, or of the middle's start."""
    prompt = infiller.prompts.build(gap.prefix, gap.suffix, gap.language)
    if not any(prompt.elsewhere):
        return
    middle, num_scored = (
        infiller.tokenizer.encode(prompt.partial.decode() + gap.middle),
        infiller.settings.scored_suffix,
    )
    head = prompt.suffix[:num_scored] if len(middle) <= MOST_TOKENS else []
    tokens = [*middle, *head][: MOST_TOKENS + num_scored]
    slot = result(infiller.cache.prefill("gap", prompt.tokens))
    try:
        (found,) = Continuations(Reading(infiller.model, slot)).log_probabilities([tokens])
    finally:
        infiller.cache.release("gap")
        infiller.forget("gap")
    recall = Recall(RecallSettings((0.0,) * LONGEST), prompt.elsewhere, prompt.tokens)
    for start, (token, log_probability) in enumerate(zip(tokens, found, strict=True)):
        _, followers, lengths = recall.followers(start)
        places = _at_least(lengths)
        if places[0]:
            yield Seen(gap.package, float(np.exp(log_probability)), places, _at_least(lengths[followers == token]))
        recall.add(start, token)


def _at_least(lengths: np.ndarray) -> np.ndarray:
    """How many of `lengths` are 1 or more, 2 or more, and so on."""
    return np.bincount(lengths, minlength=LONGEST + 1)[:0:-1].cumsum()[::-1]


def fit(seen: Sequence[Seen]) -> RecallSettings:
    """The shares that make the tokens likeliest. Pure."""
    places, parts = _columns(seen)
    shares = np.full(LONGEST, 0.15)
    for _ in range(ROUNDS):
        weights = _weights(shares, places)
        due = weights * parts
        due /= due.sum(axis=1, keepdims=True)
        reached = np.where(places > 0, due.cumsum(axis=1)[:, 1:], 0).sum(axis=0)  # by this length, or what it leaves
        shares = due[:, 1:].sum(axis=0) / np.maximum(reached, 1e-9)
    return RecallSettings(tuple(round(float(share), 4) for share in shares))


def loss(seen: Sequence[Seen], settings: RecallSettings) -> float:
    """Nats a token. Pure."""
    places, parts = _columns(seen)
    weights = _weights(np.array(settings.shares), places)
    return float(-np.log((weights * parts).sum(axis=1)).mean())


def _columns(seen: Sequence[Seen]) -> tuple[np.ndarray, np.ndarray]:
    """Places [N, LONGEST], and the probability of each token by nano and by each length: [N, 1 + LONGEST]."""
    places, hits = np.stack([each.places for each in seen]), np.stack([each.hits for each in seen])
    own = np.array([[each.probability] for each in seen])
    return places, np.hstack((own, hits / np.maximum(places, 1)))


def _weights(shares: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Of nano and of each length: [N, 1 + LONGEST]."""
    taken = np.where(places > 0, shares, 0)
    left = np.cumprod(1 - taken[:, ::-1], axis=1)[:, ::-1]  # by this length and all longer ones
    longer = np.hstack((left[:, 1:], np.ones((len(left), 1))))
    return np.hstack((left[:, :1], taken * longer))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gaps", type=int, default=1600)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--model", type=Path, default=embedded_model())
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    gaps = islice(draw_gaps(read_documents(arguments.work / "val.jsonl.gz"), seed=2), arguments.gaps)
    seen = list(_observed(gaps, arguments.model, arguments.gaps))
    learned = fitted_on(each.package for each in seen)
    halves = [[each for each in seen if (each.package in learned) == wanted] for wanted in (True, False)]
    settings, nothing = fit(halves[0]), RecallSettings((0.0,) * LONGEST)
    notes: dict[str, list[float]] = {"tokens": [len(half) for half in halves]}
    notes |= {
        name: [round(loss(half, each), 4) for half in halves]
        for name, each in (("loss", settings), ("loss_without", nothing))
    }
    digest = weights_sha256(arguments.model)
    content = {"shares": settings.shares, "weights_sha256": digest, "fitted_and_examined": notes}
    (arguments.model / RECALL).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    print(content)


def _observed(gaps: Iterable[Gap], model: Path, total: int) -> Generator[Seen, None, None]:
    infiller = open_infiller(model)
    for number, gap in enumerate(gaps, start=1):
        yield from observe(infiller, gap)
        if number % 100 == 0:
            log.info("%d of %d gaps read", number, total)


if __name__ == "__main__":
    main()
