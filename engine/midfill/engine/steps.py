"""How many denoise steps there is time for: from what a step takes here, measured once, when a model is loaded.

A clock that ran along with a decode would give a busy machine other fills for the same seed.
"""

import time
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import msgspec
import numpy as np
import torch

from midfill.engine.canvas import DenoiseSettings, Layout, decode
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.draws import Draws
from midfill.engine.kv import KVSlot

LEAST_STEPS = 4
"""With fewer, what is told to a step of the step before hardly matters, and a fill is one draft."""
TIMED_STEPS = 3
"""The first of them is not counted: it makes what the others use."""


class StepTimes(NamedTuple):
    """What denoise steps take over few positions, and over many."""

    positions: Sequence[int]
    """On all canvases together, ascending."""
    ms: Sequence[float]
    """Milliseconds of a step over so many; they do not descend."""

    def of(self, positions: int) -> float:
        """Milliseconds of a step over `positions`: on a line between those measured, and beyond them in proportion."""
        return float(np.interp(positions, self.positions, self.ms)) * max(1.0, positions / self.positions[-1])


def steps_within(target_ms: float, step_ms: float, most: int) -> int:
    """Steps for which there is time: at least 4, and never more than `most`. Pure."""
    return min(most, max(LEAST_STEPS, int(target_ms / step_ms)))


def budgeted(
    settings: DenoiseSettings, target_ms: float | None, times: StepTimes | None, positions: int
) -> DenoiseSettings:
    """`settings` with as many steps over so many positions as end within `target_ms`; the temperature falls over those.

    As they are where no target is set or no step was measured. Pure.
    """
    if target_ms is None or times is None:
        return settings
    num_steps = steps_within(target_ms, times.of(positions), settings.max_steps)
    return msgspec.structs.replace(settings, max_steps=num_steps)


def step_times(model: DiffusionGemma, num_rows: int, sizes: Sequence[int]) -> StepTimes:
    """Measures steps of `model` over `num_rows` canvases of each of `sizes`, behind an empty prompt.

    A full one adds little: its KV is small beside the weights that a step reads.
    """
    ascending = sorted(set(sizes))
    measured = [_step_ms(model, num_rows, size) for size in ascending]
    # Fewer positions do not take longer: where they seem to, it was something else that took the time.
    ms = [*accumulate(reversed(measured), min)][::-1]
    return StepTimes([num_rows * size for size in ascending], ms)


def _step_ms(model: DiffusionGemma, num_rows: int, size: int) -> float:
    """The least that a step took: what else the machine does only makes it longer."""
    device = model.embed_tokens.weight.device
    slot = KVSlot(model.config, device, model.kv_dtype)
    tokens = torch.zeros(num_rows, size, dtype=torch.int64, device=device)
    layout = Layout(tokens, torch.ones_like(tokens, dtype=torch.bool))
    never_sure = DenoiseSettings(max_steps=TIMED_STEPS, confidence_threshold=-1.0)
    ends = [time.perf_counter() for _ in decode(model, slot, layout, never_sure, Draws(0, device))]
    return min(end - start for start, end in pairwise(ends)) * 1e3
