"""`midfill.engine.branches` against whole sequences encoded afresh."""

import pytest
import torch
from tests.engine.small_model import WINDOW, small_model
from torch import Tensor

from midfill.engine.branches import Branches
from midfill.engine.kv import KVSlot
from midfill.engine.prefix_cache import PrefixCache

MODEL = small_model()
CACHE = PrefixCache(MODEL, 1 << 30)
TOLERANCE = 1e-4  # float32: the sums over prompt and branch are taken in another order


def encoded(length: int) -> KVSlot:
    slot = CACHE._new_slot()
    CACHE.encode(slot, [(11 * index) % 64 for index in range(length)])
    return slot


def afresh(slot: KVSlot, continuation: list[int]) -> Tensor:
    """The output at the continuation's last token, all computed anew."""
    ids = torch.tensor([slot.tokens + continuation])
    return MODEL.encode(ids, torch.arange(ids.shape[1]), CACHE._new_slot().attend_causal)[0, -1]


@pytest.mark.parametrize("prompt_length", [1, 3, WINDOW - 2, WINDOW - 1, WINDOW, 3 * WINDOW])
def test_each_branch_is_what_its_whole_sequence_is(prompt_length: int):
    slot = encoded(prompt_length)
    branches = Branches(MODEL, slot)
    branches.reorder([0, 0, 0])
    rows: list[list[int]] = [[], [], []]
    for step in range(WINDOW + 3):  # past the point where a sliding layer sees nothing of the prompt
        tokens = [(7 * step + 13 * row) % 64 for row in range(3)]
        hidden = branches.append(tokens)
        for row, token, found in zip(rows, tokens, hidden, strict=True):
            row.append(token)
            torch.testing.assert_close(found, afresh(slot, row), atol=TOLERANCE, rtol=0)


def test_rows_can_be_kept_dropped_and_doubled_after_each_token():
    slot = encoded(WINDOW - 2)
    branches = Branches(MODEL, slot)
    rows: list[list[int]] = [[]]
    for step, kept in enumerate([[0, 0], [1, 0, 1], [2, 2, 0, 1], [3], [0, 0]]):
        branches.reorder(kept)
        tokens = [(5 * step + 3 * place) % 64 for place in range(len(kept))]
        rows = [[*rows[row], token] for row, token in zip(kept, tokens, strict=True)]
        for row, found in zip(rows, branches.append(tokens), strict=True):
            torch.testing.assert_close(found, afresh(slot, row), atol=TOLERANCE, rtol=0)


def test_the_slot_stays_as_it_was():
    slot, untouched = encoded(WINDOW), encoded(WINDOW)
    branches = Branches(MODEL, slot)
    branches.append([3])
    branches.append([4])
    assert slot.tokens == untouched.tokens
    assert slot.num_bytes == untouched.num_bytes
    for index in range(len(MODEL.config.layers)):
        assert torch.equal(slot.keys(index), untouched.keys(index))
        assert torch.equal(slot.values(index), untouched.values(index))
