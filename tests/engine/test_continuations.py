"""`midfill.engine.continuations` against rows that are read each by itself."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.small_model import small_model

from midfill.engine.continuations import Continuations
from midfill.engine.kv import KVSlot
from midfill.engine.prefix_cache import PrefixCache
from midfill.engine.reading import ROOM, Reading, Step
from midfill.engine.recall import Recall, RecallSettings
from midfill.engine.scoring import continuation_log_probabilities

MODEL = small_model()
CACHE = PrefixCache(MODEL, 1 << 30)
TOLERANCE = 1e-4  # float32: sums in another order


def encoded() -> KVSlot:
    slot = CACHE._new_slot()
    CACHE.encode(slot, [(11 * index) % 64 for index in range(20)])
    return slot


SLOT = encoded()
texts = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4), min_size=1, max_size=4)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The tokens of each forward pass from now on."""
    passes: list[int] = []
    run = MODEL.encode
    monkeypatch.setattr(MODEL, "encode", lambda ids, *others: (passes.append(ids.numel()), run(ids, *others))[1])
    return passes


@given(texts, texts)
def test_log_probabilities_are_those_of_single_rows_whatever_was_read_before(
    before: list[list[int]], asked: list[list[int]]
):
    known = Continuations(Reading(MODEL, SLOT))
    known.log_probabilities(before)
    for tokens, found in zip(asked, known.log_probabilities(asked), strict=True):
        (alone,) = continuation_log_probabilities(MODEL, SLOT, [tokens])
        assert found == pytest.approx(alone.tolist(), abs=TOLERANCE)


def test_what_was_read_is_not_read_again(monkeypatch: pytest.MonkeyPatch):
    known, passes = Continuations(Reading(MODEL, SLOT)), counted(monkeypatch)
    known.log_probabilities([[3, 4, 5], [3, 4, 6]])
    known.log_probabilities([[3, 4, 9], [3], [8]])
    known.log_probabilities([[3, 4, 9, 7]])
    assert passes == [2, 1]


def test_a_pass_gives_what_follows_its_steps():
    known, new = Continuations(Reading(MODEL, SLOT)), dict[Step, int]()
    first = known.place((None, 7), new)
    second = known.place((first, 8), new)
    assert known.place((None, 7), new) == first
    follow = known.read(new)
    assert follow.shape == (2, 64)
    assert known.of_steps([(None, 7), (first, 8), (second, 9)]) == pytest.approx(
        [float(known.first[7]), float(follow[0, 8]), float(follow[1, 9])]
    )
    assert known.place((first, 8), {}) == second


def test_what_is_recalled_is_mixed_in_after_each_start():
    settings, elsewhere = RecallSettings((0.2, 0.4)), [[5, 3, 1, 3, 4, 6], [SLOT.tokens[-1], 3]]
    plain, recall = Continuations(Reading(MODEL, SLOT)), Recall(settings, elsewhere, SLOT.tokens)
    new = dict[Step, int]()
    three = plain.place((None, 3), new)
    plain.place((three, 4), new)
    recall.add(0, 3)
    recall.add(1, 4)
    with torch.inference_mode():
        chances = torch.cat((plain.first[None], plain.read(new))).exp()
    recall.mix(chances, 0)
    expected = [chances[0, 3].log(), chances[1, 4].log(), chances[2, 6].log()]
    known = Continuations(Reading(MODEL, SLOT, Recall(settings, elsewhere, SLOT.tokens)))
    assert known.log_probabilities([[3], [3, 4, 6]]) == [
        [pytest.approx(float(expected[0]), abs=TOLERANCE)],
        pytest.approx([float(each) for each in expected], abs=TOLERANCE),
    ]
    assert known.elsewhere(1, 3) == 4
    assert plain.elsewhere(1, 3) is None


def test_there_is_room_for_any_number_of_nodes():
    known = Continuations(Reading(MODEL, SLOT))
    long = [index % 64 for index in range(2 * ROOM)]
    parts = [known.log_probabilities([long[:length]])[0] for length in (5, ROOM - 1, ROOM + 2, 2 * ROOM)]
    (alone,) = continuation_log_probabilities(MODEL, SLOT, [long])
    assert parts[-1] == pytest.approx(alone.tolist(), abs=1e-3)
    assert all(part == parts[-1][: len(part)] for part in parts)


@torch.inference_mode()
def test_log_probabilities_add_up_to_one():
    known, new = Continuations(Reading(MODEL, SLOT)), dict[Step, int]()
    known.place((None, 7), new)
    assert known.first.exp().sum().item() == pytest.approx(1, abs=1e-5)
    assert known.read(new).exp().sum().item() == pytest.approx(1, abs=1e-5)
