"""`midfill.engine.token_tree` and the passes over it against rows and canvases one by one."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.engine.small_model import WINDOW, small_model

from midfill.engine.kv import KVSlot
from midfill.engine.passes import denoise, read_rows, read_tree
from midfill.engine.prefix_cache import PrefixCache
from midfill.engine.token_tree import lineage, token_tree

MODEL = small_model()
TOLERANCE = 1e-4  # float32: sums in another order
PROMPTS = [1, WINDOW - 2, WINDOW - 1, WINDOW, 3 * WINDOW]


def encoded(length: int) -> KVSlot:
    cache = PrefixCache(MODEL, 1 << 30)
    slot = cache._new_slot()
    cache.encode(slot, [(11 * index) % 64 for index in range(length)])
    return slot


@given(st.lists(st.lists(st.integers(0, 2), max_size=5)))
def test_paths_spell_the_continuations_and_no_start_stands_twice(continuations: list[list[int]]):
    tree, seen = token_tree(continuations), lineage(token_tree(continuations))
    assert [[tree.tokens[node] for node in path] for path in tree.paths] == continuations
    starts = {tuple(tokens[:length]) for tokens in continuations for length in range(1, len(tokens) + 1)}
    assert len(tree.tokens) == len(starts)
    for path in tree.paths:
        for place, node in enumerate(path):
            assert sorted(path[: place + 1]) == seen[node].nonzero()[:, 0].tolist()


@torch.inference_mode()
@pytest.mark.parametrize("prompt_length", PROMPTS)
def test_a_node_is_what_the_last_token_of_its_row_is(prompt_length: int):
    slot = encoded(prompt_length)
    continuations = [[3], [4, 5, 6], [4, 5, 9, 9], [(7 * index) % 64 for index in range(WINDOW + 3)]]
    tree = token_tree(continuations)
    nodes = read_tree(MODEL, slot, tree)
    assert len(slot.tokens) == prompt_length
    for tokens, path in zip(continuations, tree.paths, strict=True):
        row = read_rows(MODEL, slot, torch.tensor([tokens]))[0]
        torch.testing.assert_close(nodes[path], row, atol=TOLERANCE, rtol=0)


@torch.inference_mode()
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
