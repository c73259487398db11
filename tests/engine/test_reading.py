"""`midfill.engine.reading`: what was read for one prompt, against slots that hold the next prompt and nothing else."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.small_model import WINDOW, small_model

from midfill.engine.continuations import Continuations
from midfill.engine.kv import KVSlot
from midfill.engine.passes import read
from midfill.engine.prefix_cache import PrefixCache
from midfill.engine.prompt import Prompt
from midfill.engine.reading import MOST_KEPT, ROOM, Reading, Step
from midfill.engine.recall import Recall, RecallSettings
from midfill.engine.tree_kv import TreeKV

MODEL = small_model()
CACHE = PrefixCache(MODEL, 1 << 30)
TOLERANCE = 1e-4  # float32: sums in another order
RECALL = RecallSettings((0.2, 0.4))
ELSEWHERE = [[3, 1, 2, 0, 3, 2], [1, 1, 0, 2]]

token = st.integers(0, 3)
texts = st.lists(st.lists(token, min_size=1, max_size=5), min_size=1, max_size=6)


def prompt_of(tokens: Sequence[int], elsewhere: Sequence[Sequence[int]] = ELSEWHERE) -> Prompt:
    return Prompt(list(tokens), b"", "", [5], elsewhere=elsewhere)


def encoded(tokens: Sequence[int]) -> KVSlot:
    slot = CACHE._new_slot()
    CACHE.encode(slot, list(tokens))
    return slot


def start(length: int) -> list[int]:
    return [(11 * index) % 64 for index in range(length)]


def reading_of(tokens: Sequence[int], read: Sequence[Sequence[int]] = ()) -> Reading:
    reading = Reading(MODEL, encoded(tokens), Recall(RECALL, ELSEWHERE, tokens), ELSEWHERE)
    if read:
        Continuations(reading).log_probabilities([[*text, 0] for text in read])
    return reading


def log_probabilities(reading: Reading, asked: Sequence[Sequence[int]]) -> list[float]:
    return [each for row in Continuations(reading).log_probabilities(asked) for each in row]


@pytest.mark.parametrize("length", [1, WINDOW - 2, WINDOW, 3 * WINDOW])
@settings(max_examples=30)
@given(before=texts, path=st.lists(token, max_size=3), asked=texts)
def test_a_prompt_that_grew_by_what_was_read_is_as_one_read_afresh(
    length: int, before: list[list[int]], path: list[int], asked: list[list[int]]
):
    reading = reading_of(start(length), [*before, *([path] if path else [])])
    grown = [*start(length), *path]
    assert reading.go_on(prompt_of(grown), None)
    assert reading.slot.tokens == grown
    fresh = reading_of(grown)
    assert fresh.slot.last_hidden is not None
    assert reading.slot.last_hidden is not None
    torch.testing.assert_close(reading.slot.last_hidden, fresh.slot.last_hidden, atol=TOLERANCE, rtol=0)
    for index in range(len(MODEL.config.layers)):
        torch.testing.assert_close(reading.slot.keys(index), fresh.slot.keys(index), atol=TOLERANCE, rtol=0)
    assert log_probabilities(reading, asked) == pytest.approx(log_probabilities(fresh, asked), abs=TOLERANCE)


def test_what_was_read_is_there_without_a_pass(monkeypatch: pytest.MonkeyPatch):
    reading = reading_of(start(20), [[1, 2, 3], [1, 2, 0], [2]])
    passes, encode = list[int](), MODEL.encode
    monkeypatch.setattr(MODEL, "encode", lambda ids, *others: (passes.append(ids.numel()), encode(ids, *others))[1])
    first = log_probabilities(reading, [[1, 2, 3, 9], [2, 9]])
    assert reading.go_on(prompt_of(start(20)), None)
    assert log_probabilities(reading, [[1, 2, 3, 9], [2, 9]]) == first
    assert reading.go_on(prompt_of([*start(20), 1]), None)
    assert log_probabilities(reading, [[2, 3, 9]]) == first[1:4]
    assert reading.go_on(prompt_of([*start(20), 1, 2, 0]), None)
    assert reading.num_nodes == 0
    assert not passes
    log_probabilities(reading, [[2, 9]])
    assert passes == [1]


def test_searches_of_one_reading_number_what_they_ask_for_by_themselves():
    reading = reading_of(start(9), [[3, 2], [1]])
    known, new = Continuations(reading), dict[Step, int]()
    assert known.num_nodes == 0
    one = known.place((None, 1), new)
    assert (one, known.place((one, 0), new)) == (0, 1)
    follow = known.read(new)
    assert known.of_steps([(one, 7)]) == pytest.approx([float(follow[0, 7])])


@pytest.mark.parametrize(
    "prompt",
    [
        prompt_of([*start(20)[:-1], 63]),
        prompt_of([*start(20), 3]),
        prompt_of([*start(20), 1, 1]),
        prompt_of(start(19)),
        prompt_of(start(20), [[1, 2], [3]]),
        prompt_of(start(20), ()),
    ],
    ids=["another end", "not read", "not read to its end", "shorter", "other text elsewhere", "none elsewhere"],
)
def test_another_prompt_is_told_from_its_own(prompt: Prompt):
    reading = reading_of(start(20), [[1, 2], [2]])
    before = log_probabilities(reading, [[1, 2, 9]])
    assert not reading.go_on(prompt, None)
    assert reading.slot.tokens == start(20)
    assert log_probabilities(reading, [[1, 2, 9]]) == before


def test_it_is_of_no_use_once_its_slot_was_used_otherwise():
    kept = prompt_of(start(20))
    for use in (
        lambda slot: TreeKV(MODEL, slot).grow([None], [3]),
        lambda slot: CACHE.encode(slot, [3]),
        lambda slot: (CACHE.encode(slot, [3]), slot.trim(20)),
        lambda slot: Reading(MODEL, slot),
        lambda slot: read(MODEL, slot, [3]),
    ):
        reading = reading_of(start(20), [[1, 2]])
        assert reading.is_whole
        use(reading.slot)
        assert not reading.is_whole
        assert not reading.go_on(kept, None)


def test_of_too_many_nodes_those_stay_that_the_next_word_may_begin_with():
    many = [[0, *divmod(number, 32)] for number in range(MOST_KEPT)]
    reading, kept = reading_of(start(9), [*many, [1, 2], [1, 3]]), prompt_of(start(9))
    asked = [[0, 1, 2, 9], [1, 2, 9], [1, 3, 9]]
    before = log_probabilities(reading, asked)
    banned = torch.ones(64, dtype=torch.bool)
    banned[1] = False
    assert reading.go_on(kept, banned)
    assert reading.num_nodes == 3
    assert log_probabilities(reading, asked[1:]) == before[4:]
    assert log_probabilities(reading, asked) == pytest.approx(before, abs=TOLERANCE)


def test_what_is_still_too_much_goes():
    many = [[0, *divmod(number, 32)] for number in range(MOST_KEPT)]
    for banned in (None, torch.zeros(64, dtype=torch.bool)):
        reading = reading_of(start(9), many)
        before = log_probabilities(reading, many[:3])
        assert reading.go_on(prompt_of(start(9)), banned)
        assert reading.num_nodes == 0
        assert log_probabilities(reading, many[:3]) == pytest.approx(before, abs=TOLERANCE)


def test_what_an_error_interrupted_is_of_no_use(monkeypatch: pytest.MonkeyPatch):
    reading = reading_of(start(20), [[1, 2]])
    with monkeypatch.context() as patched:
        patched.setattr(MODEL, "encode", fail)
        with pytest.raises(MemoryError):
            log_probabilities(reading, [[3, 9]])
    assert not reading.go_on(prompt_of(start(20)), None)


def fail(*_: object) -> None:
    raise MemoryError


def test_memory_that_a_long_search_took_is_given_back():
    reading = reading_of(start(9), [[1, *divmod(number, 48)] for number in range(3 * ROOM)])
    assert len(reading._follow) > 3 * ROOM
    assert reading.go_on(prompt_of([*start(9), 1, 1]), None)
    assert reading.num_nodes == 48
    assert len(reading._follow) <= 2 * ROOM
