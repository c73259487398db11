"""The denoise loop: several canvases over one cached prompt, a forward pass a `next()`.

A canvas is the hole and the pinned tokens after it. Nothing on it is committed before the end: positions accepted in
one step may be thrown back in the next, so pins are set again after accepting and after renoising. Acceptance,
stability and stop are taken over the hole only, or the pinned positions' zero entropy would end the loop too early.
"""

from collections.abc import Callable, Generator
from functools import partial
from typing import NamedTuple

import msgspec
import torch
from torch import Tensor

from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.draws import Draws
from midfill.engine.kv import KVSlot
from midfill.engine.passes import denoise
from midfill.engine.sampling import accept_mask, agrees, entropy, hole_mean, temperature

BANNED_LOGIT = -1e4
"""What a banned token's logit becomes: its probability is 0 in float32, and no infinity reaches self-conditioning."""


class DenoiseSettings(msgspec.Struct, frozen=True):
    """Sampler settings of `generation_config.json`; entropies in nats."""

    max_steps: int = 48
    t_min: float = 0.4
    t_max: float = 0.8
    entropy_bound: float = 0.1
    stability_threshold: int = 1
    confidence_threshold: float = 0.005
    """A row whose prediction is stable has settled when its hole's mean entropy is below this."""
    settle_entropy: float = 0.0
    """It has settled as well when no position of its hole has an entropy of this or more; 0 for never."""
    mark_pins_from_step: int = 1
    """First step at which pins are one-hot self-conditioning; 1 is what transformers does, 0 marks them at once."""


class FirstStep:
    """What the first step of a decode gave, for one that begins with the same canvases behind the same prompt.

    All are decoded by the same settings.
    """

    def __init__(self) -> None:
        self._known: tuple[Tensor, Tensor, Tensor] | None = None

    def hidden(self, noisy: Tensor, hole: Tensor, compute: Callable[[], Tensor]) -> Tensor:
        """Hidden states [B, C, hidden] of canvases [B, C]: those that are kept, or what `compute` says, kept then."""
        if self._known is None or not (torch.equal(self._known[0], noisy) and torch.equal(self._known[1], hole)):
            self._known = noisy, hole, compute()
        return self._known[2]


class Layout(NamedTuple):
    """B canvases of C positions. What stands in the hole of `tokens` does not matter."""

    tokens: Tensor
    """[B, C] the pinned tokens."""
    hole: Tensor
    """[B, C] bool, the positions to fill."""
    banned: Tensor | None = None
    """[V] bool, tokens that may not be written."""
    banned_first: Tensor | None = None
    """[V] bool, tokens that may not be written at position 0."""
    needed: Tensor | None = None
    """[B, C] bool, what a canvas has to have, its hole at least: the rest is left out where that saves time."""
    refine: "Refine | None" = None
    """What more is known of the holes than the model says."""
    first_step: FirstStep | None = None
    """Where the host keeps the first step for the next decode, and takes it from."""


Refine = Callable[[int, Tensor], Tensor | None]
"""Of a row of the layout and log-probabilities [hole positions, V] of its hole, at the step's temperature, those to go
on from: what is drawn, accepted, stopped at and told to the next step is theirs. They are finite; None leaves the
model's. Called in each step for each row that has not settled; what it is given changes afterwards.
"""


class Canvas(NamedTuple):
    """The state after a denoise step, told to the host: on the CPU, wherever the model is."""

    step: int
    """Forward passes so far."""
    tokens: Tensor
    """[B, C] the most probable tokens, pins in place; never the noisy sample."""
    entropies: Tensor
    """[B, C] nats, at the step's temperature; 0 on pins."""
    done: Tensor
    """[B] bool: rows that have settled."""


def decode(
    model: DiffusionGemma, slot: KVSlot, layout: Layout, settings: DenoiseSettings, draws: Draws
) -> Generator[Canvas, None, None]:
    """Denoises until all rows have settled or `max_steps` is reached; reads `slot`, never writes to it.

    A row that has settled is frozen. On the host it costs nothing more; there are drawn the first canvas's noise, then
    a sample for each hole position and fresh noise a step, in the order of transformers.
    """
    loop = model.device_canvas
    if loop is not None and loop.takes(layout, settings):
        return loop.decode(slot, layout, settings, draws)
    return decode_on_host(model, slot, layout, settings, draws)


@torch.inference_mode()
def decode_on_host(
    model: DiffusionGemma, slot: KVSlot, layout: Layout, settings: DenoiseSettings, draws: Draws
) -> Generator[Canvas, None, None]:
    """`decode` as it is defined: the host sees each step."""
    state = _Denoiser(model, slot, layout, settings, draws)
    for step in range(settings.max_steps):
        _, *there = state.step(step)
        canvas = Canvas(step + 1, *(each.cpu() for each in there))
        yield canvas
        if bool(canvas.done.all()):
            return


class _Denoiser:
    """What one step leaves to the next, for the rows still `active` [b] of the layout's B."""

    def __init__(
        self, model: DiffusionGemma, slot: KVSlot, layout: Layout, settings: DenoiseSettings, draws: Draws
    ) -> None:
        assert bool(layout.hole.any(dim=-1).all()), "each canvas needs a hole"
        self.model, self.slot, self.layout = model, slot, layout
        self.settings, self.draws = settings, draws
        self.active = torch.arange(len(layout.tokens), device=slot.device)
        self.noisy = torch.where(layout.hole, self._noise(layout.tokens), layout.tokens)
        self.marks = model.embed(layout.tokens) * ~layout.hole[..., None]
        self.soft = self.marks if settings.mark_pins_from_step == 0 else None
        self.stable = torch.zeros(len(layout.tokens), dtype=torch.long, device=slot.device)
        self.latest = Canvas(
            0,
            layout.tokens.clone(),
            torch.zeros(layout.tokens.shape, device=slot.device),
            torch.zeros(len(layout.tokens), dtype=torch.bool, device=slot.device),
        )

    def _noise(self, like: Tensor) -> Tensor:
        return self.draws.noise(like.shape, self.model.config.vocab_size)

    def step(self, step: int) -> Canvas:
        """One forward pass, and what it makes of the canvas. The vocabulary is looked at for hole positions only."""
        settings, rows = self.settings, self.active
        tokens, hole = self.layout.tokens[rows], self.layout.hole[rows]
        needed = None if self.layout.needed is None else self.layout.needed[rows]
        compute = partial(denoise, self.model, self.slot, self.noisy, self.soft, needed)
        first = self.layout.first_step if step == 0 else None
        hidden = compute() if first is None else first.hidden(self.noisy, hole, compute)
        logits = self._scaled_logits(hidden[hole], hole, step)
        log_probabilities = logits.log_softmax(dim=-1)
        if self.layout.refine is not None:
            self._refine(log_probabilities, hole, self.layout.refine)
            logits = log_probabilities
        # Their `exp`, in less time: a CPU's library takes 20 times as long where that comes near to 0.
        probabilities = log_probabilities.softmax(dim=-1)
        found = entropy(probabilities, log_probabilities)
        entropies = torch.zeros(hole.shape, device=hole.device).masked_scatter(hole, found)
        if settings.max_steps > 1:  # else the prediction is all that is wanted; transformers draws behind each step
            self.noisy = self._renoised(probabilities, entropies, tokens, hole)
        is_last = step + 1 == settings.max_steps
        self.soft = None if is_last else self._soft_embedding(probabilities, hole, step + 1)
        best = tokens.masked_scatter(hole, logits.argmax(dim=-1))
        settled = self._settled(best, entropies, hole)
        self.latest = Canvas(
            step + 1,
            self.latest.tokens.index_copy(0, rows, best),
            self.latest.entropies.index_copy(0, rows, entropies),
            self.latest.done.index_copy(0, rows, settled),
        )
        self._freeze(settled)
        return self.latest

    def _renoised(self, probabilities: Tensor, entropies: Tensor, tokens: Tensor, hole: Tensor) -> Tensor:
        """The canvases [b, C] of the next step: what is accepted of a sample of each hole position, noise, and pins."""
        drawn = self.draws.sample(probabilities)
        accepted = accept_mask(entropies, hole, self.settings.entropy_bound)
        kept = torch.where(accepted, tokens.masked_scatter(hole, drawn), self._noise(tokens))
        return torch.where(hole, kept, tokens)

    def _refine(self, log_probabilities: Tensor, hole: Tensor, refine: Refine) -> None:
        """Puts what else is known of the active rows into log-probabilities [N, V] of their N hole positions."""
        rows = log_probabilities.split(hole.sum(dim=-1).tolist())
        for row, own in zip(self.active.tolist(), rows, strict=True):
            refined = refine(row, own)
            if refined is not None:
                own.copy_(refined)

    def _settled(self, best: Tensor, entropies: Tensor, hole: Tensor) -> Tensor:
        """Active rows [b] bool whose prediction has stayed the same long enough and is sure."""
        rows, settings = self.active, self.settings
        if self.latest.step == 0:
            same = torch.zeros_like(rows, dtype=torch.bool)
        else:
            same = agrees(best, self.latest.tokens[rows], hole)
        self.stable[rows] = torch.where(same, self.stable[rows] + 1, 0)
        is_sure = hole_mean(entropies, hole) < settings.confidence_threshold
        is_sure |= entropies.amax(dim=-1) < settings.settle_entropy  # they are 0 on pins
        return (self.stable[rows] >= settings.stability_threshold) & is_sure

    def _scaled_logits(self, hidden: Tensor, hole: Tensor, step: int) -> Tensor:
        """Logits [N, V] float32 of the N hole positions, over the temperature."""
        settings = self.settings
        logits = self.model.logits(hidden)
        if self.layout.banned is not None:
            logits.masked_fill_(self.layout.banned, BANNED_LOGIT)
        if self.layout.banned_first is not None:
            is_first = hole.nonzero()[:, 1] == 0
            logits.masked_fill_(is_first[:, None] & self.layout.banned_first, BANNED_LOGIT)
        return logits.div_(temperature(step, settings.max_steps, settings.t_min, settings.t_max))

    def _soft_embedding(self, probabilities: Tensor, hole: Tensor, next_step: int) -> Tensor:
        """Self-conditioning of the next step [b, C, hidden]: the prediction in the hole, one-hot or nothing on pins."""
        marks = self.marks[self.active]
        if next_step < self.settings.mark_pins_from_step:
            marks = torch.zeros_like(marks)
        return marks.masked_scatter(hole[..., None], self.model.soft_embed(probabilities))

    def _freeze(self, settled: Tensor) -> None:
        """Leaves the rows that have settled out of the next steps."""
        if not bool(settled.any()):
            return
        going = ~settled
        self.active = self.active[going]
        self.noisy = self.noisy[going]
        self.soft = None if self.soft is None else self.soft[going]
