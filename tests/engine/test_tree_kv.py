"""`midfill.engine.tree_kv` against whole sequences encoded afresh."""

import itertools

import pytest
import torch
from tests.engine.small_model import WINDOW, small_model
from torch import Tensor

from midfill.engine.kv import GROWTH, KVSlot
from midfill.engine.passes import read_rows
from midfill.engine.prefix_cache import PrefixCache
from midfill.engine.token_tree import token_tree
from midfill.engine.tree_kv import TreeKV

MODEL = small_model()
CACHE = PrefixCache(MODEL, 1 << 30)
TOLERANCE = 1e-4  # float32: the sums over prompt and tree are taken in another order


def encoded(length: int) -> KVSlot:
    slot = CACHE._new_slot()
    CACHE.encode(slot, [(11 * index) % 64 for index in range(length)])
    return slot


def afresh(slot: KVSlot, continuation: list[int]) -> Tensor:
    """The output at the continuation's last token, all computed anew."""
    ids = torch.tensor([slot.tokens + continuation])
    return MODEL.encode(ids, torch.arange(ids.shape[1]), CACHE._new_slot().attend_causal)[0, -1]


@pytest.mark.parametrize("prompt_length", [1, 3, WINDOW - 2, WINDOW - 1, WINDOW, 3 * WINDOW])
def test_each_path_is_what_its_whole_sequence_is(prompt_length: int):
    slot = encoded(prompt_length)
    tree = TreeKV(MODEL, slot)
    nodes: list[int | None] = [None, None, None]
    rows: list[list[int]] = [[], [], []]
    for step in range(WINDOW + 3):  # past the point where a sliding layer sees nothing of the prompt
        tokens = [(7 * step + 13 * row) % 64 for row in range(3)]
        hidden = tree.grow(nodes, tokens)
        nodes = [3 * step + row for row in range(3)]
        for row, token, found in zip(rows, tokens, hidden, strict=True):
            row.append(token)
            torch.testing.assert_close(found, afresh(slot, row), atol=TOLERANCE, rtol=0)


def test_a_tree_in_one_pass_is_what_its_rows_are():
    for prompt_length in (1, WINDOW - 1, 3 * WINDOW):
        slot = encoded(prompt_length)
        continuations = [[3], [4, 5, 6], [4, 5, 9, 9], [(7 * index) % 64 for index in range(WINDOW + 3)]]
        tree = token_tree(continuations)
        nodes = TreeKV(MODEL, slot).grow(tree.parents, tree.tokens)
        for tokens, path in zip(continuations, tree.paths, strict=True):
            row = read_rows(MODEL, slot, torch.tensor([tokens]))[0]
            torch.testing.assert_close(nodes[path], row, atol=TOLERANCE, rtol=0)


def test_any_node_is_gone_on_with_at_any_time_and_new_ones_in_the_same_pass():
    slot = encoded(WINDOW - 2)
    tree = TreeKV(MODEL, slot)
    rows: list[list[int]] = []
    for parents in ([None, 0, 1, None], [1, 1, 4], [0], [None, 6, 8, 9, 9]):
        first = len(rows)
        tokens = [(5 * first + 3 * place) % 64 for place in range(len(parents))]
        rows.extend([] for _ in parents)
        for node, (parent, token) in enumerate(zip(parents, tokens, strict=True), start=first):
            rows[node] = [*([] if parent is None else rows[parent]), token]
        for row, found in zip(rows[first:], tree.grow(parents, tokens), strict=True):
            torch.testing.assert_close(found, afresh(slot, row), atol=TOLERANCE, rtol=0)


def test_a_tree_grows_past_the_room_that_its_slot_had():
    slot = encoded(3)
    tree = TreeKV(MODEL, slot)
    *_, last = tree.grow([None, *range(GROWTH + 9)], [index % 64 for index in range(GROWTH + 10)])
    torch.testing.assert_close(last, afresh(slot, [index % 64 for index in range(GROWTH + 10)]), atol=1e-3, rtol=0)


def test_the_prompt_stays_as_it_was():
    slot, untouched = encoded(WINDOW), encoded(WINDOW)
    tree = TreeKV(MODEL, slot)
    tree.grow([None], [3])
    tree.grow([0], [4])
    assert slot.tokens == untouched.tokens
    for index in range(len(MODEL.config.layers)):
        assert torch.equal(slot.keys(index), untouched.keys(index))
        assert torch.equal(slot.values(index), untouched.values(index))


def test_room_that_could_not_be_had_leaves_the_slot_usable(monkeypatch: pytest.MonkeyPatch):
    slot = encoded(5)
    make, made = slot._empty, itertools.count()

    def fail_later(index: int, capacity: int) -> Tensor:
        if next(made) == 3:
            raise MemoryError
        return make(index, capacity)

    monkeypatch.setattr(slot, "_empty", fail_later)
    with pytest.raises(MemoryError):
        slot.reserve(slot.capacity + 1)
    (found,) = TreeKV(MODEL, slot).grow([None], [9])
    torch.testing.assert_close(found, afresh(slot, [9]), atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("prompt_length", [1, WINDOW - 1, 3 * WINDOW])
def test_a_path_that_became_the_prompts_last_tokens_is_gone_on_from(prompt_length: int):
    slot = encoded(prompt_length)
    tree = TreeKV(MODEL, slot)
    hidden = tree.grow([None, 0, 1, 1, 0, None, 3], [3, 4, 5, 6, 7, 8, 9])
    prompt = [*slot.tokens, 3, 4]
    tree.descend([0, 1], [3, 4], hidden[1].clone(), [3, 6])
    assert slot.tokens == prompt
    assert tree.lineages == [[0], [0, 1]]
    found = tree.grow([0, 1, None], [11, 12, 13])
    for continuation, each in zip(([6, 11], [6, 9, 12], [13]), found, strict=True):
        torch.testing.assert_close(each, afresh(slot, continuation), atol=TOLERANCE, rtol=0)
    CACHE.encode(slot, [14])
    assert slot.last_hidden is not None
    ids = torch.tensor([[*prompt, 14]])
    whole = MODEL.encode(ids, torch.arange(ids.shape[1]), CACHE._new_slot().attend_causal)[0, -1]
    torch.testing.assert_close(slot.last_hidden, whole, atol=TOLERANCE, rtol=0)


def test_what_was_in_the_room_before_is_not_seen():
    slot, clean = encoded(5), encoded(5)
    first = TreeKV(MODEL, slot)
    first.grow([None, 0, None], [9, 8, 7])
    again, alone = (TreeKV(MODEL, each).grow([None, None], [3, 4]) for each in (slot, clean))
    assert torch.equal(again, alone)
