"""The end of a denoise step, on the device: accept, renoise, clamp the pins, and see which canvases have settled.

Bytes moved: some 10 KB a canvas; what it saves is the host, which need not know of a step before the next is queued.
One program a canvas. Acceptance wants each position's entropies that stand before its own in order: these are added by
comparing each pair, at most 256 x 256, in chunks that fit in registers, because a sort of pairs compiles to dozens of
exchanges between lanes and its result would still have to find its way back to the positions.
Source: EB-Sampler, https://arxiv.org/abs/2505.24857, for what is accepted; `EntropyBoundSampler` in transformers.
"""

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from midfill.kernels.launch import block_of, launch
from midfill.kernels.philox import NOISE, RENOISE, below, noise_reference, philox

LARGEST_CANVAS = 256
CHUNK = 16
"""Positions compared with all at once: 32 pairs a thread."""


class Rules(NamedTuple):
    """When a position is accepted and a canvas has settled; entropies in nats."""

    entropy_bound: float
    stability_threshold: int
    confidence_threshold: float
    """Nats: a stable canvas is done once the mean entropy of its hole is below this."""
    settle_entropy: float = 0.0
    """Nats: it is as well once each entropy of its hole is below this; 0 for never."""


class Canvases(NamedTuple):
    """What one step leaves to the next, of B canvases of C positions."""

    noisy: Tensor
    """[B, C] int64: what the next pass reads."""
    best: Tensor
    """[B, C] int64: the most probable tokens, pins in place."""
    entropies: Tensor
    """[B, C] float32: of the step that `best` is of; 0 on pins."""
    stable: Tensor
    """[B] int64: steps for which `best` has stayed the same."""
    done: Tensor
    """[B] bool: canvases that have settled."""


class Predicted(NamedTuple):
    """What a step says of each position: three times [B, C], or [B·C]. What it says of pins is not looked at."""

    argmax: Tensor
    drawn: Tensor
    entropy: Tensor


def begin_reference(pins: Tensor, hole: Tensor, vocab: int, seed: Tensor) -> Canvases:
    """Canvases before the first step: pins [B, C] int64 where `hole` [B, C] is not, noise where it is."""
    noise = noise_reference(seed, torch.zeros_like(seed), (pins.shape[0], pins.shape[1]), vocab, NOISE)
    zeros = torch.zeros_like(pins)
    return Canvases(torch.where(hole, noise, pins), pins.clone(), zeros.float(), zeros[:, 0], zeros[:, 0].bool())


def accept_reference(entropies: Tensor, hole: Tensor, entropy_bound: float) -> Tensor:
    """Hole positions from the lowest entropy up, while those taken before stay within the bound in sum: [B, C] bool.

    Of equal entropies the earlier position comes first.
    """
    ordered, order = entropies.masked_fill(~hole, torch.inf).sort(dim=-1, stable=True)
    spent_before = ordered.cumsum(dim=-1) - ordered
    return torch.zeros_like(hole).scatter(-1, order, spent_before <= entropy_bound) & hole


def settle_reference(
    canvases: Canvases,
    predicted: Predicted,
    pins: Tensor,
    hole: Tensor,
    rules: Rules,
    vocab: int,
    step: Tensor,
    seed: Tensor,
) -> Canvases:
    """The canvases after step `step` [1] int64; those that were done before stay as they were."""
    argmax, drawn, entropies = (each.view(pins.shape) for each in predicted)
    accepted = accept_reference(entropies, hole, rules.entropy_bound)
    noise = noise_reference(seed, step, (pins.shape[0], pins.shape[1]), vocab, RENOISE)
    best = torch.where(hole, argmax, pins)
    entropies = entropies.masked_fill(~hole, 0.0)
    same = (best == canvases.best).all(dim=-1) & (step > 0)
    stable = torch.where(same, canvases.stable + 1, 0)
    is_sure = entropies.sum(dim=-1) / hole.sum(dim=-1).clamp(min=1) < rules.confidence_threshold
    is_sure |= entropies.amax(dim=-1) < rules.settle_entropy
    done = (stable >= rules.stability_threshold) & is_sure
    noisy = torch.where(hole, torch.where(accepted, drawn, noise), pins)
    frozen = canvases.done
    return Canvases(
        torch.where(frozen[:, None], canvases.noisy, noisy),
        torch.where(frozen[:, None], canvases.best, best),
        torch.where(frozen[:, None], canvases.entropies, entropies),
        torch.where(frozen, canvases.stable, stable),
        frozen | done,
    )


@triton.jit(do_not_specialize=["size"])
def _begin_kernel(
    noisy_ptr,
    best_ptr,
    entropies_ptr,
    stable_ptr,
    done_ptr,
    pins_ptr,
    hole_ptr,
    seed_ptr,
    size,
    vocab,
    STREAM: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # One program a canvas.
    row = tl.program_id(0)
    positions = tl.arange(0, BLOCK)
    inside = positions < size
    at = row * size + positions
    pins = tl.load(pins_ptr + at, mask=inside, other=0)
    hole = tl.load(hole_ptr + at, mask=inside, other=0) != 0
    word = philox(tl.load(seed_ptr), positions, row, tl.zeros_like(row), STREAM)[0]
    tl.store(noisy_ptr + at, tl.where(hole, below(word, vocab), pins), mask=inside)
    tl.store(best_ptr + at, pins, mask=inside)
    tl.store(entropies_ptr + at, tl.zeros((BLOCK,), tl.float32), mask=inside)
    tl.store(stable_ptr + row, 0)
    tl.store(done_ptr + row, False)


@triton.jit
def _spent_before(entropies_ptr, hole_ptr, own, positions, start, size, BLOCK: tl.constexpr, CHUNK: tl.constexpr):
    # The sum of the entropies that come before `own`, those of a row at `positions`, in the order of acceptance.
    spent = tl.zeros((BLOCK,), tl.float32)
    for chunk in range(0, size, CHUNK):
        others = chunk + tl.arange(0, CHUNK)
        inside = others < size
        is_open = tl.load(hole_ptr + start + others, mask=inside, other=0) != 0
        entropies = tl.load(entropies_ptr + start + others, mask=is_open, other=float("inf"))[None, :]
        is_earlier = others[None, :] < positions[:, None]
        is_before = (entropies < own[:, None]) | ((entropies == own[:, None]) & is_earlier)
        spent += tl.sum(tl.where(is_before & is_open[None, :], entropies, 0.0), 1)
    return spent


@triton.jit(do_not_specialize=["size"])
def _settle_kernel(
    noisy_ptr,
    best_ptr,
    entropies_ptr,
    stable_ptr,
    done_ptr,
    argmax_ptr,
    drawn_ptr,
    predicted_entropies_ptr,
    pins_ptr,
    hole_ptr,
    step_ptr,
    seed_ptr,
    entropy_bound,
    stability_threshold,
    confidence_threshold,
    settle_entropy,
    size,
    vocab,
    STREAM: tl.constexpr,
    BLOCK: tl.constexpr,
    CHUNK: tl.constexpr,
):
    # One program a canvas.
    row = tl.program_id(0)
    if tl.load(done_ptr + row):
        return
    step = tl.load(step_ptr)
    positions = tl.arange(0, BLOCK)
    inside = positions < size
    start = row * size
    at = start + positions
    hole = tl.load(hole_ptr + at, mask=inside, other=0) != 0
    pins = tl.load(pins_ptr + at, mask=inside, other=0)
    entropies = tl.load(predicted_entropies_ptr + at, mask=hole, other=0.0)

    spent = _spent_before(predicted_entropies_ptr, hole_ptr, entropies, positions, start, size, BLOCK, CHUNK)
    word = philox(tl.load(seed_ptr), positions, row, step, STREAM)[0]
    drawn = tl.load(drawn_ptr + at, mask=hole, other=0)
    kept = tl.where(spent <= entropy_bound, drawn, below(word, vocab))
    tl.store(noisy_ptr + at, tl.where(hole, kept, pins), mask=inside)

    best = tl.where(hole, tl.load(argmax_ptr + at, mask=hole, other=0), pins)
    differs = (best != tl.load(best_ptr + at, mask=inside, other=0)) & inside
    is_same = (tl.sum(differs.to(tl.int32), 0) == 0) & (step > 0)
    stable = tl.where(is_same, tl.load(stable_ptr + row) + 1, 0)
    mean = tl.sum(entropies, 0) / tl.maximum(tl.sum(hole.to(tl.int32), 0), 1).to(tl.float32)
    is_sure = (mean < confidence_threshold) | (tl.max(entropies, 0) < settle_entropy)
    tl.store(best_ptr + at, best, mask=inside)
    tl.store(entropies_ptr + at, entropies, mask=inside)
    tl.store(stable_ptr + row, stable)
    tl.store(done_ptr + row, (stable >= stability_threshold) & is_sure)


def begin(canvases: Canvases, pins: Tensor, hole: Tensor, vocab: int, seed: Tensor) -> None:
    """`begin_reference` by one kernel, written into `canvases`."""
    _check(canvases, pins, hole)
    size = pins.shape[1]
    arguments = *canvases, pins, hole, seed, size, vocab, NOISE, block_of(size)
    launch(_begin_kernel, [len(pins)], *arguments)


def settle(
    canvases: Canvases,
    predicted: Predicted,
    pins: Tensor,
    hole: Tensor,
    rules: Rules,
    vocab: int,
    step: Tensor,
    seed: Tensor,
) -> None:
    """`settle_reference` by one kernel, written into `canvases`. The step is the caller's to advance."""
    _check(canvases, pins, hole)
    for each, dtype in zip(predicted, (torch.int64, torch.int64, torch.float32), strict=True):
        assert each.numel() == pins.numel(), f"{tuple(each.shape)} for {tuple(pins.shape)}"
        assert each.dtype == dtype, f"wanted {dtype}, got {each.dtype}"
        assert each.is_contiguous()
    size = pins.shape[1]
    inputs = *canvases, *predicted, pins, hole, step, seed
    launch(_settle_kernel, [len(pins)], *inputs, *rules, size, vocab, RENOISE, block_of(size), CHUNK)


def _check(canvases: Canvases, pins: Tensor, hole: Tensor) -> None:
    """What only our own bug can break."""
    assert pins.ndim == 2, f"wanted [B, C], got {tuple(pins.shape)}"
    assert 1 <= pins.shape[1] <= LARGEST_CANVAS, f"{pins.shape[1]} positions"
    for each in (*canvases[:3], pins, hole):
        assert each.shape == pins.shape, f"{tuple(each.shape)} for {tuple(pins.shape)}"
        assert each.is_contiguous()
    for each in canvases[3:]:
        assert each.shape == pins.shape[:1], f"{tuple(each.shape)} for {len(pins)} canvases"
