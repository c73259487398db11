"""The denoise loop on the device is the loop on the host, given the same draws."""

import msgspec
import pytest
import torch
from tests.engine.small_model import small_model
from torch import Tensor

from midfill.engine.canvas import Canvas, DenoiseSettings, Layout, decode, decode_on_host
from midfill.engine.config import FULL, SLIDING
from midfill.engine.device_canvas import DeviceCanvas
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.draws import Draws
from midfill.engine.graphs import GraphPool
from midfill.engine.kernel_passes import KernelPasses
from midfill.engine.kv import KVSlot
from midfill.engine.passes import read
from midfill.kernels.philox import NOISE, RENOISE, noise_reference
from midfill.kernels.row_statistics import row_statistics_reference
from midfill.kernels.tempering import Tempering

VOCAB, SIZE = 64, 4
SETTINGS = DenoiseSettings(max_steps=3, mark_pins_from_step=0)


@pytest.fixture(scope="module")
def model() -> DiffusionGemma:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = small_model(VOCAB, head_dim=16, kinds=(SLIDING, FULL), window=5).to(device)
    passes = KernelPasses(model)
    model.kernels = passes
    model.device_canvas = DeviceCanvas(passes, GraphPool() if device.type == "cuda" else None)
    return model


def slot_of(model: DiffusionGemma, num_tokens: int = 6) -> KVSlot:
    slot = KVSlot(model.config, model.norm.weight.device, model.norm.weight.dtype)
    tokens = [(5 * index + num_tokens) % VOCAB for index in range(num_tokens)]
    slot.commit(tokens, read(model, slot, tokens)[-1].clone())
    return slot


def layout_of(model: DiffusionGemma, *holes: int) -> Layout:
    device = model.norm.weight.device
    tokens = torch.arange(SIZE, device=device).expand(len(holes), SIZE) + 40
    return Layout(tokens, torch.arange(SIZE, device=device) < torch.tensor(holes, device=device)[:, None])


class DeviceDraws(Draws):
    """What the kernels draw for one canvas, for the host: their definitions, in the host's order."""

    def __init__(self, seed: int, device: torch.device) -> None:
        super().__init__(seed, device)
        self.seed = torch.randint(0, 1 << 31, (1,), generator=self.generator, device=device)
        self.step, self.stream = torch.zeros_like(self.seed), NOISE

    def noise(self, shape: torch.Size, vocab_size: int) -> Tensor:
        """First that of the first canvas, then that after each step."""
        tokens = noise_reference(self.seed, self.step, (shape[0], shape[1]), vocab_size, self.stream)
        self.step = self.step + (self.stream == RENOISE)
        self.stream = RENOISE
        return tokens

    def sample(self, probabilities: Tensor) -> Tensor:
        """As they are drawn from logits that were tempered before."""
        rows, vocab_size = probabilities.shape
        device = probabilities.device
        none_banned = torch.zeros(2, vocab_size, dtype=torch.uint8, device=device)
        is_first = torch.zeros(rows, dtype=torch.bool, device=device)
        tempering = Tempering(None, self.step, torch.ones(8, device=device), none_banned, is_first)
        return row_statistics_reference(probabilities.log(), tempering, self.seed).drawn


@pytest.mark.parametrize(("first_step", "num_tokens"), [(0, 6), (1, 2)])
def test_each_step_is_the_hosts(model: DiffusionGemma, first_step: int, num_tokens: int) -> None:
    # Only of the last step is the most unsure position below that; the mean is from the second.
    settings = DenoiseSettings(max_steps=3, stability_threshold=0, settle_entropy=2.7, mark_pins_from_step=first_step)
    banned = torch.arange(VOCAB, device=model.norm.weight.device) % 3 == 0
    layout = layout_of(model, 3)._replace(banned=banned, banned_first=banned.roll(1))
    slot, device = slot_of(model, num_tokens), model.norm.weight.device
    found = decode(model, slot, layout, settings, Draws(4, device))
    wanted = decode_on_host(model, slot, layout, settings, DeviceDraws(4, device))
    for mine, theirs in zip(found, wanted, strict=True):
        assert mine.step == theirs.step
        assert torch.equal(mine.tokens, theirs.tokens)
        torch.testing.assert_close(mine.entropies, theirs.entropies, rtol=1e-4, atol=1e-5)
        assert mine.done.tolist() == theirs.done.tolist() == [mine.step == 3]


def run(model: DiffusionGemma, slot: KVSlot, layout: Layout, seed: int) -> list[Canvas]:
    return list(decode(model, slot, layout, SETTINGS, Draws(seed, slot.device)))


def assert_same(some: list[Canvas], others: list[Canvas]) -> None:
    for one, other in zip(some, others, strict=True):
        assert torch.equal(one.tokens, other.tokens)
        assert torch.equal(one.entropies, other.entropies)


def test_two_decodes_step_by_turns_as_each_does_alone(model: DiffusionGemma) -> None:
    slots, layout = [slot_of(model, 6), slot_of(model, 4)], layout_of(model, 3)
    alone = [run(model, slot, layout, seed) for seed, slot in enumerate(slots)]
    turns = [decode(model, slot, layout, SETTINGS, Draws(seed, slot.device)) for seed, slot in enumerate(slots)]
    together = list(zip(*turns, strict=True))
    for each, canvases in zip(alone, zip(*together, strict=True), strict=True):
        assert_same(list(canvases), each)


def test_a_decode_that_is_closed_leaves_nothing_to_the_next(model: DiffusionGemma) -> None:
    slot, layout = slot_of(model), layout_of(model, 3)
    wanted = run(model, slot, layout, 1)
    closed = decode(model, slot, layout, SETTINGS, Draws(2, slot.device))
    next(closed)
    closed.close()
    assert_same(run(model, slot, layout, 1), wanted)


def test_more_rows_than_asked_for_change_nothing(model: DiffusionGemma) -> None:
    slot, device = slot_of(model), model.norm.weight.device
    two_steps = msgspec.structs.replace(SETTINGS, max_steps=2)
    layouts = layout_of(model, 3, 1, 2), layout_of(model, 3, 1, 2, 2)  # both on buffers for four
    three, four = (list(decode(model, slot, layout, two_steps, Draws(1, device))) for layout in layouts)
    for one, other in zip(three, four, strict=True):
        assert one.tokens.shape[0] == 3
        assert torch.equal(one.tokens, other.tokens[:3])


def test_pins_stand_and_settled_canvases_stay(model: DiffusionGemma) -> None:
    only_seven = torch.arange(VOCAB, device=model.norm.weight.device) != 7  # sure at once
    layout = layout_of(model, 1, 3)._replace(banned_first=only_seven)
    canvases = run(model, slot_of(model), layout, 3)
    for canvas in canvases:
        assert torch.equal(canvas.tokens[~layout.hole.cpu()], layout.tokens.cpu()[~layout.hole.cpu()])
        assert canvas.tokens[:, 0].tolist() == [7, 7]
    assert [bool(canvas.done[0]) for canvas in canvases] == [False, True, True]


def test_what_the_host_has_a_say_in_stays_on_the_host(model: DiffusionGemma) -> None:
    assert model.device_canvas is not None
    layout = layout_of(model, 3)
    assert model.device_canvas.takes(layout, SETTINGS)
    assert not model.device_canvas.takes(layout._replace(refine=lambda row, log_probabilities: None), SETTINGS)
    assert not model.device_canvas.takes(layout_of(model, *[3] * 17), SETTINGS)


@torch.inference_mode()
def test_decodes_of_more_and_fewer_steps_share_buffers_and_graph(model: DiffusionGemma) -> None:
    assert model.device_canvas is not None
    fewer = msgspec.structs.replace(SETTINGS, max_steps=1)
    buffers_for = model.device_canvas._buffers_for
    assert buffers_for(1, SIZE, fewer) is buffers_for(1, SIZE, SETTINGS)


@torch.inference_mode()
@pytest.mark.parametrize("size", [1, 3])
def test_what_the_host_is_told_is_one_piece_of_memory_and_aligned(model: DiffusionGemma, size: int) -> None:
    assert model.device_canvas is not None
    model.device_canvas.warm_up(1, size, SETTINGS)
    buffers = model.device_canvas._buffers_for(1, size, SETTINGS)
    canvases = buffers.state.canvases
    told = canvases.best, canvases.entropies, canvases.done
    assert len({tensor.untyped_storage().data_ptr() for tensor in told}) == 1
    assert not any(tensor.data_ptr() % 16 for tensor in told)
    canvas = buffers.read(1, 1)
    assert torch.equal(canvas.tokens, canvases.best.cpu())
    assert torch.equal(canvas.entropies, canvases.entropies.cpu())
    assert torch.equal(canvas.done, canvases.done.cpu())
