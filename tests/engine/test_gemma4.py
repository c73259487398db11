"""`midfill.engine.gemma4`: the experts, whose two ways of computing must agree. Layers are held to transformers'."""

import msgspec
import pytest
import torch
from tests.engine.small_model import small_model

from midfill.engine.gemma4 import Experts

CONFIG = msgspec.structs.replace(small_model().config, num_experts=4, top_k_experts=2)


def experts(seed: int) -> Experts:
    module = Experts(CONFIG).requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        parameter.normal_(std=0.2, generator=generator)
    return module


def routed(num_tokens: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens, and the weights and ids of two experts for each."""
    generator = torch.Generator().manual_seed(1)
    weights, ids = torch.rand(num_tokens, CONFIG.num_experts, generator=generator).topk(2)
    return torch.randn(num_tokens, CONFIG.hidden_size, generator=generator), weights, ids


@pytest.mark.parametrize("num_tokens", [1, 8, 33])
def test_all_experts_at_once_give_what_each_gives_alone(num_tokens: int):
    module, inputs = experts(0), routed(num_tokens)
    torch.testing.assert_close(module(*inputs), module._sorted(*inputs), rtol=1e-5, atol=1e-5)


def test_weights_that_are_replaced_count():
    module, other, inputs = experts(0), experts(7), routed(4)
    before = module(*inputs)
    module.load_state_dict(other.state_dict(), assign=True)
    assert torch.equal(module(*inputs), other(*inputs))
    assert not torch.equal(module(*inputs), before)


def test_weights_in_training_are_read_anew():
    module, inputs = experts(0).requires_grad_(True), routed(4)
    before = module(*inputs)
    with torch.no_grad():
        module.down_proj.mul_(2)
    torch.testing.assert_close(module(*inputs), 2 * before)
