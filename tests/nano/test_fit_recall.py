"""`engine/nano/fit_recall.py`: from true tokens to the shares that make them likeliest."""

import numpy as np
import pytest
from fit_gate import result
from fit_recall import LONGEST, Seen, fit, loss, observe
from gaps import Gap

from midfill.engine.continuations import Continuations
from midfill.engine.loading import open_infiller
from midfill.engine.reading import Reading
from midfill.engine.recall import Recall, RecallSettings

TRUE = np.full(LONGEST, 0.05)
TRUE[[0, 3, LONGEST - 1]] = 0.2, 0.5, 0.7


def drawn(seed: int, count: int = 20_000) -> list[Seen]:
    """Tokens that a length of agreement brings as often as `TRUE` says, and else nano, at one chance in ten.

    Whatever brings a token, no other length has it.
    """
    rng, found = np.random.default_rng(seed), list[Seen]()
    for _ in range(count):
        longest = int(rng.integers(1, LONGEST + 1))
        places = np.where(np.arange(LONGEST) < longest, 1, 0)
        brings = next((length for length in reversed(range(longest)) if rng.random() < TRUE[length]), None)
        hits = np.zeros(LONGEST, dtype=int)
        if brings is not None:
            hits[brings] = 1
        found.append(Seen("a", 0.1 if brings is None else 0.0, places, hits))
    return found


def test_the_shares_that_tokens_were_drawn_with_are_found_again():
    shares = np.array(fit(drawn(0)).shares)
    assert np.abs(shares - TRUE).max() < 0.03


def test_what_is_fitted_is_the_likeliest_on_other_tokens_too():
    settings, others = fit(drawn(0)), drawn(1)
    for change in (0.8, 1.25):
        changed = RecallSettings(tuple(share * change for share in settings.shares))
        assert loss(others, settings) < loss(others, changed)


def test_tokens_of_a_gap_are_seen_as_the_search_sees_them():
    rows = "".join(f"    registry.register_handler({number}, fallback)\n" for number in range(90))
    gap = Gap(
        "one", "python", f"def main(registry, fallback):\n{rows}    registry.reg", "\n", "ister_handler(90, fallback)"
    )
    infiller = open_infiller()
    seen = list(observe(infiller, gap))
    assert infiller.documents == 0
    prompt = infiller.prompts.build(gap.prefix, gap.suffix, gap.language)
    slot = result(infiller.cache.prefill("again", prompt.tokens))
    tokens = infiller.tokenizer.encode(prompt.partial.decode() + gap.middle)
    tokens += prompt.suffix[: infiller.settings.scored_suffix]
    settings = RecallSettings((0.1,) * (LONGEST - 1) + (0.5,))
    recall = Recall.of(settings, prompt)
    assert recall is not None
    (said,) = Continuations(Reading(infiller.model, slot, recall)).log_probabilities([tokens])
    assert len(seen) == len(tokens)  # of each there is something to recall
    assert loss(seen, settings) == pytest.approx(-np.mean(said), abs=1e-4)
    assert {each.package for each in seen} == {"one"}
    assert all(each.places.shape == each.hits.shape == (LONGEST,) for each in seen)
    assert all((each.hits <= each.places).all() and each.places[0] > 0 for each in seen)
    assert seen[0].hits[7] == seen[0].places[7] > 0  # `reg` is typed in none of them but as the start of this name


def test_a_file_that_fits_the_prompt_has_nothing_to_recall():
    assert list(observe(open_infiller(), Gap("one", "python", "a = 1\nb = ", "\n", "2"))) == []


def test_the_loss_without_shares_is_the_models_own():
    seen = [Seen("a", 0.25, np.ones(LONGEST), np.zeros(LONGEST))]
    assert loss(seen, RecallSettings((0.0,))) == pytest.approx(np.log(4))
