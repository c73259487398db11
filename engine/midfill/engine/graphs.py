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

        Runs `work` some times.
        """
        here = torch.cuda.current_stream()
        self._aside.wait_stream(here)
        with torch.cuda.stream(self._aside):
            for _ in range(WARM_UPS):
                work()
        here.wait_stream(self._aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=self._aside):
            work()
        return graph.replay
