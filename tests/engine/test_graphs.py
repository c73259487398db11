"""Graphs on a card: what they compute, and that many of them take no more memory than one."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from midfill.engine.graphs import GraphPool

SIZE = 1024


def captured(graphs: GraphPool, weights: Tensor, rows: int) -> tuple[Tensor, Tensor, Callable[[], None]]:
    """What the graph of a product reads, what it writes, and what starts it."""
    x, out = torch.zeros(rows, SIZE, device="cuda"), torch.zeros(rows, SIZE, device="cuda")
    return x, out, graphs.capture(lambda: out.copy_(x @ weights + 1))


@pytest.mark.gpu
@torch.inference_mode()
def test_graphs_of_one_pool_compute_what_stands_in_their_inputs() -> None:
    graphs, weights = GraphPool(), torch.eye(SIZE, device="cuda")
    products = [captured(graphs, weights, rows) for rows in (64, 16, 1)]
    for number, (x, out, run) in enumerate(products):
        x.fill_(number)
        run()
        assert torch.equal(out, x + 1)


@pytest.mark.gpu
@torch.inference_mode()
def test_more_graphs_take_no_more_memory() -> None:
    graphs, weights = GraphPool(), torch.eye(SIZE, device="cuda")
    kept = [captured(graphs, weights, 4096)]
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    kept += [captured(graphs, weights, rows) for rows in range(9, 1, -1)]
    torch.cuda.empty_cache()
    # Eight workspaces of cuBLAS would be 64 MiB at least; what they read and write is less than one.
    assert torch.cuda.memory_reserved() - before < 8 << 20


@pytest.mark.gpu
@torch.inference_mode()
def test_work_that_fails_while_it_is_recorded_says_why_and_other_work_can_be() -> None:
    graphs, weights, here = GraphPool(), torch.eye(SIZE, device="cuda"), torch.cuda.current_stream()

    def taking_too_much() -> None:
        if torch.cuda.is_current_stream_capturing():
            torch.empty(1 << 50, dtype=torch.uint8, device="cuda")

    with pytest.raises(torch.OutOfMemoryError):
        graphs.capture(taking_too_much)
    with pytest.raises(RuntimeError, match="captur"):
        graphs.capture(torch.cuda.synchronize)  # not allowed: the recording cannot be ended
    assert torch.cuda.current_stream() == here
    x, out, run = captured(graphs, weights, 4)
    x.fill_(3)
    run()
    assert torch.equal(out, x + 1)


@pytest.mark.gpu
@torch.inference_mode()
def test_another_thread_may_use_the_card_while_work_is_recorded() -> None:
    graphs, x = GraphPool(), torch.ones(4, device="cuda")

    def with_another() -> None:
        x.add_(1)
        if torch.cuda.is_current_stream_capturing():
            with ThreadPoolExecutor(1) as threads:
                assert threads.submit(lambda: torch.ones(1 << 20, device="cuda").sum().item()).result() == 1 << 20

    run = graphs.capture(with_another)
    x.zero_()
    run()
    assert x.tolist() == [1, 1, 1, 1]
