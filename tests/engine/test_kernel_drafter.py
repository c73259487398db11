"""Drafts on kernels are the drafter's."""

import pytest
import torch
from tests.engine.small_model import small_model

from midfill.engine.config import FULL, SLIDING
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.drafter import Drafter
from midfill.engine.gemma4_config import DrafterConfig
from midfill.engine.graphs import GraphPool
from midfill.engine.kernel_drafter import KernelDrafter
from midfill.engine.kernel_passes import KernelPasses
from midfill.engine.kv import KVSlot

VOCAB, WINDOW = 64, 5


@pytest.fixture(scope="module")
def target() -> DiffusionGemma:
    """Its last layer of each kind is what a drafter reads: the first ones of each are others."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = small_model(VOCAB, head_dim=16, kinds=(SLIDING, FULL, SLIDING, FULL), window=WINDOW).to(device)
    model.kernels = KernelPasses(model, GraphPool() if device.type == "cuda" else None)
    return model


def drafter_for(target: DiffusionGemma, has_centroids: bool = False) -> Drafter:
    """Random, with the same weights each time; most of its drafts differ from the token before."""
    shapes = {layer.kind: layer for layer in target.config.layers}
    config = DrafterConfig(
        vocab_size=VOCAB,
        hidden_size=48,
        intermediate_size=40,
        moe_intermediate_size=0,
        num_experts=0,
        top_k_experts=0,
        num_kv_shared_layers=3,
        sliding_window=WINDOW,
        rms_norm_eps=1e-6,
        final_logit_softcapping=None,
        max_position_embeddings=512,
        layers=(shapes[SLIDING], shapes[SLIDING], shapes[FULL]),
        pad_token_id=0,
        bos_token_id=2,
        eos_token_ids=(1,),
        backbone_hidden_size=target.config.hidden_size,
        use_ordered_embeddings=has_centroids,
        num_centroids=8,
        centroid_intermediate_top_k=3,
    )
    generator = torch.Generator().manual_seed(1)
    drafter = Drafter(config).eval().requires_grad_(False)
    for parameter in drafter.parameters():
        if parameter.dim() > 1:
            parameter.normal_(std=parameter.shape[-1] ** -0.5, generator=generator)
    if drafter.masked_embedding is not None:
        drafter.masked_embedding.token_ordering.copy_(torch.randperm(VOCAB, generator=generator))
    return drafter.to(target.norm.weight.device)


@pytest.fixture(scope="module", params=[False, True], ids=["all tokens", "centroids"])
def drafters(target: DiffusionGemma, request: pytest.FixtureRequest) -> tuple[Drafter, Drafter]:
    """The same weights as defined, and on kernels."""
    plain, fast = (drafter_for(target, request.param) for _ in range(2))
    fast.kernels = KernelDrafter(fast, target)
    return plain, fast


@torch.inference_mode()
def slot_of(target: DiffusionGemma, num_tokens: int) -> KVSlot:
    """What the target, as it is defined, has read of other tokens for each number of them."""
    device = target.norm.weight.device
    slot = KVSlot(target.config, device, target.norm.weight.dtype)
    tokens = [7 * (place + num_tokens) % VOCAB for place in range(num_tokens)]
    slot.reserve(num_tokens)
    ids = torch.tensor([tokens], device=device)
    hidden = target.encode(ids, torch.arange(num_tokens, device=device), slot.attend_and_store)
    slot.commit(tokens, hidden[0, -1])
    return slot


# What a sliding layer sees is the window and one more.
@pytest.mark.parametrize("num_tokens", [1, WINDOW + 1, WINDOW + 2, 70])
def test_they_are_the_drafters(target: DiffusionGemma, drafters: tuple[Drafter, Drafter], num_tokens: int) -> None:
    slot = slot_of(target, num_tokens)
    wanted, found = (drafter.draft(target, slot, 9, 4) for drafter in drafters)
    assert found == wanted
    assert len(slot.tokens) == num_tokens


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_are_the_first_of_more(target: DiffusionGemma, drafters: tuple[Drafter, Drafter], count: int) -> None:
    slot = slot_of(target, 8)
    assert drafters[1].draft(target, slot, 3, count) == drafters[0].draft(target, slot, 3, 4)[:count]


def test_another_slot_gives_that_slots(target: DiffusionGemma, drafters: tuple[Drafter, Drafter]) -> None:
    plain, fast = drafters
    slots = [slot_of(target, num_tokens) for num_tokens in (3, 9)]
    wanted = [plain.draft(target, slot, 5, 2) for slot in slots]
    assert wanted[0] != wanted[1]
    assert [fast.draft(target, slots[index], 5, 2) for index in (0, 1, 0)] == [wanted[index] for index in (0, 1, 0)]


def test_warming_up_leaves_drafts_as_they_were(target: DiffusionGemma, drafters: tuple[Drafter, Drafter]) -> None:
    plain, fast = drafters
    assert isinstance(fast.kernels, KernelDrafter)
    fast.kernels.warm_up(2)
    slot = slot_of(target, 4)
    assert fast.draft(target, slot, 7, 2) == plain.draft(target, slot, 7, 2)
