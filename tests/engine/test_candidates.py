"""`midfill.engine.candidates`: layouts of several lengths, and the causal mode's choice."""

import pytest
import torch
from tests.engine.small_model import small_model

from midfill.engine.candidates import Vocabulary, canvas_row, lay_out, scored
from midfill.engine.canvas import DenoiseSettings
from midfill.engine.installed import embedded_model
from midfill.engine.prefix_cache import PrefixCache
from midfill.engine.prompt import Prompt, PromptLimits
from midfill.engine.scoring import continuation_log_probabilities
from midfill.engine.settings import InfillSettings
from midfill.engine.tokenizer import Tokenizer

TOKENIZER = Tokenizer(embedded_model() / "tokenizer.json")
MODEL = small_model(vocab_size=8192)
VOCABULARY = Vocabulary(TOKENIZER, MODEL)
SETTINGS = InfillSettings(
    limits=PromptLimits(prefix_tokens=48, suffix_tokens=24, quantum_tokens=16),
    denoise=DenoiseSettings(),
    longest_canvas=32,
    longest_candidate=16,
    num_lengths=6,
    num_finalists=2,
    num_draws=2,
    suffix_head=8,
    scored_suffix=8,
)


@pytest.mark.parametrize("suffix", [[], [7], list(range(100, 160))])
def test_each_rows_suffix_follows_its_own_hole(suffix: list[int]):
    layout = lay_out(Prompt([5], b"", "", suffix), [1, 4, 9], VOCABULARY, SETTINGS)
    assert layout.tokens.shape == (3, SETTINGS.canvas_size(9))
    for row, hole, length in zip(layout.tokens, layout.hole, [1, 4, 9], strict=True):
        assert hole.tolist() == [True] * length + [False] * (len(hole) - length)
        pinned = row[length:].tolist()
        assert pinned[: len(suffix)] == suffix[: len(pinned)]
        assert set(pinned[len(suffix) :]) <= {VOCABULARY.pad}


def test_a_canvas_row_is_just_as_long_as_asked():
    assert canvas_row(2, [7, 8, 9], 4, pad=0) == [0, 0, 7, 8]
    assert canvas_row(2, [7], 4, pad=0) == [0, 0, 7, 0]


def test_only_text_may_be_written_and_the_partial_token_comes_first():
    layout = lay_out(Prompt([5], b" retu", "", [7]), [3], VOCABULARY, SETTINGS)
    assert layout.banned is not None
    assert layout.banned_first is not None
    assert bool(layout.banned[list(TOKENIZER.special_ids.values())].all())
    allowed = (~layout.banned_first).nonzero()[:, 0].tolist()
    assert allowed
    assert all(TOKENIZER.token_bytes[id].startswith(b" retu") for id in allowed)


def test_the_choice_is_by_the_sum_over_fill_and_suffix_and_the_mean_is_of_the_fill():
    cache = PrefixCache(MODEL, 1 << 30)
    slot = cache._new_slot()
    cache.encode(slot, [300, 301, 302])
    fills, head = [[400], [401, 402, 403, 404, 405, 406], [407, 408]], [500, 501]
    candidates = scored(MODEL, slot, fills, head)
    wanted = {tuple(fill): continuation_log_probabilities(MODEL, slot, [[*fill, *head]])[0] for fill in fills}
    for candidate in candidates:
        log_probabilities = wanted[tuple(candidate.tokens)]
        assert candidate.score == pytest.approx(float(log_probabilities.sum()), abs=1e-3)
        assert candidate.mean_probability == pytest.approx(
            float(log_probabilities[: len(candidate.tokens) + 1].mean().exp()), rel=1e-3
        )
    assert [c.score for c in candidates] == sorted((c.score for c in candidates), reverse=True)
    # Each token costs about log 8192: by the mean, the longest fill would not be last.
    assert [len(c.tokens) for c in candidates] == [1, 2, 6]


def test_what_ends_a_text_is_what_no_text_becomes():
    assert bool(VOCABULARY.unwritable[VOCABULARY.ending].all())
    assert int(VOCABULARY.ending.sum()) == 3  # padding, end of file, end mark
    assert torch.equal(VOCABULARY.ending.nonzero()[:, 0], torch.tensor([0, 1, 6]))
