"""`midfill.engine.cpu_layers` against `gemma4.DecoderLayer`."""

import copy

import msgspec
import pytest
import torch
from tests.engine.small_model import WINDOW, small_model
from torch import Tensor, nn

from midfill.engine.cpu_layers import POSITIONS, CPULayer, RotaryTable, can_be_laid_out, lay_out_for_cpu, turned
from midfill.engine.cpu_products import has_half_weights
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.gemma4 import DecoderLayer, rotary_table, rotate
from midfill.engine.prefix_cache import PrefixCache
from midfill.engine.tree_kv import TreeKV

FEW_EXPERTS = msgspec.structs.replace(small_model().config, num_experts=4)


def model_with_all_shown(dtype: torch.dtype) -> DiffusionGemma:
    """No two norms or scalars alike, so that one left out is seen."""
    generator = torch.Generator().manual_seed(0)
    model = DiffusionGemma(FEW_EXPERTS).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() > 1:
            parameter.copy_(noise * parameter.shape[-1] ** -0.5)
        else:
            parameter.copy_((0.3 if "post_" in name else 1.0) * (1 + 0.2 * noise))
    for buffer in model.buffers():
        buffer.copy_(0.8 + 0.3 * torch.rand(1, generator=generator))
    return model.to(dtype)


def laid_out(model: DiffusionGemma) -> DiffusionGemma:
    twin = copy.deepcopy(model)
    lay_out_for_cpu(twin)
    assert all(isinstance(layer, CPULayer) for layer in twin.layers)
    return twin


def outputs(model: DiffusionGemma, num_canvases: int) -> list[Tensor]:
    """Hidden states of a prompt that crosses the window, and of canvases behind it."""
    cache = PrefixCache(model, 1 << 30)
    slot = cache._new_slot()
    cache.encode(slot, [(11 * index) % 64 for index in range(WINDOW - 3)])
    cache.encode(slot, [(5 * index) % 64 for index in range(7)])
    canvas = torch.arange(num_canvases * 9).view(num_canvases, 9) % 64
    positions = torch.arange(len(slot.tokens), len(slot.tokens) + 9)
    assert slot.last_hidden is not None
    return [
        slot.last_hidden,
        model.denoise(canvas, positions, None, slot.attend_canvas),
        model.encode(canvas, positions, slot.attend_causal),
        TreeKV(model, slot).grow([None, *(node // 2 for node in range(26))], list(range(27))),
    ]


def distance(some: list[Tensor], others: list[Tensor]) -> float:
    """Root mean square over all outputs: of a single one it is chance, as experts change with a rounding."""
    apart = [(one - other).flatten() for one, other in zip(some, others, strict=True)]
    return float(torch.cat(apart).square().mean().sqrt())


@torch.inference_mode()
@pytest.mark.parametrize("num_canvases", [1, 3, 8])
def test_layers_compute_the_same(num_canvases: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.backends.quantized, "engine", "qnnpack")  # no weights in float16
    model = model_with_all_shown(torch.float32)
    for found, expected in zip(outputs(laid_out(model), num_canvases), outputs(model, num_canvases), strict=True):
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=0)  # sums in another order, five layers deep


@torch.inference_mode()
def test_in_bfloat16_they_are_no_further_from_the_truth_than_the_definition():
    model = model_with_all_shown(torch.bfloat16)
    truth, found = outputs(copy.deepcopy(model).float(), 3), outputs(laid_out(model), 3)
    assert all(each.dtype == torch.bfloat16 for each in found)
    assert distance(found, truth) < 1.2 * distance(outputs(model, 3), truth)


@torch.inference_mode()
@pytest.mark.skipif(not has_half_weights(), reason="FBGEMM is not there")
def test_with_half_weights_they_are_nearer_to_the_truth_than_in_bfloat16():
    model = model_with_all_shown(torch.float32)
    truth, rounded = outputs(model, 3), outputs(copy.deepcopy(model).bfloat16(), 3)
    assert 0 < distance(outputs(laid_out(model), 3), truth) < distance(rounded, truth) / 4


def test_models_of_another_kind_stay_as_they_are():
    model = small_model()
    assert model.config.num_experts > 2 * model.config.top_k_experts
    lay_out_for_cpu(model)
    assert all(isinstance(layer, DecoderLayer) for layer in model.layers)
    for change in ({"num_kv_shared_layers": 1}, {"hidden_size_per_layer_input": 8}, {"num_experts": 0}):
        assert not can_be_laid_out(msgspec.structs.replace(FEW_EXPERTS, **change))


@pytest.mark.parametrize("index", [0, 2])
def test_rotary_tables_grow_with_the_positions_that_are_asked_for(index: int):
    layer = FEW_EXPERTS.layers[index]
    table = RotaryTable(layer)
    for positions in (torch.tensor([3, 0, 3]), torch.tensor([POSITIONS - 1, POSITIONS, 5]), torch.tensor([9])):
        x = torch.randn(len(positions), 3, layer.head_dim, generator=torch.Generator().manual_seed(0))
        expected = rotate(x, *(each[:, None] for each in rotary_table(layer, positions)))
        torch.testing.assert_close(turned(x, *table.at(positions)), expected, atol=1e-6, rtol=0)


def test_slots_hold_what_the_layers_compute_in():
    model = model_with_all_shown(torch.bfloat16)
    assert PrefixCache(model, 1 << 30)._new_slot().dtype == torch.bfloat16
    assert PrefixCache(laid_out(model), 1 << 30)._new_slot().dtype == torch.float32


def test_layers_hold_no_weight_twice():
    model = laid_out(model_with_all_shown(torch.float32))
    assert not [name for name, _ in model.named_parameters() if name.startswith("layers.")]
    assert not [module for layer in model.layers for module in layer.modules() if isinstance(module, nn.Linear)]
