"""`midfill.engine.model_pair`: which of two models is asked, and what both hold."""

import msgspec
import pytest
from tests.engine.test_infill import MODEL, SETTINGS, TOKENIZER, finish, request

from midfill.engine.errors import ModeMissing
from midfill.engine.infill import Infiller
from midfill.engine.model_pair import ModelPair
from midfill.engine.wire import Infill, InfillRequest

FAST = request("x = ", "\n")
BEST = msgspec.structs.replace(FAST, mode="best")


def infiller() -> Infiller:
    return Infiller(MODEL, TOKENIZER, SETTINGS)


def answer(pair: ModelPair, request: InfillRequest) -> Infill:
    return finish(pair.fill(request))[1]


def test_each_mode_has_its_model_and_its_cache():
    pair = ModelPair(infiller(), infiller(), best_model="large")
    answer(pair, FAST)
    assert pair.best is not None
    assert (pair.fast.documents, pair.best.documents, pair.documents) == (1, 0, 1)
    answer(pair, BEST)
    assert (pair.fast.documents, pair.best.documents, pair.documents) == (1, 1, 1)
    assert pair.kv_bytes == pair.fast.kv_bytes + pair.best.kv_bytes
    pair.forget(FAST.document)
    assert (pair.documents, pair.kv_bytes) == (0, 0)


def test_one_model_for_both_is_counted_once():
    pair = ModelPair(model := infiller(), model, best_problem="the other did not fit")
    assert answer(pair, BEST).steps > answer(pair, FAST).steps
    assert pair.kv_bytes == model.kv_bytes
    pair.forget(FAST.document)
    assert pair.documents == 0


def test_a_mode_without_a_model_is_refused_when_its_fill_begins():
    pair = ModelPair(infiller(), None, best_problem="it is gone")
    filling = pair.fill(BEST)
    with pytest.raises(ModeMissing, match="best quality is not available; it is gone; midfill models says"):
        next(filling)
    assert answer(pair, FAST).steps > 0
    assert pair.works()
