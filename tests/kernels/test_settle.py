"""What a denoise step leaves to the next: the definition's canvases to the bit, and the definition's own promises."""

import pytest
import torch
from tests.kernels.builds import Build, compile_all
from torch import Tensor

from midfill.kernels.settle import (
    CHUNK,
    Canvases,
    Predicted,
    Rules,
    accept_reference,
    begin,
    begin_reference,
    settle,
    settle_reference,
)

VOCAB = 1000
RULES = Rules(entropy_bound=0.1, stability_threshold=1, confidence_threshold=0.03)


def canvases(device: torch.device, count: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pins and hole [count, size], and a seed."""
    draws = torch.Generator(device).manual_seed(size)
    pins = torch.randint(0, VOCAB, (count, size), generator=draws, device=device)
    hole = torch.rand(count, size, generator=draws, device=device) < 0.7
    return pins, hole, torch.tensor([2**40 + 1], device=device)


def predicted(hole: Tensor, draws: torch.Generator) -> Predicted:
    """Predictions that often stay the same, and are sometimes sure: [B, C], poisoned where nothing may be read."""
    shape, device = hole.shape, hole.device
    argmax, drawn = (torch.randint(0, high, shape, generator=draws, device=device) for high in (2, VOCAB))
    sureness = 0.08 * torch.rand(shape[0], 1, generator=draws, device=device)
    entropy = sureness * torch.rand(shape, generator=draws, device=device)
    poisons = -1, -1, torch.nan
    return Predicted(
        *(each.masked_fill(~hole, poison) for each, poison in zip((argmax, drawn, entropy), poisons, strict=True))
    )


@pytest.mark.parametrize("size", [1, CHUNK - 1, CHUNK + 1, 64, 255, 256])
def test_it_is_the_definition_over_several_steps(size: int, device: torch.device) -> None:
    pins, hole, seed = canvases(device, 4, size)
    rules = RULES._replace(stability_threshold=size % 2, settle_entropy=0.07)
    draws = torch.Generator(device).manual_seed(size)
    wanted = begin_reference(pins, hole, VOCAB, seed)
    state = Canvases(*(torch.full_like(each, True) for each in wanted))
    begin(state, pins, hole, VOCAB, seed)
    for step in range(5):
        assert all(torch.equal(one, other) for one, other in zip(state, wanted, strict=True))
        told = predicted(hole, draws)
        at = torch.tensor([step], device=device)
        wanted = settle_reference(wanted, told, pins, hole, rules, VOCAB, at, seed)
        settle(state, told, pins, hole, rules, VOCAB, at, seed)
    assert all(torch.equal(one, other) for one, other in zip(state, wanted, strict=True))


def step_of(
    state: Canvases,
    argmax: list[int],
    entropy: float | list[float],
    step: int,
    pins: Tensor,
    hole: Tensor,
    rules: Rules = RULES,
) -> None:
    told = Predicted(
        torch.tensor([argmax], device=pins.device),
        torch.tensor([argmax], device=pins.device),
        torch.tensor(entropy, device=pins.device).expand(pins.shape).contiguous(),
    )
    at, seed = torch.tensor([step], device=pins.device), torch.tensor([1], device=pins.device)
    settle(state, told, pins, hole, rules, VOCAB, at, seed)


def begun(pins: Tensor, hole: Tensor) -> Canvases:
    return begin_reference(pins, hole, VOCAB, torch.tensor([1], device=pins.device))


def test_a_canvas_settles_when_its_hole_is_sure_and_stays_the_same(device: torch.device) -> None:
    pins, hole = torch.tensor([[1, 2, 3]], device=device), torch.tensor([[True, True, False]], device=device)
    state = begun(pins, hole)
    seen = []
    for step, (argmax, entropy) in enumerate([([1, 2, 9], 0.0), ([1, 3, 9], 0.0), ([1, 3, 8], 0.05), ([1, 3, 8], 0.0)]):
        step_of(state, argmax, entropy, step, pins, hole)
        seen.append((state.best.tolist()[0], state.stable.item(), state.done.item()))
    assert seen == [([1, 2, 3], 0, False), ([1, 3, 3], 0, False), ([1, 3, 3], 1, False), ([1, 3, 3], 2, True)]


@pytest.mark.parametrize(
    ("entropies", "settle_entropy", "is_done"),
    [
        ([0.04, 0.04, 9.0], 0.05, True),  # the last is a pin's
        ([0.04, 0.06, 9.0], 0.05, False),
        ([0.04, 0.04, 9.0], 0.0, False),
        ([0.0, 0.05, 9.0], 0.05, True),  # by the mean, which is enough
    ],
)
def test_a_canvas_settles_too_where_each_position_of_its_hole_is_sure(
    entropies: list[float], settle_entropy: float, is_done: bool, device: torch.device
) -> None:
    pins, hole = torch.tensor([[1, 2, 3]], device=device), torch.tensor([[True, True, False]], device=device)
    rules, state = RULES._replace(settle_entropy=settle_entropy), begun(pins, hole)
    for step in range(2):
        assert not state.done.item()
        step_of(state, [5, 6, 7], entropies, step, pins, hole, rules)
    assert state.done.item() == is_done


def test_the_first_step_is_never_stable_even_if_it_says_what_stood_there(device: torch.device) -> None:
    pins, hole = torch.tensor([[5, 6]], device=device), torch.ones(1, 2, dtype=torch.bool, device=device)
    state = begun(pins, hole)
    step_of(state, [5, 6], 0.0, 0, pins, hole)
    assert (state.stable.item(), state.done.item()) == (0, False)


def test_pins_do_not_dilute_the_mean(device: torch.device) -> None:
    pins, hole = (
        torch.zeros(1, 64, dtype=torch.int64, device=device),
        torch.zeros(1, 64, dtype=torch.bool, device=device),
    )
    hole[0, 40] = True
    state = begun(pins, hole)
    for step in range(3):
        step_of(state, [7] * 64, 0.04, step, pins, hole)
    assert not state.done.item()


def test_canvases_that_are_done_stay_as_they_are(device: torch.device) -> None:
    pins, hole, seed = canvases(device, 2, 20)
    state = begin_reference(pins, hole, VOCAB, seed)
    state.done[1] = True
    before = [each.clone() for each in state]
    told = predicted(hole, torch.Generator(device).manual_seed(1))
    settle(state, told, pins, hole, RULES, VOCAB, torch.tensor([1], device=device), seed)
    assert all(torch.equal(one[1], other[1]) for one, other in zip(state, before, strict=True))
    assert not torch.equal(state.best[0], before[1][0])


def test_the_surest_position_is_always_accepted_and_pins_never() -> None:
    entropies = torch.tensor([[5.0, 4.0, 0.0, 4.0], [0.04, 0.05, 0.0, 0.03]])
    hole = torch.tensor([[True, True, False, True], [True, True, True, True]])
    accepted = accept_reference(entropies, hole, 0.1)
    assert accepted.tolist() == [[False, True, False, False], [True, True, True, True]]


def test_what_is_not_accepted_is_noise_anew(device: torch.device) -> None:
    pins, hole = (
        torch.zeros(1, 200, dtype=torch.int64, device=device),
        torch.ones(1, 200, dtype=torch.bool, device=device),
    )
    state = begun(pins, hole)
    step_of(state, [7] * 200, 3.0, 0, pins, hole)
    first = state.noisy.clone()
    step_of(state, [7] * 200, 3.0, 1, pins, hole)
    assert first[0, 0].item() == state.noisy[0, 0].item() == 7
    assert (first != state.noisy).sum().item() > 190
    assert ((first >= 0) & (first < VOCAB)).all()


def test_a_canvas_too_large_is_refused(device: torch.device) -> None:
    pins, hole, seed = canvases(device, 1, 257)
    with pytest.raises(AssertionError, match="257"):
        begin(begin_reference(pins, hole, VOCAB, seed), pins, hole, VOCAB, seed)


def test_it_compiles_for_every_card_without_a_spill() -> None:
    state = {
        "noisy_ptr": "*i64",
        "best_ptr": "*i64",
        "entropies_ptr": "*fp32",
        "stable_ptr": "*i64",
        "done_ptr": "*i1",
        "pins_ptr": "*i64",
        "hole_ptr": "*i1",
        "seed_ptr": "*i64",
        "size": "i32",
        "vocab": "i32",
    }
    told = {"argmax_ptr": "*i64", "drawn_ptr": "*i64", "predicted_entropies_ptr": "*fp32", "step_ptr": "*i64"}
    bounds = dict.fromkeys(["entropy_bound", "confidence_threshold", "settle_entropy"], "fp32")
    rules = bounds | {"stability_threshold": "i32"}
    constants = {"STREAM": 1, "BLOCK": 256}
    varying = ("size",)
    begins = Build("settle", "_begin_kernel", state, constants, varying=varying)
    settles = Build("settle", "_settle_kernel", state | told | rules, constants | {"CHUNK": CHUNK}, varying=varying)
    for results in compile_all([begins, settles]):
        assert all(built.fits and built.spilled_bytes == 0 for built in results)
