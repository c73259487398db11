"""`midfill.engine.sampling` against transformers' sampler and schedule."""

from typing import Any

import pytest
import torch
from tests.engine.parity import Record
from transformers.models.diffusion_gemma.generation_diffusion_gemma import (
    EntropyBoundSampler,
    EntropyBoundSamplerConfig,
    LinearTemperatureScheduleLogitsProcessor,
)

from midfill.engine.sampling import accept_mask, entropy, temperature

C, V = 32, 512


@pytest.mark.parametrize("bound", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("scale", [1, 4, 8, 12, 16, 24, 40])
def test_the_same_positions_are_accepted(scale: int, bound: float, record_property: Record) -> None:
    generator = torch.Generator().manual_seed(scale)
    sureness = torch.rand(4, C, 1, generator=generator)
    logits = scale * sureness * torch.randn(4, C, V, generator=generator)
    tokens = torch.zeros(4, C, dtype=torch.long)
    sampler: Any = EntropyBoundSampler(EntropyBoundSamplerConfig(bound), C, V, max_denoising_steps=48)
    sampler.accept_canvas(tokens, tokens, logits, cur_step=1)
    entropies = entropy(logits.softmax(dim=-1), logits.log_softmax(dim=-1))
    accepted = accept_mask(entropies, torch.ones(4, C, dtype=torch.bool), bound)
    record_property("accepted positions", ("random logits", int((accepted != sampler.accepted_token_mask).sum())))
    assert torch.equal(accepted, sampler.accepted_token_mask)


@pytest.mark.parametrize("num_steps", [1, 6, 48])
def test_the_temperature_falls_alike(num_steps: int) -> None:
    schedule: Any = LinearTemperatureScheduleLogitsProcessor(0.4, 0.8, num_steps)
    ones = torch.ones(1, 1, 1)
    for step in range(num_steps):
        theirs = 1 / schedule(torch.empty(0, dtype=torch.long), ones, cur_step=num_steps - step).item()
        assert temperature(step, num_steps, 0.4, 0.8) == pytest.approx(theirs, rel=1e-6)
