"""How the target chooses its tokens: the likeliest, or samples, of those that may be written."""

from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat
from typing import Annotated

import msgspec
import torch
from torch import Tensor

from midfill.engine.draws import Draws
from midfill.engine.verify import Verdict, Verify, verify_greedy, verify_sampled

BLOCK = 64
"""Random numbers that are drawn at a time."""


class SampleSettings(msgspec.Struct, frozen=True):
    """How far samples stray from the likeliest token; None leaves all tokens in."""

    temperature: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    top_k: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """So many of the likeliest tokens stay in."""
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None
    """Of them the likeliest ones, until they have this share of the probability."""


def greedy(banned: Tensor | None = None, banned_first: Tensor | None = None) -> Verify:
    """Chooses the likeliest token, for one decode. Both masks are [V] bool; `banned_first` is for its first token."""
    allowed = _without(banned, banned_first)

    def verify(drafts: Sequence[int], logits: Tensor) -> Verdict:
        return verify_greedy(drafts, allowed(logits))

    return verify


def sampled(
    settings: SampleSettings, draws: Draws, banned: Tensor | None = None, banned_first: Tensor | None = None
) -> Verify:
    """Chooses samples, for one decode, with masks as for `greedy`; `draws` are asked for a seed here, and only here.

    So the same seed gives the same text, whatever is drafted and whatever else is decoded meanwhile.
    """
    allowed, uniform = _without(banned, banned_first), _Uniform(int(draws.noise((1,), 1 << 62)))

    def verify(drafts: Sequence[int], logits: Tensor) -> Verdict:
        chances = probabilities(allowed(logits), settings)
        verdict = verify_sampled(drafts, chances, uniform.ahead(len(chances)))
        uniform.advance(verdict.accepted + 1)
        return verdict

    return verify


def probabilities(logits: Tensor, settings: SampleSettings) -> Tensor:
    """Logits [N, V] -> what tokens are drawn with, [N, V]. Pure. Always leaves the likeliest token in.

    Temperature, then `top_k`, then `top_p`: the order of transformers.
    """
    scaled = logits / settings.temperature
    if settings.top_k is None and settings.top_p is None:
        return scaled.softmax(dim=-1)
    likeliest, tokens = scaled.topk(min(settings.top_k or logits.shape[-1], logits.shape[-1]), dim=-1)
    chances = likeliest.softmax(dim=-1)
    if settings.top_p is not None:
        likelier = chances.cumsum(dim=-1) - chances
        chances = chances.masked_fill(likelier >= settings.top_p, 0)
        chances = chances / chances.sum(dim=-1, keepdim=True)
    return torch.zeros_like(logits).scatter(-1, tokens, chances)


def _without(banned: Tensor | None, banned_first: Tensor | None) -> Callable[[Tensor], Tensor]:
    """Takes banned tokens out of the logits of one decode, whose first call is for its first token alone."""
    given = [mask for mask in (banned, banned_first) if mask is not None]
    first = torch.stack(given).any(dim=0) if given else None
    assert first is None or not bool(first.all()), "a token has to be allowed"
    masks: Iterator[Tensor | None] = chain([first], repeat(banned))

    def allowed(logits: Tensor) -> Tensor:
        mask = next(masks)
        return logits if mask is None else logits.masked_fill(mask, -torch.inf)

    return allowed


class _Uniform:
    """One random number from [0, 1) for each place of a text, however many of them are looked at in a pass."""

    def __init__(self, seed: int) -> None:
        # The same on all devices, and none has to be waited for.
        self.generator = torch.Generator().manual_seed(seed)
        self.left = torch.empty(0)

    def ahead(self, count: int) -> Tensor:
        """The next `count` of them: [count]."""
        while len(self.left) < count:
            self.left = torch.cat((self.left, torch.rand(BLOCK, generator=self.generator)))
        return self.left[:count]

    def advance(self, count: int) -> None:
        self.left = self.left[count:]
