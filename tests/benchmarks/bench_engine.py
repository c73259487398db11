"""The engine on a card, with random weights of the shape of 26B-A4B: a JSON line a figure, all in `gpu_engine.json`.

Denoise steps, whole fills, reading a prompt, writing token by token and verifying drafts; and the same by transformers,
on the same weights. `ms` is what the host waits, launches and copies of answers included; `floor_ms` is what the bytes
that must be moved, or the products that must be computed, take at the bandwidth and rate measured first, with the
experts that the tokens really chose; `ratio` is of the two. What matters most is measured first.
"""

import argparse
import itertools
import logging
import statistics
import sys
import time
from collections.abc import Callable, Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.benchmarks.gpu.floors import Cost, draft_cost, read_cost, step_cost
from tests.benchmarks.gpu.large_model import LARGE, TINY, config_of, random_drafter, random_model
from tests.benchmarks.gpu.results import CARD_LOST, FOLDER, Results, told_error
from tests.benchmarks.gpu.timing import Peaks, machine, measure_peaks, once_us, synchronise, waited_us

from midfill.engine import passes
from midfill.engine.canvas import Canvas, DenoiseSettings, Layout
from midfill.engine.device_canvas import DeviceCanvas
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.draws import Draws
from midfill.engine.gemma4 import Router
from midfill.engine.graphs import GraphPool
from midfill.engine.infill import CARD_CHUNK
from midfill.engine.kernel_drafter import KernelDrafter
from midfill.engine.kernel_passes import KernelPasses
from midfill.engine.kv import KVSlot

PROFILED = 24
"""Kernels that are told of a step."""

log = logging.getLogger(__name__)


class Plan:
    """What is measured: shapes of (canvas, canvases, context), the most important first."""

    def __init__(self, tiny: bool) -> None:
        self.canvases = (3,) if tiny else (64, 256, 32, 128)
        self.numbers = (1, 2) if tiny else (1, 4, 8)
        self.contexts = (10,) if tiny else (4096, 512, 16_384, 65_536)
        self.chunk = 6 if tiny else CARD_CHUNK
        self.verified = (2,) if tiny else (1, 2, 3, 4, 5, 7)
        self.drafted = (2,) if tiny else (1, 2, 3, 6)
        self.num_steps = 2 if tiny else 8
        self.decodes = 1 if tiny else 3
        self.repeats = 1 if tiny else 20

    def steps(self) -> Iterator[tuple[int, int, int]]:
        """All shapes of a denoise step."""
        main = self.canvases[0], self.numbers[0], self.contexts[0]
        grid = itertools.product(self.contexts, self.numbers, self.canvases)
        yield main
        yield from (shape for context, number, canvas in grid if (shape := (canvas, number, context)) != main)


class Bench:
    """One model, its kernels, and one document's slot."""

    def __init__(self, model: DiffusionGemma, text: dict[str, Any], plan: Plan, results: Results, peaks: Peaks) -> None:
        self.text = text
        self.model, self.config, self.plan, self.results, self.peaks = model, model.config, plan, results, peaks
        self.device, dtype = model.norm.weight.device, model.norm.weight.dtype
        graphs = GraphPool() if self.device.type == "cuda" else None
        # The model itself goes on without kernels: that is the definition that they are compared with.
        self.passes = KernelPasses(model, graphs)
        self.loop = DeviceCanvas(self.passes, graphs)
        self.settings = DenoiseSettings(
            max_steps=plan.num_steps, confidence_threshold=-1.0
        )  # so that no canvas ends early
        self.slot = KVSlot(self.config, self.device, dtype)
        self.distinct = cache(self._distinct)
        self.drafts = cache(self._drafts)

    def tokens(self, count: int) -> list[int]:
        return torch.randint(0, self.config.vocab_size, (count,)).tolist()

    def fill_slot(self, length: int) -> None:
        """Makes the slot hold so many tokens."""
        self.slot.trim(min(length, len(self.slot.tokens)))
        self.slot.reserve(length + self.plan.chunk)
        while missing := length - len(self.slot.tokens):
            part = self.tokens(min(missing, self.plan.chunk))
            self.slot.commit(part, self.passes.read(self.slot, part)[-1].clone())

    def step(self, canvas: int, canvases: int, context: int) -> dict[str, Any]:
        """A denoise step, as the host waits for it."""
        self.fill_slot(context)
        times = []
        for _ in range(self.plan.decodes):
            began, decoded = time.perf_counter(), self._decoded(canvas, canvases)
            for _ in decoded:
                times.append(time.perf_counter() - began)
                began = time.perf_counter()
        distinct = self.distinct(canvas * canvases)
        cost = step_cost(self.config, canvas, canvases, context, distinct)
        return self._figures(statistics.median(times[1:]) * 1e3, cost, distinct)

    def fill(self, canvas: int, context: int) -> dict[str, Any]:
        """A whole fill behind a cached prompt."""
        self.fill_slot(context)
        repeats = max(1, self.plan.repeats // 4)
        times = waited_us(lambda: list(self._decoded(canvas, 1)), repeats, self.device)
        distinct = self.distinct(canvas)
        cost = step_cost(self.config, canvas, 1, context, distinct).times(self.plan.num_steps)
        return self._figures(statistics.median(times) / 1e3, cost, distinct)

    def prefill(self, context: int) -> dict[str, Any]:
        """The last chunk of a prompt of so many tokens."""
        self.fill_slot(context - self.plan.chunk)
        part = self.tokens(self.plan.chunk)
        times = waited_us(lambda: self.passes.read(self.slot, part), self.plan.repeats, self.device)
        distinct = self.distinct(len(part))
        cost = read_cost(self.config, len(part), len(self.slot.tokens), distinct, with_logits=False)
        return self._figures(statistics.median(times) / 1e3, cost, distinct)

    def read(self, count: int, context: int) -> dict[str, Any]:
        """Writing a token, or verifying drafts: so many tokens read, and the likeliest behind each."""
        self.fill_slot(context)
        tokens = self.tokens(count)
        times = waited_us(
            lambda: self.model.logits(self.passes.read(self.slot, tokens)).argmax(dim=-1).tolist(),
            self.plan.repeats,
            self.device,
        )
        distinct = self.distinct(count)
        cost = read_cost(self.config, count, context, distinct, with_logits=True)
        return self._figures(statistics.median(times) / 1e3, cost, distinct)

    def draft(self, count: int, context: int) -> dict[str, Any]:
        """A round of so many drafts, up to the host that has them."""
        self.fill_slot(context)
        drafts = self.drafts()
        times = waited_us(lambda: drafts.draft(self.slot, 0, count), self.plan.repeats, self.device)
        cost = draft_cost(drafts.drafter.config, self.config, context).times(count)
        return self._figures(statistics.median(times) / 1e3, cost, 0)

    def agreement(self, canvas: int, context: int) -> dict[str, Any]:
        """How far hidden states by kernels are from those by the definition, of the same dtype: ‖difference‖ / ‖·‖."""
        self.fill_slot(context)
        ids, soft = self._noise(canvas), torch.randn(1, canvas, self.config.hidden_size, device=self.device)
        soft = soft.to(self.model.norm.weight.dtype)
        found, wanted = (
            run(self.slot, ids, soft).float()
            for run in (self.passes.denoise, lambda *inputs: passes.denoise(self.model, *inputs))
        )
        return {"relative_difference": round(((found - wanted).norm() / wanted.norm()).item(), 5)}

    def profile(self, canvas: int, context: int) -> dict[str, Any]:
        """Where a step's time goes: (kernel, launches, microseconds) a step, those that take longest."""
        if self.device.type != "cuda":
            return {"kernels": []}
        self.fill_slot(context)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
            list(self._decoded(canvas, 1))
            synchronise(self.device)
        seen = sorted(profile.key_averages(), key=lambda event: -event.self_device_time_total)[:PROFILED]
        steps = self.plan.num_steps
        return {
            "kernels": [
                (event.key[:60], round(event.count / steps, 1), round(event.self_device_time_total / steps, 1))
                for event in seen
            ]
        }

    def by_definition(self, canvas: int, context: int) -> dict[str, Any]:
        """The forward pass alone of a step, by our own definition."""
        self.fill_slot(context)
        ids = self._noise(canvas)
        times = waited_us(lambda: passes.denoise(self.model, self.slot, ids, None), 3, self.device)
        return {"ms": round(statistics.median(times) / 1e3, 3)}

    def _figures(self, ms: float, cost: Cost, distinct: float) -> dict[str, Any]:
        floor_ms = self.peaks.floor_us(*cost) / 1e3
        return {
            "ms": round(ms, 3),
            "floor_ms": round(floor_ms, 3),
            "ratio": round(ms / floor_ms, 3),
            "bytes": int(cost.num_bytes),
            "distinct_experts": round(distinct, 1),
        }

    def _drafts(self) -> KernelDrafter:
        drafter = random_drafter(self.text, self.device, self.slot.dtype)
        self.model.kernels = self.passes  # which a drafter wants of its target
        try:
            return KernelDrafter(drafter, self.model)
        finally:
            self.model.kernels = None

    def _decoded(self, canvas: int, canvases: int) -> Generator[Canvas, None, None]:
        tokens = torch.zeros(canvases, canvas, dtype=torch.int64, device=self.device)
        layout = Layout(tokens, torch.ones_like(tokens, dtype=torch.bool))
        return self.loop.decode(self.slot, layout, self.settings, Draws(1, self.device))

    def _noise(self, count: int) -> Tensor:
        return torch.randint(0, self.config.vocab_size, (1, count), device=self.device)

    def _distinct(self, count: int) -> float:
        """How many different experts a layer so many random tokens choose, on average over the layers."""
        chosen = []

        def note(_router: nn.Module, _inputs: Any, output: tuple[Tensor, Tensor]) -> None:
            chosen.append(len(output[1].unique()))

        hooks = [module.register_forward_hook(note) for module in self.model.modules() if isinstance(module, Router)]
        try:
            passes.read_rows(self.model, KVSlot(self.config, self.device, self.slot.dtype), self._noise(count))
        finally:
            for hook in hooks:
                hook.remove()
        return statistics.mean(chosen)


class Theirs:
    """The same work by transformers."""

    def __init__(self, bench: Bench, text: dict[str, Any]) -> None:
        import transformers  # here: seconds, and only where it is compared
        from tests.benchmarks.gpu.theirs import same_in_transformers

        self.bench, self.version = bench, transformers.__version__
        self.model = same_in_transformers(bench.model, text)

    def cached(self, context: int) -> Any:
        """Its cache of so many tokens."""
        found, chunk = None, self.bench.plan.chunk
        for start in range(0, context, chunk):
            found = self._read(found, start, min(chunk, context - start))
        return found

    def _read(self, found: Any, start: int, count: int) -> Any:
        ids, positions = self.bench._noise(count), torch.arange(start, start + count, device=self.bench.device)[None]
        encoder = self.model.model.encoder
        return encoder(input_ids=ids, past_key_values=found, position_ids=positions).past_key_values

    def step(self, canvas: int, context: int) -> dict[str, Any]:
        """Its forward pass with self-conditioning, up to the logits: without what its sampler does then."""
        found, ids = self.cached(context), self.bench._noise(canvas)
        logits = torch.randn(1, canvas, self.bench.config.vocab_size, device=self.bench.device)

        def work() -> None:
            self.model(decoder_input_ids=ids, past_key_values=found, self_conditioning_logits=logits)

        return self._figures(waited_us(work, max(1, self.bench.plan.repeats // 4), self.bench.device))

    def prefill(self, context: int) -> dict[str, Any]:
        """The last chunk of a prompt."""
        chunk, device, times = self.bench.plan.chunk, self.bench.device, []
        for _ in range(3):
            found = self.cached(context - chunk)  # each anew: reading makes it longer
            times.append(once_us(lambda found=found: self._read(found, context - chunk, chunk), device))
        return self._figures(times)

    def _figures(self, times: list[float]) -> dict[str, Any]:
        implementation = getattr(self.model.config, "_experts_implementation", None)
        ms = round(statistics.median(times) / 1e3, 3)
        return {"ms": ms, "transformers": self.version, "experts_implementation": implementation}


Work = tuple[dict[str, Any], Callable[[], dict[str, Any]]]
"""What a record is known by, and what makes the rest of it."""


def works(bench: Bench, text: dict[str, Any]) -> Iterator[Work]:
    """All that is measured, in order."""
    plan = bench.plan
    (canvas, *_), (context, *_), theirs = plan.canvases, plan.contexts, cache(lambda: Theirs(bench, text))
    shapes = plan.steps()

    def step(shape: tuple[int, int, int]) -> Work:
        return dict(zip(("canvas", "canvases", "context"), shape, strict=True)), lambda: bench.step(*shape)

    def known(what: str, by: str, work: Work) -> Work:
        return {"what": what, "by": by, **work[0]}, work[1]

    at_main = {"canvas": canvas, "canvases": 1, "context": context}
    yield known("agreement", "midfill", (at_main, lambda: bench.agreement(canvas, context)))
    yield known("step", "midfill", step(next(shapes)))
    yield known("fill", "midfill", ({**at_main, "steps": plan.num_steps}, lambda: bench.fill(canvas, context)))
    for count in plan.verified:
        shape = {"tokens": count, "context": context}
        yield known("read", "midfill", (shape, lambda count=count: bench.read(count, context)))
    for count in plan.drafted:
        shape = {"drafts": count, "context": context}
        yield known("draft", "midfill", (shape, lambda count=count: bench.draft(count, context)))
    chunk = {"tokens": plan.chunk, "context": context}
    yield known("prefill", "midfill", (chunk, lambda: bench.prefill(context)))
    yield known("step", "transformers", (at_main, lambda: theirs().step(canvas, context)))
    yield known("prefill", "transformers", (chunk, lambda: theirs().prefill(context)))
    yield known("profile", "midfill", (at_main, lambda: bench.profile(canvas, context)))
    yield known("forward", "definition", (at_main, lambda: bench.by_definition(canvas, context)))
    for shape in shapes:
        yield known("step", "midfill", step(shape))


def measure(found: Iterator[Work], results: Results, device: torch.device, ends_at: float) -> int:
    """Measures what is not measured yet until time is up, and says how much was left out."""
    skipped = 0
    for key, work in found:
        if results.has(**key):
            continue
        if time.monotonic() > ends_at:
            skipped += 1
            continue
        figures = _figures_or_error(work)
        results.add(key | figures)
        if "error" in figures:
            _check_card(device)
    return skipped


def _figures_or_error(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return work()
    except Exception as error:  # noqa: BLE001 - what does not fit or fails is a line of the results, not their end
        return {"error": told_error(error)}


def _check_card(device: torch.device) -> None:
    """Ends the process if an error was of those that leave nothing usable; else frees what it held."""
    try:
        synchronise(device)
    except RuntimeError as error:
        told_error(error)
        raise SystemExit(CARD_LOST) from None
    if device.type == "cuda":
        torch.cuda.empty_cache()


@torch.inference_mode()
def run(arguments: argparse.Namespace, device: torch.device) -> None:
    is_card, text = device.type == "cuda", TINY if arguments.tiny else LARGE
    torch.manual_seed(0)
    ends_at = time.monotonic() + arguments.seconds
    results = Results("engine", machine(device), arguments.force, arguments.folder)
    peaks = measure_peaks(device)
    results.note(copy_gb_s=round(peaks.bytes_per_us / 1e3, 1), product_tflops=round(peaks.flops_per_us / 1e6, 1))
    model = random_model(config_of(text), device, torch.bfloat16 if is_card else torch.float32)
    results.note(weights_gb=round(sum(each.numel() * each.element_size() for each in model.parameters()) / 1e9, 2))
    bench = Bench(model, text, Plan(arguments.tiny), results, peaks)
    skipped = measure(works(bench, text), results, device, ends_at)
    results.note(skipped=skipped, peak_gb=round(torch.cuda.max_memory_allocated() / 1e9, 1) if is_card else None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="small shapes, also in Triton's interpreter")
    parser.add_argument("--force", action="store_true", help="measures again what is measured")
    parser.add_argument("--seconds", type=float, default=400.0, help="what is not begun by then is left out")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where results go")
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type != "cuda" and not arguments.tiny:
        log.warning("no card: nothing measured")
        return
    run(arguments, device)


if __name__ == "__main__":
    main()
