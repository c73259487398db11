"""Which graphs are made when a model is loaded, and what happens where no kernel can be."""

import os
import subprocess
import sys

import pytest
from tests.engine.small_model import small_model
from tests.engine.test_kernel_drafter import drafter_for
from tests.kernels.builds import SHARED_LIMITS

from midfill.engine.canvas import DenoiseSettings
from midfill.engine.device_canvas import rows_for
from midfill.engine.infill import CARD_CHUNK, MOST_DRAFTS
from midfill.engine.kernel_drafter import KernelDrafter
from midfill.engine.kernel_passes import MOST_GRAPHED
from midfill.engine.prompt import PromptLimits
from midfill.engine.settings import InfillSettings
from midfill.engine.warm_up import PREFILLS, SCORINGS, canvas_shapes, give_kernels
from midfill.kernels.attention import splits_for
from midfill.kernels.attention_tiles import tile_for, tiles
from midfill.kernels.experts import tile_rows_for
from midfill.kernels.launch import block_of

SETTINGS = InfillSettings(
    limits=PromptLimits(prefix_tokens=64, suffix_tokens=32, quantum_tokens=16),
    denoise=DenoiseSettings(max_steps=2),
    longest_canvas=80,
    longest_candidate=64,
    num_lengths=6,
    num_finalists=3,
    num_draws=1,
    suffix_head=16,
    scored_suffix=4,
)
WITHOUT_KERNELS = """
from tests.engine.small_model import small_model
from tests.engine.test_warm_up import SETTINGS
from midfill.engine.warm_up import give_kernels
give_kernels(model := small_model(head_dim=16), SETTINGS)
assert model.kernels is model.device_canvas is None
"""


def test_canvases_of_every_fill_are_made() -> None:
    shapes = canvas_shapes(SETTINGS)
    for number in range(1, SETTINGS.num_lengths + 1):
        for hole in range(1, SETTINGS.longest_hole + 1):
            assert (rows_for(number), SETTINGS.canvas_size(hole)) in shapes
    assert len(set(shapes)) == len(shapes)


def kernels_of(rows: int, tokens: int, shared_bytes: int) -> set[object]:
    """In which causal passes over `rows` of so many tokens of 26B-A4B differ: as `attend` and `run_experts` choose."""
    found: set[object] = {tile_rows_for(8 * rows * tokens, num_experts=128)}
    for kv_heads, size, longest in ((8, 256, 1024), (2, 512, 1 << 18)):
        each = tokens * 16 // kv_heads
        tile = tile_for(rows * each, size, 2, shared_bytes)
        is_joined = rows == 1 or each % tile.rows == 0
        parts = splits_for(tiles(rows * each, tile) * kv_heads, longest) + (not is_joined)
        is_alone = parts == 1 and size <= 256
        found |= {(size, tile, is_joined, is_alone), None if is_alone else (size, block_of(parts))}
    return found


@pytest.mark.parametrize("shared_bytes", sorted(set(SHARED_LIMITS.values())))
def test_no_pass_of_a_fill_waits_for_a_kernel(shared_bytes: int) -> None:
    made: set[object] = set()
    for shape in (*((1, tokens) for tokens in (*range(1, MOST_GRAPHED + 1), *PREFILLS)), *SCORINGS):
        made |= kernels_of(*shape, shared_bytes)
    for tokens in range(1, CARD_CHUNK + 1):
        assert kernels_of(1, tokens, shared_bytes) <= made, tokens
    for rows in range(2, 21):
        for tokens in range(1, 129):
            assert kernels_of(rows, tokens, shared_bytes) <= made, (rows, tokens)


def test_the_canvases_of_most_positions_are_made_first() -> None:
    positions = [number * size for number, size in canvas_shapes(SETTINGS)]
    assert positions == sorted(positions, reverse=True)


def test_a_model_is_given_kernels() -> None:
    model = small_model(head_dim=16)
    give_kernels(model, SETTINGS)
    assert model.kernels is not None
    assert model.device_canvas is not None


@pytest.mark.parametrize("head_dim", [16, 8])
def test_its_drafter_is_given_them_where_it_is(head_dim: int) -> None:
    model = small_model(head_dim=head_dim)
    drafter = drafter_for(model)
    give_kernels(model, SETTINGS, drafter)
    assert (model.kernels is not None) == (drafter.kernels is not None) == (head_dim == 16)


def test_a_model_stays_as_it_is_where_kernels_cannot_be_built() -> None:
    # In a process of its own, as here kernels are interpreted; without a card, Triton refuses as without a compiler.
    hidden = os.environ | {"TRITON_INTERPRET": "0", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_KERNELS], env=hidden, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert "without kernels" in ended.stderr


@pytest.mark.gpu
def test_on_a_card_all_of_them_are_graphs() -> None:
    model = small_model(head_dim=16).to("cuda")
    drafter = drafter_for(model)
    give_kernels(model, SETTINGS, drafter)
    assert isinstance(drafter.kernels, KernelDrafter)
    assert set(drafter.kernels._drafts) == set(range(1, MOST_DRAFTS + 1))
    assert model.device_canvas is not None
    buffers = model.device_canvas._buffers
    assert {key[:2] for key in buffers} == set(canvas_shapes(SETTINGS))
    assert all(each.run is not None for each in buffers.values())
