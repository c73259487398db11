"""The whole model on kernels is the whole model as it is defined."""

import pytest
import torch
from tests.engine.small_model import small_model
from torch import Tensor

from midfill.engine.config import FULL, SLIDING
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.kernel_passes import KernelPasses, PastTable
from midfill.engine.kv import KVSlot
from midfill.engine.passes import denoise, read, read_rows
from midfill.kernels.attention import addresses_of

VOCAB, WINDOW = 64, 5
KINDS = SLIDING, SLIDING, FULL
PAST_WINDOW = 2 * WINDOW + 1


def assert_close(found: Tensor, wanted: Tensor) -> None:
    """In float32, for three layers that add up in another order."""
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=2e-5)


@pytest.fixture(scope="module")
def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(scope="module")
def models(device: torch.device) -> tuple[DiffusionGemma, DiffusionGemma]:
    """The same weights as defined, and on kernels."""
    plain, fast = (small_model(VOCAB, head_dim=16, kinds=KINDS, window=WINDOW).to(device) for _ in range(2))
    fast.kernels = KernelPasses(fast)
    return plain, fast


def filled(model: DiffusionGemma, num_tokens: int, chunk: int = 256) -> tuple[KVSlot, Tensor]:
    """A slot of so many tokens, read in chunks, and the hidden states of the last chunk."""
    slot = KVSlot(model.config, model.embed_tokens.weight.device, model.embed_tokens.weight.dtype)
    tokens, hidden = [(7 * place + 3) % VOCAB for place in range(num_tokens)], torch.empty(0)
    for start in range(0, num_tokens, chunk):
        part = tokens[start : start + chunk]
        hidden = read(model, slot, part)
        slot.commit(part, hidden[-1].clone())
    return slot, hidden


@pytest.mark.parametrize(("num_tokens", "chunk"), [(1, 1), (PAST_WINDOW, 4), (PAST_WINDOW, 256)])
def test_reading_a_prompt(models: tuple[DiffusionGemma, DiffusionGemma], num_tokens: int, chunk: int) -> None:
    (wanted, hidden), (found, same) = (filled(model, num_tokens, chunk) for model in models)
    assert_close(same, hidden)
    for index in range(len(wanted.config.layers)):
        assert_close(found.keys(index), wanted.keys(index))
        assert_close(found.values(index), wanted.values(index))


@pytest.mark.parametrize("num_tokens", [3, PAST_WINDOW])
def test_continuations_side_by_side(models: tuple[DiffusionGemma, DiffusionGemma], num_tokens: int) -> None:
    ids = torch.arange(6, device=models[0].norm.weight.device).view(2, 3) + 20
    wanted, found = (read_rows(model, filled(model, num_tokens)[0], ids) for model in models)
    assert_close(found, wanted)


@pytest.mark.parametrize("num_tokens", [3, PAST_WINDOW])
@pytest.mark.parametrize("is_conditioned", [False, True])
def test_a_denoise_step(models: tuple[DiffusionGemma, DiffusionGemma], num_tokens: int, is_conditioned: bool) -> None:
    where = models[0].norm.weight.device
    draws = torch.Generator(where).manual_seed(2)
    canvas = torch.randint(0, VOCAB, (2, 7), generator=draws, device=where)
    soft = torch.randn(2, 7, models[0].config.hidden_size, generator=draws, device=where) if is_conditioned else None
    slots = [filled(model, num_tokens)[0] for model in models]
    wanted, found = (denoise(model, slot, canvas, soft) for model, slot in zip(models, slots, strict=True))
    assert_close(found, wanted)
    assert len(slots[1].tokens) == num_tokens


def test_one_set_of_passes_reads_any_slot(models: tuple[DiffusionGemma, DiffusionGemma]) -> None:
    plain, fast = models
    first, second = filled(fast, 5)[0], filled(fast, PAST_WINDOW)[0]
    canvas = torch.arange(7, device=first.device)[None]
    for slot, num_tokens in ((first, 5), (second, PAST_WINDOW), (first, 5)):
        wanted = denoise(plain, filled(plain, num_tokens)[0], canvas, None)
        assert_close(denoise(fast, slot, canvas, None), wanted)


def test_the_table_is_written_when_what_stands_in_it_changes(models: tuple[DiffusionGemma, DiffusionGemma]) -> None:
    config, weight = models[0].config, models[0].norm.weight
    past, slot = PastTable(len(config.layers), weight.device), KVSlot(config, weight.device, weight.dtype)
    slot.reserve(4)
    writes = []
    for length in (0, 0, 2, 2, 0):
        slot.tokens = [7] * length
        past.point_at(slot)
        writes.append(past.table._version)
        assert past.table.tolist()[:-1] == [[*addresses_of(*kv), 0] for kv in slot.buffers()]
        assert past.length.tolist() == [length]
    assert [after - writes[0] for after in writes] == [0, 0, 1, 1, 2]
    slot.reserve(slot.capacity + 1)  # in other memory
    past.point_at(slot)
    assert past.table.tolist()[:-1] == [[*addresses_of(*kv), 0] for kv in slot.buffers()]


@pytest.mark.gpu
@torch.inference_mode()
def test_layers_of_which_nothing_is_stored_share_the_room_for_k_and_v(device: torch.device) -> None:
    peaks = []
    for num_layers in (2, 8):
        model = small_model(VOCAB, head_dim=64, kinds=[FULL] * num_layers, window=WINDOW).to(device)
        model.kernels = KernelPasses(model)
        slot, ids = filled(model, 3)[0], torch.zeros(4, 256, dtype=torch.int64, device=device)
        for work in (lambda: denoise(model, slot, ids, None), lambda: read_rows(model, slot, ids)):  # noqa: B023
            work()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            work()
            peaks.append(torch.cuda.max_memory_allocated() - before)
    # K and V of one layer are 1 MiB.
    assert max(peaks[2] - peaks[0], peaks[3] - peaks[1]) < 1 << 19
