"""The denoise loop on the device: a step is a CUDA graph of kernels, and the host sees nothing of it but its end.

Several decodes may be under way, each a generator that may rest between two steps. There is one set of buffers for
each number and size of canvases and each set of rules, which a decode takes over for its step; what another had there
is kept for it.
"""

from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from midfill.engine.canvas import Canvas, DenoiseSettings, Layout
from midfill.engine.causal_gemma import scale
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.draws import Draws
from midfill.engine.graphs import GraphPool
from midfill.engine.kernel_passes import KernelPasses
from midfill.engine.kv import KVSlot
from midfill.engine.packed_pass import product
from midfill.engine.sampling import temperature
from midfill.kernels.probabilities import probabilities_in_place, soft_embedding
from midfill.kernels.row_statistics import row_statistics
from midfill.kernels.settle import Canvases, Predicted, Rules, begin, settle
from midfill.kernels.tempering import Tempering

ROWS = (1, 2, 4, 8, 16)
"""Canvases side by side; a graph is for one of these, and what is over is not looked at."""
MOST_POSITIONS = 2048
"""On all canvases together: their logits are 1 GB in bfloat16."""
MOST_STEPS = 64
ALIGNMENT = 16
"""Bytes: Triton makes a kernel of its own for memory that begins elsewhere."""


class State(NamedTuple):
    """All that a step reads of the decode that it is for, and changes; B canvases of C positions."""

    canvases: Canvases
    pins: Tensor
    """[B, C] int64 the pinned tokens."""
    hole: Tensor
    """[B, C] bool"""
    soft: Tensor
    """[B, C, hidden] the next step's self-conditioning."""
    step: Tensor
    """[1] int64 steps done."""
    temperatures: Tensor
    """[MOST_STEPS] float32"""
    banned: Tensor
    """[2, V] uint8: what may not be written, and what may not be at position 0."""
    seed: Tensor
    """[1] int64"""

    def copy_from(self, other: "State") -> None:
        """Has what `other` has, in its own memory."""
        for mine, theirs in zip((*self.canvases, *self[1:]), (*other.canvases, *other[1:]), strict=True):
            mine.copy_(theirs)

    def clone(self) -> "State":
        """The same in other memory."""
        return State(Canvases(*(each.clone() for each in self.canvases)), *(each.clone() for each in self[1:]))


class Decode:
    """One decode under way: its state while its buffers serve another."""

    def __init__(self, state: State) -> None:
        self.saved = state


class Together:
    """Room for tensors like some others in one piece of memory, so that all of them are one copy."""

    def __init__(self, tensors: Sequence[Tensor], device: torch.device, *, is_page_locked: bool = False) -> None:
        sizes = [-(-tensor.nbytes // ALIGNMENT) * ALIGNMENT for tensor in tensors]
        self.memory = torch.empty(sum(sizes), dtype=torch.uint8, device=device, pin_memory=is_page_locked)
        self.tensors = [
            part[: tensor.nbytes].view(tensor.dtype).view(tensor.shape)
            for part, tensor in zip(self.memory.split(sizes), tensors, strict=True)
        ]


class Buffers:
    """What steps over canvases of one number and size, by one set of rules, work on."""

    def __init__(self, state: State) -> None:
        canvases = state.canvases
        news = canvases.best, canvases.entropies, canvases.done
        self._news = Together(news, canvases.best.device)
        self._told = Together(news, torch.device("cpu"), is_page_locked=canvases.best.is_cuda)
        best, entropies, done = self._news.tensors
        self.state = state._replace(canvases=canvases._replace(best=best, entropies=entropies, done=done))
        self.state.copy_from(state)
        self.owner: Decode | None = None
        self.run: Callable[[], None] | None = None
        """The step as a graph."""

    def lend(self, decode: Decode) -> None:
        """The buffers hold the state of `decode` from now on."""
        if self.owner is decode:
            return
        if self.owner is not None:
            self.owner.saved = self.state.clone()
        self.state.copy_from(decode.saved)
        self.owner = decode

    def take_back(self, decode: Decode) -> None:
        """`decode` has ended."""
        if self.owner is decode:
            self.owner = None

    def read(self, step: int, rows: int) -> Canvas:
        """What the host is told of the first `rows` canvases, after waiting for the step that was started last."""
        self._told.memory.copy_(self._news.memory, non_blocking=True)
        if self.state.step.is_cuda:
            torch.cuda.current_stream().synchronize()
        tokens, entropies, done = (host[:rows].clone() for host in self._told.tensors)
        return Canvas(step, tokens, entropies, done)


class DeviceCanvas:
    """Denoise loops of one model. Its passes read whatever slot was pointed at last, so steps are one at a time."""

    def __init__(self, passes: KernelPasses, graphs: GraphPool | None) -> None:
        assert isinstance(passes.model, DiffusionGemma)
        self.model, self.passes, self.graphs = passes.model, passes, graphs
        self._buffers: dict[tuple[int, int, Rules], Buffers] = {}

    def takes(self, layout: Layout, settings: DenoiseSettings) -> bool:
        """Whether these canvases can be denoised here: not where the host has a say in each step."""
        return (
            _fits(*layout.tokens.shape)
            and layout.refine is None
            and settings.max_steps <= MOST_STEPS
            and settings.mark_pins_from_step <= 1
        )

    @torch.inference_mode()
    def decode(
        self, slot: KVSlot, layout: Layout, settings: DenoiseSettings, draws: Draws
    ) -> Generator[Canvas, None, None]:
        """What `canvas.decode` does, with draws of its own from the seed that `draws` gives."""
        num_rows, size = layout.tokens.shape
        buffers = self._buffers_for(rows_for(num_rows), size, settings)
        decode = Decode(self._begun(layout, settings, draws))
        try:
            for step in range(settings.max_steps):
                buffers.lend(decode)
                self.passes.past.point_at(slot)
                self._step(buffers, _rules(settings))
                canvas = buffers.read(step + 1, num_rows)
                yield canvas
                if bool(canvas.done.all()):
                    return
        finally:
            buffers.take_back(decode)

    def warm_up(self, num_rows: int, size: int, settings: DenoiseSettings) -> None:
        """Makes the buffers and the graph of a step over so many canvases of a size, if they are denoised here."""
        if not _fits(num_rows, size):
            return
        buffers = self._buffers_for(rows_for(num_rows), size, settings)
        # The slot of the last pass may be gone, and its memory another's, or nobody's.
        self.passes.past.point_at(KVSlot(self.model.config, self.passes.weight.device, self.passes.weight.dtype))
        self._step(buffers, _rules(settings))

    def _buffers_for(self, rows: int, size: int, settings: DenoiseSettings) -> Buffers:
        key = rows, size, _rules(settings)
        if key not in self._buffers:
            self._buffers[key] = Buffers(self._empty_state(rows, size))
        return self._buffers[key]

    def _step(self, buffers: Buffers, rules: Rules) -> None:
        """Starts one step on the buffers' state."""
        if buffers.run is None and self.graphs is not None:
            before = buffers.state.clone()
            buffers.run = self.graphs.capture(lambda: self._work(buffers.state, rules))
            buffers.state.copy_from(before)
        if buffers.run is None:
            self._work(buffers.state, rules)
        else:
            buffers.run()

    def _work(self, state: State, rules: Rules) -> None:
        """One denoise step: all that is done, on the device alone."""
        weight = self.passes.weight
        hidden = self.passes.denoise_pointed(state.canvases.noisy, state.soft).flatten(0, 1)
        logits = product(hidden, weight)
        cap = self.model.config.final_logit_softcapping
        tempering = Tempering(cap, state.step, state.temperatures, state.banned, _is_first(state.hole))
        found = row_statistics(logits, tempering, state.seed)
        pinned = ~state.hole.flatten()
        probabilities = probabilities_in_place(logits, tempering, found.log_normaliser, pinned, state.pins.flatten())
        soft = soft_embedding(probabilities, weight, float(scale(weight.shape[1], weight.dtype)))
        state.soft.copy_(soft.view_as(state.soft))
        predicted = Predicted(found.argmax, found.drawn, found.entropy)
        settle(state.canvases, predicted, state.pins, state.hole, rules, len(weight), state.step, state.seed)
        state.step.add_(1)

    def _begun(self, layout: Layout, settings: DenoiseSettings, draws: Draws) -> State:
        """The state before the first step; canvases beyond those of `layout` have no hole and are done."""
        num_rows, size = layout.tokens.shape
        state = self._empty_state(rows_for(num_rows), size)
        state.pins[:num_rows] = layout.tokens
        state.hole[:num_rows] = layout.hole
        state.seed.copy_(draws.noise((1,), 1 << 31))
        begin(state.canvases, state.pins, state.hole, self.model.config.vocab_size, state.seed)
        state.canvases.done[num_rows:] = True
        if settings.mark_pins_from_step == 0:
            state.soft.copy_(self.model.embed(state.pins) * ~state.hole[..., None])
        steps = range(settings.max_steps)
        schedule = [temperature(step, settings.max_steps, settings.t_min, settings.t_max) for step in steps]
        state.temperatures[: len(schedule)] = torch.tensor(schedule)
        for row, banned in enumerate((layout.banned, layout.banned_first)):
            if banned is not None:
                state.banned[row] = banned
        return state

    def _empty_state(self, rows: int, size: int) -> State:
        """Canvases of nothing but token 0, pinned."""
        device, dtype = self.passes.weight.device, self.passes.weight.dtype
        vocab_size, hidden = self.passes.weight.shape
        pins = torch.zeros(rows, size, device=device, dtype=torch.int64)
        entropies, done = torch.zeros_like(pins, dtype=torch.float32), torch.ones_like(pins[:, 0], dtype=torch.bool)
        return State(
            canvases=Canvases(pins.clone(), pins.clone(), entropies, pins.new_zeros(rows), done),
            pins=pins,
            hole=torch.zeros_like(pins, dtype=torch.bool),
            soft=torch.zeros(rows, size, hidden, device=device, dtype=dtype),
            step=pins.new_zeros(1),
            temperatures=torch.ones(MOST_STEPS, device=device),
            banned=torch.zeros(2, vocab_size, device=device, dtype=torch.uint8),
            seed=pins.new_zeros(1),
        )


def _rules(settings: DenoiseSettings) -> Rules:
    """What a graph has for good: the settings that are the same from decode to decode."""
    sureness = settings.confidence_threshold, settings.settle_entropy
    return Rules(settings.entropy_bound, settings.stability_threshold, *sureness)


def _is_first(hole: Tensor) -> Tensor:
    """[B * C] bool: position 0 of each canvas."""
    return (torch.arange(hole.shape[1], device=hole.device) == 0).repeat(len(hole))


def _fits(num_rows: int, size: int) -> bool:
    return num_rows <= ROWS[-1] and rows_for(num_rows) * size <= MOST_POSITIONS


def rows_for(num_rows: int) -> int:
    """Canvases that are denoised where `num_rows` are asked for."""
    return next(rows for rows in ROWS if rows >= num_rows)
