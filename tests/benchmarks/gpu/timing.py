"""Times on a card, and what the card can do at best: the measured peaks that all figures are compared with."""

import datetime
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import triton

Work = Callable[[], object]
REPEATS = 20
WARM_UPS = 3
COPIED_BYTES = 1 << 30
PEAK_SIZE = 8192
"""Of the square product that shows how fast matrices are multiplied."""


class Peaks(NamedTuple):
    """Measured on this card, or so much of anything where there is none and no time means anything."""

    bytes_per_us: float
    """A copy's, reads and writes counted."""
    flops_per_us: float
    """Of a product of bfloat16 matrices."""

    def floor_us(self, num_bytes: float, flops: float = 0.0) -> float:
        """Before that nothing that must move so much and multiply so much can be done."""
        return max(num_bytes / self.bytes_per_us, flops / self.flops_per_us)


def machine(device: torch.device) -> dict[str, Any]:
    """What runs here, and when."""
    found: dict[str, Any] = {"device": platform.processor() or "cpu"}
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        found = {
            "device": card.name,
            "memory_gib": round(card.total_memory / 2**30, 1),
            "multiprocessors": card.multi_processor_count,
            "l2_mb": round(card.L2_cache_size / 1e6, 1),
            "cuda": torch.version.cuda,
        }
    versions = {"python": platform.python_version(), "torch": torch.__version__, "triton": triton.__version__}
    return found | versions | {"date": datetime.datetime.now(datetime.UTC).date().isoformat()}


def measure_peaks(device: torch.device) -> Peaks:
    """A copy from memory to memory, and the library's product of random matrices."""
    if device.type != "cuda":
        return Peaks(1.0, 1.0)
    source = torch.empty(COPIED_BYTES, dtype=torch.uint8, device=device).random_()
    target = torch.empty_like(source)
    copied_us = median_us([lambda: target.copy_(source)], device)
    x, y = (torch.randn(PEAK_SIZE, PEAK_SIZE, device=device).bfloat16() for _ in range(2))
    multiplied_us = median_us([lambda: torch.mm(x, y)], device)
    return Peaks(2 * COPIED_BYTES / copied_us, 2 * PEAK_SIZE**3 / multiplied_us)


def median_us(works: Sequence[Work], device: torch.device, graphed: bool = True) -> float:
    """Microseconds a work, when `works` run one after the other: as one CUDA graph, or started each by the host."""
    if device.type != "cuda":
        return _waited_us(lambda: [work() for work in works]) / len(works)
    for work in works[:WARM_UPS]:
        work()
    start = _graph(works) if graphed else lambda: [work() for work in works]
    torch.cuda.synchronize()
    start()
    return statistics.median(_event_us(start) for _ in range(REPEATS)) / len(works)


def waited_us(work: Work, repeats: int, device: torch.device) -> list[float]:
    """Microseconds that the host waits for `work`, each time; on a card it runs once before, unmeasured."""
    return [once_us(work, device) for _ in range(repeats + (device.type == "cuda"))][-repeats:]


def once_us(work: Work, device: torch.device) -> float:
    """Microseconds that the host waits for `work` and all that it started, this time."""
    synchronise(device)
    return _waited_us(lambda: (work(), synchronise(device)))


def synchronise(device: torch.device) -> None:
    """Waits for all that was started on a card."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def sets_for(num_bytes: int, device: torch.device, most: int = 256) -> int:
    """How many sets of inputs to take turns with, so that none is still in the L2 cache when its turn comes again."""
    if device.type != "cuda":
        return 1
    cache = torch.cuda.get_device_properties(device).L2_cache_size
    return max(1, min(most, -(-2 * cache // num_bytes)))


def _graph(works: Sequence[Work]) -> Callable[[], None]:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for work in works:
            work()
    return graph.replay


def _event_us(start: Work) -> float:
    began, ended = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    began.record()
    start()
    ended.record()
    ended.synchronize()
    return began.elapsed_time(ended) * 1e3


def _waited_us(work: Work) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1e6
