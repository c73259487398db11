"""CUDA graphs: work that was recorded once and is started again by one call."""

from collections.abc import Callable

import torch

WARM_UPS = 2
"""Runs before the recording: the first compiles kernels, and libraries choose theirs."""


class GraphPool:
    """Graphs that share the memory of their intermediates, so no two of them may run at once."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def capture(self, work: Callable[[], object]) -> Callable[[], None]:
        """What starts `work` again, on the same memory: it may neither ask the host nor depend on its values.

        Runs `work` some times.
        """
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UPS):
                work()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            work()
        return graph.replay
