"""Layers whose dense MLP runs beside their experts."""

import pytest
import torch
from tests.engine.small_model import small_model

from midfill.engine.causal_gemma import CausalGemma
from midfill.engine.config import FULL, SLIDING
from midfill.engine.graphs import GraphPool
from midfill.engine.kernel_passes import KernelPasses
from midfill.engine.kv import KVSlot
from midfill.engine.packed_pass import SideStream


def hidden_of(model: CausalGemma, passes: KernelPasses) -> torch.Tensor:
    slot = KVSlot(model.config, model.norm.weight.device, model.norm.weight.dtype)
    slot.reserve(5)
    return passes.read(slot, [3, 9, 27, 17, 51])


@pytest.mark.gpu
@torch.inference_mode()
@pytest.mark.parametrize("is_graph", [False, True])
def test_a_side_stream_changes_no_number(is_graph: bool) -> None:
    model = small_model(head_dim=16, kinds=[SLIDING, FULL] * 8).cuda()
    found, wanted = (KernelPasses(model, GraphPool() if is_graph else None) for _ in range(2))
    assert isinstance(found._side, SideStream)
    wanted._side = None
    for _ in range(10):
        assert torch.equal(hidden_of(model, found), hidden_of(model, wanted))


@pytest.mark.gpu
@torch.inference_mode()
def test_what_joins_has_waited_for_all_that_was_started() -> None:
    side, x = SideStream(torch.device("cuda")), torch.full((4096, 4096), 2.0**-12, device="cuda")

    def many_products() -> torch.Tensor:
        y = x
        for _ in range(20):
            y = y @ x
        return y

    y = side.start(many_products)
    side.join()
    assert torch.equal(y + 0, x)


@torch.inference_mode()
def test_a_model_off_the_card_has_none() -> None:
    model = small_model(head_dim=16, kinds=[SLIDING, FULL])
    assert KernelPasses(model)._side is None
