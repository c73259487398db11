"""CUDA graphs: work that was recorded once and is started again by one call."""

from collections.abc import Callable

import torch

WARM_UPS = 2
"""Runs before the recording: the first compiles kernels, and libraries choose theirs."""


class GraphPool:
    """Graphs that share the memory of their intermediates, so no two of them may run at once."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()
        # One for all: cuBLAS keeps a workspace, 32 MiB on Hopper, for each stream that it has ever worked on.
        self._aside = torch.cuda.Stream()

    def capture(self, work: Callable[[], object]) -> Callable[[], None]:
        """What starts `work` again, on the same memory: it may neither ask the host nor depend on its values.

        Runs `work` some times, and raises what it raises.
        """
        here = torch.cuda.current_stream()
        self._aside.wait_stream(here)
        try:
            with torch.cuda.stream(self._aside):
                for _ in range(WARM_UPS):
                    work()
        finally:
            here.wait_stream(self._aside)
        return self._recorded(work).replay

    def _recorded(self, work: Callable[[], object]) -> torch.cuda.CUDAGraph:
        """`work` as a graph. If it fails, the thread stays on its stream, and other work can still be recorded."""
        graph = torch.cuda.CUDAGraph()
        failure: Exception | None = None
        # Other threads may use the card meanwhile: what they do is no part of this.
        recording = torch.cuda.graph(graph, pool=self._pool, stream=self._aside, capture_error_mode="thread_local")
        try:
            # A recording that cannot be ended leaves the thread on its stream; the outer one brings it back.
            with torch.cuda.stream(torch.cuda.current_stream()), recording:
                failure = _failure_of(work)
        except RuntimeError as error:
            # Where the work has failed, so may the end of its recording, which has less to say.
            failure = failure or error
            # The allocator goes on recording to this pool, and would refuse another graph of it.
            self._pool = torch.cuda.graph_pool_handle()
        try:
            if failure is not None:
                raise failure
        finally:
            del failure  # it knows this frame; in a circle, what the work had in memory would wait for the collector
        return graph


def _failure_of(work: Callable[[], object]) -> Exception | None:
    """What `work` raises."""
    try:
        work()
    except Exception as error:  # noqa: BLE001 (raised by the caller)
        return error
    return None
