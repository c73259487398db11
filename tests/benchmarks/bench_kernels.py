"""Each kernel on a card: a JSON line a shape, and all of them in `results/gpu_kernels.json`.

`us` is the median of replays of a CUDA graph that takes turns with as many sets of inputs as the L2 cache cannot hold;
`hot_us` is on one set, as a layer finds what the kernel before it has just written. `share` is the share of a copy's
bandwidth, or of a large product's rate where arithmetic is the bound, both measured first. Beside it stand the same
shapes by the compiled definition and by libraries. The shapes are those of 26B-A4B.
"""

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.benchmarks.gpu.kernel_cases import (
    Case,
    Place,
    attention_case,
    cases,
    expert_cases,
    moved_bytes,
    settle_case,
    store_case,
    vocabulary_cases,
)
from tests.benchmarks.gpu.large_model import LARGE, TINY, config_of
from tests.benchmarks.gpu.results import CARD_LOST, FOLDER, Results, told_error
from tests.benchmarks.gpu.timing import Peaks, machine, measure_peaks, median_us, sets_for

from midfill.engine.config import FULL, SLIDING

LEAST_CALLS = 10
"""Of a graph, whose own start then does not count."""
MAIN_ROWS = 64
OTHER_ROWS = (32, 256, 1024)
LONG_PAST = 65_536

log = logging.getLogger(__name__)


def main_cases(place: Place) -> Iterator[Case]:
    """A canvas of 64 behind 4,096 tokens, as the denoise step at which the engine aims."""
    yield from expert_cases(place, (MAIN_ROWS,))
    yield from (attention_case(place, kind, 1, MAIN_ROWS, 4096, causal=False) for kind in (SLIDING, FULL))
    yield from vocabulary_cases(place, MAIN_ROWS)
    yield from cases(place, MAIN_ROWS)
    yield settle_case(place, 1, MAIN_ROWS)
    yield store_case(place, MAIN_ROWS)


def other_cases(place: Place) -> Iterator[Case]:
    """More and fewer rows, longer prompts, several canvases, prefill and single tokens."""
    yield from expert_cases(place, (1, 2, 4, 8, 32, 256, 1024))
    for kind in (SLIDING, FULL):
        yield from (attention_case(place, kind, batch, 256, 4096, causal=False) for batch in (1, 4))
        yield from (attention_case(place, kind, 8, 64, past, causal=False) for past in (4096, LONG_PAST))
        yield from (attention_case(place, kind, 1, tokens, 4096, causal=True) for tokens in (1, 4, 256))
    for rows in OTHER_ROWS:
        yield from vocabulary_cases(place, rows)
        yield from cases(place, rows)
    yield settle_case(place, 8, 256)
    yield from (store_case(place, tokens) for tokens in (1, 256))


def tiny_cases(place: Place) -> Iterator[Case]:
    """One of each, where no time means anything."""
    yield from expert_cases(place, (3,))
    yield from (attention_case(place, kind, 2, 5, 11, causal) for kind in (SLIDING, FULL) for causal in (False, True))
    yield from vocabulary_cases(place, 3)
    yield from cases(place, 3)
    yield settle_case(place, 2, 5)
    yield store_case(place, 3)


class Bench:
    """Measures cases, each once, until time is up."""

    def __init__(self, place: Place, results: Results, peaks: Peaks, ends_at: float) -> None:
        self.place, self.results, self.peaks, self.ends_at = place, results, peaks, ends_at
        self.skipped = 0

    def ours(self, found: Iterator[Case]) -> None:
        """Our kernels, and what libraries have ready."""
        for case in found:
            for by, run in {case.by: case.ours, **case.library}.items():
                self._record(case, by, lambda run=run: run)

    def compiled(self, found: Iterator[Case]) -> None:
        """What has to be compiled first, which takes seconds each; uncompiled where that cannot be."""
        for case in found:
            for name, run in case.compiled.items():
                if not self._record(case, f"compiled {name}", lambda run=run: _compiled(run, self.place.device)):
                    self._record(case, f"{name}, not compiled", lambda run=run: run, graphed=False)

    def _record(self, case: Case, by: str, make: Callable[[], Callable[..., Any]], graphed: bool = True) -> bool:
        """Whether there is a figure of this now; one that failed is told, and not tried again."""
        key = {"kernel": case.kernel, "shape": case.shape, "by": by}
        if self.results.has(**key):
            return all("us" in record for record in self.results.matching(**key))
        if time.monotonic() > self.ends_at:
            self.skipped += 1
            return True
        try:
            figures = self._figures(case, make(), graphed)
        except Exception as error:  # noqa: BLE001 - a rival that fails is a line of the results, not the end of them
            figures = {"error": told_error(error)}
        self.results.add(key | figures)
        _check_card(self.place.device)
        return "us" in figures

    def _figures(self, case: Case, run: Callable[..., Any], graphed: bool) -> dict[str, Any]:
        device = self.place.device
        first = case.draw()
        num_bytes = moved_bytes(case, first)
        sets = [first, *(case.draw() for _ in range(sets_for(num_bytes, device) - 1))]
        calls = max(len(sets), LEAST_CALLS) if device.type == "cuda" else 1
        works = [partial(run, *inputs) for inputs in islice(cycle(sets), calls)]
        us = median_us(works, device, graphed)
        hot_us = median_us([works[0]] * calls, device, graphed) if device.type == "cuda" else us
        floor_us = self.peaks.floor_us(num_bytes, case.flops)
        return {
            "us": round(us, 2),
            "hot_us": round(hot_us, 2),
            "bytes": num_bytes,
            "gb_s": round(num_bytes / us / 1e3, 1),
            "floor_us": round(floor_us, 2),
            "share": round(floor_us / us, 3),
        }


def _compiled(run: Callable[..., Any], device: torch.device) -> Callable[..., Any]:
    return torch.compile(run, dynamic=False) if device.type == "cuda" else run


def _check_card(device: torch.device) -> None:
    """Ends the process if an error was of those that leave nothing usable."""
    if device.type == "cuda":
        try:
            torch.cuda.synchronize()
        except RuntimeError as error:
            told_error(error)
            raise SystemExit(CARD_LOST) from None


@torch.inference_mode()
def run(arguments: argparse.Namespace, device: torch.device) -> None:
    is_card = device.type == "cuda"
    torch.manual_seed(0)
    results = Results("kernels", machine(device), arguments.force, arguments.folder)
    peaks = measure_peaks(device)
    results.note(
        copy_gb_s=round(peaks.bytes_per_us / 1e3, 1), product_tflops=round(peaks.flops_per_us / 1e6, 1), skipped=0
    )
    place = Place(config_of(TINY if arguments.tiny else LARGE), device, torch.bfloat16 if is_card else torch.float32)
    bench = Bench(place, results, peaks, time.monotonic() + arguments.seconds)
    if arguments.tiny:
        bench.ours(tiny_cases(place))
        bench.compiled(tiny_cases(place))
    else:
        bench.ours(main_cases(place))
        bench.ours(other_cases(place))
        bench.compiled(main_cases(place))
    results.note(skipped=bench.skipped)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="small shapes, also in Triton's interpreter")
    parser.add_argument("--force", action="store_true", help="measures again what is measured")
    parser.add_argument("--seconds", type=float, default=300.0, help="what is not begun by then is left out")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where results go")
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type != "cuda" and not arguments.tiny:
        log.warning("no card: nothing measured")
        return
    run(arguments, device)


if __name__ == "__main__":
    main()
