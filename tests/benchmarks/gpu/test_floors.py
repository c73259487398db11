"""The floors are those of the project's roofline, which was worked out apart from this code."""

import pytest
import torch
from tests.benchmarks.gpu.floors import Cost, draft_cost, read_cost, step_cost
from tests.benchmarks.gpu.large_model import LARGE, config_of, random_drafter

CONFIG = config_of(LARGE)
TOLERANCE = 0.006
"""The roofline has logits in float32, these have them in bfloat16: 0.4 % of a step of 256."""


@pytest.mark.parametrize(
    ("canvas", "distinct", "gigabytes", "teraflops"),
    [(256, 128.0, 53.9, 2.66), (128, 128.0, 53.1, 1.32), (64, 125.9, 52.0, 0.66), (32, 111.8, 46.7, 0.33)],
)
def test_a_step_costs_what_the_roofline_says(canvas: int, distinct: float, gigabytes: float, teraflops: float) -> None:
    cost = step_cost(CONFIG, canvas, 1, 4096, distinct)
    assert cost.num_bytes / 1e9 == pytest.approx(gigabytes, rel=TOLERANCE)
    assert cost.flops / 1e12 == pytest.approx(teraflops, rel=0.01)


def test_a_token_costs_what_the_roofline_says() -> None:
    assert read_cost(CONFIG, 1, 4096, 8, with_logits=True).num_bytes / 4.3e9 == pytest.approx(1.85, rel=TOLERANCE)


def test_a_draft_costs_what_the_roofline_says() -> None:
    drafter = random_drafter(LARGE, torch.device("meta"), torch.bfloat16)
    num_weights = sum(each.numel() for each in drafter.parameters())
    cost = draft_cost(drafter.config, CONFIG, 4096)
    cached = 2 * 2 * (8 * 256 * 1025 + 2 * 512 * 4096)
    assert cost.num_bytes == pytest.approx(2 * num_weights + cached, rel=1e-4)  # all but the norms
    assert num_weights == pytest.approx(419.7e6, rel=1e-3)


def test_canvases_that_share_a_prompt_read_it_once() -> None:
    one, four = (step_cost(CONFIG, 64, canvases, 65_536, 128) for canvases in (1, 4))
    assert four.num_bytes < 1.05 * one.num_bytes
    assert four.flops > 3.9 * one.flops


def test_a_window_bounds_what_a_long_prompt_costs() -> None:
    short, long = (step_cost(CONFIG, 64, 1, context, 128) for context in (32_768, 65_536))
    full = [layer for layer in CONFIG.layers if not layer.is_sliding]
    more = sum(2 * layer.num_kv_heads * layer.head_dim * 2 for layer in full) * 32_768
    assert long.num_bytes - short.num_bytes == more


def test_a_fill_is_so_many_steps() -> None:
    assert Cost(2.0, 3.0).times(8) == Cost(16.0, 24.0)
