"""The device and the host draw the same numbers, and they are random."""

import pytest
import torch
import triton
import triton.language as tl

from midfill.kernels.launch import launch
from midfill.kernels.philox import (
    RENOISE,
    SAMPLES,
    below,
    below_reference,
    exponential,
    exponential_reference,
    noise_reference,
    philox,
    philox_reference,
    uniform,
    uniform_reference,
)

KNOWN = [
    # Key and counter all zeros, all ones, and digits of pi: the vectors of Random123's own tests.
    (0, (0, 0, 0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    (2**64 - 1, (2**32 - 1,) * 4, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        0x299F31D0A4093822,
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@triton.jit
def _kernel(
    seed_ptr, step_ptr, words_ptr, uniforms_ptr, numbers_ptr, below_ptr, size, STREAM: tl.constexpr, N: tl.constexpr
):
    place = 1000 + tl.arange(0, N)
    words = philox(tl.load(seed_ptr), place, tl.program_id(0), tl.load(step_ptr), STREAM)
    at = tl.program_id(0) * N + tl.arange(0, N)
    for i in tl.static_range(4):
        tl.store(words_ptr + i * tl.num_programs(0) * N + at, words[i].to(tl.int64))
    tl.store(uniforms_ptr + at, uniform(words[0]))
    tl.store(numbers_ptr + at, exponential(words[0]))
    tl.store(below_ptr + at, below(words[0], size))


@pytest.mark.parametrize(("key", "counter", "wanted"), KNOWN)
def test_the_words_are_philoxs(key: int, counter: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    seed = torch.tensor([key - 2**64 if key >= 2**63 else key])
    place, row, step, stream = (torch.tensor([value]) for value in counter)
    words = philox_reference(seed, place, row, step, int(stream))
    assert words[:, 0].tolist() == list(wanted)


@pytest.mark.parametrize("key", [0, 7, 2**62 + 12345, -1])
def test_kernels_draw_what_the_definition_says(key: int, device: torch.device) -> None:
    rows, count, size = 3, 128, 1000
    seed, step = torch.tensor([key], device=device), torch.tensor([5], device=device)
    words = torch.empty(4, rows, count, dtype=torch.int64, device=device)
    uniforms, numbers = (torch.empty(rows, count, device=device) for _ in range(2))
    integers = torch.empty(rows, count, dtype=torch.int64, device=device)
    launch(_kernel, [rows], seed, step, words, uniforms, numbers, integers, size, RENOISE, count)
    place, row = 1000 + torch.arange(count, device=device), torch.arange(rows, device=device)[:, None]
    wanted = philox_reference(seed, place, row, step, RENOISE)
    assert torch.equal(words, wanted)
    assert torch.equal(uniforms, uniform_reference(wanted[0]))
    assert torch.equal(integers, below_reference(wanted[0], size))
    torch.testing.assert_close(numbers, exponential_reference(wanted[0]), rtol=2e-6, atol=0)


def test_a_uniform_number_is_never_0_nor_1() -> None:
    uniforms = uniform_reference(torch.tensor([0, 1, 2**31, 2**32 - 2, 2**32 - 1]))
    assert (uniforms > 0).all()
    assert (uniforms < 1).all()
    assert torch.isfinite(exponential_reference(torch.tensor([0, 2**32 - 1]))).all()


def test_an_integer_is_below_its_size() -> None:
    assert below_reference(torch.tensor([0, 2**32 - 1]), 262_144).tolist() == [0, 262_143]


def test_each_number_is_as_likely_as_any_other() -> None:
    seed, step = torch.tensor([3]), torch.tensor([0])
    counts = noise_reference(seed, step, (64, 256), 64, RENOISE).flatten().bincount(minlength=64)
    chi_squared = ((counts - 256.0) ** 2 / 256).sum().item()
    assert 34 < chi_squared < 103  # 63 degrees of freedom: one in 1,000 to either side


def test_steps_rows_and_streams_draw_their_own() -> None:
    seed, place = torch.tensor([3]), torch.arange(64)
    zero, one = torch.tensor([0]), torch.tensor([1])
    words = [
        philox_reference(seed, place, zero, zero, SAMPLES),
        philox_reference(seed, place, one, zero, SAMPLES),
        philox_reference(seed, place, zero, one, SAMPLES),
        philox_reference(seed, place, zero, zero, RENOISE),
        philox_reference(seed + 1, place, zero, zero, SAMPLES),
    ]
    assert len(torch.cat([each.flatten() for each in words]).unique()) == 5 * 4 * 64
