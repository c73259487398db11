"""`midfill.engine.passes`: canvases that leave positions out against whole ones."""

import pytest
import torch
from tests.engine.small_model import WINDOW, small_model

from midfill.engine.kv import KVSlot
from midfill.engine.passes import denoise
from midfill.engine.prefix_cache import PrefixCache
from midfill.engine.tree_kv import TreeKV

MODEL = small_model()
TOLERANCE = 1e-4  # float32: sums in another order
PROMPTS = [1, WINDOW - 2, WINDOW - 1, WINDOW, 3 * WINDOW]


def encoded(length: int) -> KVSlot:
    cache = PrefixCache(MODEL, 1 << 30)
    slot = cache._new_slot()
    cache.encode(slot, [(11 * index) % 64 for index in range(length)])
    return slot


@pytest.mark.parametrize("prompt_length", PROMPTS)
@pytest.mark.parametrize("conditioned", [False, True])
def test_canvases_side_by_side_are_each_what_they_are_alone(prompt_length: int, conditioned: bool):
    slot, sizes = encoded(prompt_length), [5, 16, 9]
    generator = torch.Generator().manual_seed(0)
    canvas = torch.randint(0, 64, (3, 16), generator=generator)
    soft = torch.randn(3, 16, MODEL.config.hidden_size, generator=generator) if conditioned else None
    found = denoise(MODEL, slot, canvas, soft, torch.arange(16) < torch.tensor(sizes)[:, None])
    for row, size in enumerate(sizes):
        own = None if soft is None else soft[row : row + 1, :size]
        alone = denoise(MODEL, slot, canvas[row : row + 1, :size], own)[0]
        torch.testing.assert_close(found[row, :size], alone, atol=TOLERANCE, rtol=0)
        assert not found[row, size:].any()


@pytest.mark.parametrize("prompt_length", PROMPTS)
def test_canvases_neither_see_nor_write_over_what_is_claimed_behind_the_prompt(prompt_length: int):
    slot, bare = encoded(prompt_length), encoded(prompt_length)
    canvas = torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])
    needed = torch.arange(5) < torch.tensor([[4], [3]])
    tree, other = TreeKV(MODEL, slot), TreeKV(MODEL, bare)
    first = tree.grow([None, 0, None], [7, 8, 9])
    slot.claim(tree, 3)
    found, alone = (denoise(MODEL, each, canvas, None, needed) for each in (slot, encoded(prompt_length)))
    torch.testing.assert_close(found, alone, atol=TOLERANCE, rtol=0)
    assert torch.equal(first, other.grow([None, 0, None], [7, 8, 9]))
    assert torch.equal(tree.grow([1, 2], [4, 4]), other.grow([1, 2], [4, 4]))
