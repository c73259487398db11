"""`midfill.engine.scoring` against whole sequences encoded afresh."""

import pytest
import torch
from tests.engine.small_model import WINDOW, small_model

from midfill.engine import scoring
from midfill.engine.prefix_cache import PrefixCache
from midfill.engine.scoring import continuation_log_probabilities

MODEL = small_model()


@pytest.mark.parametrize("at_once", [1, 7, 1 << 20])
@pytest.mark.parametrize("prompt_length", [1, WINDOW - 1, 3 * WINDOW])
def test_scores_are_those_of_whole_sequences(prompt_length: int, at_once: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(scoring, "LOGITS_AT_ONCE", at_once * MODEL.config.vocab_size)
    prompt = [(11 * index) % 64 for index in range(prompt_length)]
    continuations = [[3], [4, 5, 6], [(7 * index) % 64 for index in range(WINDOW + 3)]]
    cache = PrefixCache(MODEL, 1 << 30)
    slot = cache._new_slot()
    cache.encode(slot, prompt)
    scored = continuation_log_probabilities(MODEL, slot, continuations)
    assert slot.tokens == prompt
    for found, tokens in zip(scored, continuations, strict=True):
        whole = cache._new_slot()
        ids = torch.tensor([prompt + tokens])
        hidden = MODEL.encode(ids, torch.arange(ids.shape[1]), whole.attend_causal)
        wanted = MODEL.logits(hidden)[0, prompt_length - 1 : -1].log_softmax(dim=-1)
        torch.testing.assert_close(found, wanted.gather(-1, torch.tensor(tokens)[:, None])[:, 0], atol=1e-4, rtol=0)
