"""Random numbers that are a function of where they are used, so that a device and a host draw the same.

Philox 4x32 with 10 rounds, as `tl.philox` has it: a key of 64 bits, which is the seed, and a counter of four words give
four random words. The counter of a denoise step's numbers is (place, row, step, stream):

    SAMPLES  which token of a row's distribution is drawn: row of the logits; `row_statistics.py` says what of them
             a place is
    RENOISE  a token for each canvas position: row is the canvas, place the position; the first word
    NOISE    the same for the first canvas, at step 0

Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

SAMPLES, RENOISE, NOISE = 0, 1, 2
"""Streams."""

WORD = 0xFFFFFFFF
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
INCREMENTS = 0x9E3779B9, 0xBB67AE85
"""Constants of the cipher."""


def philox_reference(seed: Tensor, place: Tensor, row: Tensor, step: Tensor, stream: int) -> Tensor:
    """Four random words [4, ...] in int64 of counters below 2^32, which broadcast; `seed` [1] int64."""
    even, odd, second, last = torch.broadcast_tensors(place, row, step, torch.full_like(step, stream))
    key, other = seed & WORD, seed >> 32 & WORD
    for _ in range(10):
        # Products wrap at 64 bits, which all of their bits survive.
        upper, lower = second * MULTIPLIERS[1], even * MULTIPLIERS[0]
        even, odd = (upper >> 32 & WORD) ^ odd ^ key, upper & WORD
        second, last = (lower >> 32 & WORD) ^ last ^ other, lower & WORD
        key, other = key + INCREMENTS[0] & WORD, other + INCREMENTS[1] & WORD
    return torch.stack([even, odd, second, last])


def uniform_reference(words: Tensor) -> Tensor:
    """A number above 0 and below 1 of each word: int64 -> float32."""
    return (words.float() * 2.0**-32 + 2.0**-33).clamp(max=1 - 2.0**-24)


def exponential_reference(words: Tensor) -> Tensor:
    """A number of the exponential distribution with mean 1 of each word: int64 -> float32, above 0."""
    return -torch.log1p(-uniform_reference(words))


def below_reference(words: Tensor, size: int) -> Tensor:
    """An integer below `size` of each word, int64; none is likelier than another by more than size / 2^32."""
    return words * size >> 32


def noise_reference(seed: Tensor, step: Tensor, shape: tuple[int, int], vocab: int, stream: int) -> Tensor:
    """A token for each canvas position: -> [B, C] int64; `seed` and `step` [1] int64."""
    rows, positions = (torch.arange(size, device=step.device) for size in shape)
    return below_reference(philox_reference(seed, positions, rows[:, None], step, stream)[0], vocab)


@triton.jit
def philox(seed, place, row, step, stream: tl.constexpr):
    """`philox_reference`: four words, of numbers that fit in 32 bits; `seed` of 64."""
    last = tl.full((), stream, tl.uint32)
    return tl.philox(seed, place.to(tl.uint32), row.to(tl.uint32), step.to(tl.uint32), last)


@triton.jit
def uniform(word):
    """`uniform_reference`, to the bit: a product with a power of two is exact, fused or not."""
    return tl.minimum(word.to(tl.float32) * 2.3283064365386963e-10 + 1.1641532182693481e-10, 0.99999994)


@triton.jit
def exponential(word):
    """`exponential_reference`. Small ones decide races, and 1 - u would round there: below u = 2^-5 it is a series."""
    u = uniform(word)
    # What the series leaves out is less than 2^-27 of it.
    series = u * (1.0 + u * (0.5 + u * (0.33333334 + u * (0.25 + u * 0.2))))
    return tl.where(u < 0.03125, series, -tl.log(1.0 - u))


@triton.jit
def below(word, size):
    """`below_reference`, in int64; `size` fits in 32 bits."""
    return tl.umulhi(word, tl.full((), size, tl.uint32)).to(tl.int64)
