"""`midfill.engine.drafter` against transformers, draft by draft, on the same keys and values of the target."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engine.gemma4_parity import Gemma4Pair
from tests.engine.parity import Record
from tests.engine.tiny_gemma4 import DRAFTED
from torch import Tensor
from transformers import Gemma4AssistantForCausalLM, Gemma4UnifiedAssistantForCausalLM

from midfill.engine.config import FULL, SLIDING
from midfill.engine.drafter import Drafter
from midfill.engine.errors import CheckpointError
from midfill.engine.gemma4_checkpoint import load_drafter

TOLERANCE = 5e-5
"""Absolute, float32: four small layers; the largest seen is 5e-6, and 1.6e-5 where AVX2 multiplies."""
each_drafted = pytest.mark.parametrize("gemma4", list(DRAFTED), indirect=True)


@pytest.fixture
def reference(gemma4: Gemma4Pair, tiny_drafter: Callable[[str], Path]) -> Any:
    kind: Any = Gemma4UnifiedAssistantForCausalLM if gemma4.name == "12B" else Gemma4AssistantForCausalLM
    return kind.from_pretrained(tiny_drafter(gemma4.name), dtype=torch.float32).eval()


@pytest.fixture
def drafter(gemma4: Gemma4Pair, tiny_drafter: Callable[[str], Path]) -> Drafter:
    return load_drafter(tiny_drafter(gemma4.name), gemma4.loaded.config, torch.device("cpu"), torch.float32)


def assert_drafts(record: Record, gemma4: Gemma4Pair, ours: list[Tensor], theirs: list[Tensor]) -> None:
    difference = (torch.stack(ours) - torch.stack(theirs)).abs().max().item()
    record("draft logits", (gemma4.name, difference))
    assert difference <= TOLERANCE
    assert [int(each.argmax()) for each in ours] == [int(each.argmax()) for each in theirs]


@each_drafted
@pytest.mark.parametrize("length", [1, 5, 8, 9, 10, 11, 40])
@torch.no_grad()
def test_six_drafts_in_a_row(
    gemma4: Gemma4Pair, reference: Any, drafter: Drafter, length: int, record_property: Record
) -> None:
    target = gemma4.loaded.model
    slot = gemma4.slot(gemma4.tokens(length, seed=length))
    shared = {}
    for kind in (SLIDING, FULL):
        layer = target.config.last_kv_layer(kind)
        shared[kind] = slot.keys(layer)[None], slot.values(layer)[None]
    assert slot.last_hidden is not None
    token, hidden = int(target.logits(slot.last_hidden).argmax()), slot.last_hidden
    ours, theirs = list[Tensor](), list[Tensor]()
    for _ in range(6):
        logits, our_hidden = drafter.step(target, slot, token, hidden)
        inputs = torch.cat((target.embed(torch.tensor(token)), hidden))[None, None]
        drafted = reference(
            inputs_embeds=inputs, position_ids=torch.tensor([[length]]), attention_mask=None, shared_kv_states=shared
        )
        hidden = drafted.last_hidden_state[0, 0]
        torch.testing.assert_close(our_hidden, hidden, atol=TOLERANCE, rtol=0)
        ours.append(logits)
        theirs.append(drafted.logits[0, 0])
        token = int(logits.argmax())
    assert_drafts(record_property, gemma4, ours, theirs)


@each_drafted
@pytest.mark.parametrize("length", [4, 30])
@torch.no_grad()
def test_the_first_round_of_generate(
    gemma4: Gemma4Pair, reference: Any, drafter: Drafter, length: int, record_property: Record
) -> None:
    prompt = gemma4.tokens(length, seed=length)
    reference.generation_config.num_assistant_tokens = 3
    reference.generation_config.num_assistant_tokens_schedule = "constant"
    theirs = list[Tensor]()
    hook = reference.register_forward_hook(lambda *call: theirs.append(call[2].logits[0, 0]))
    gemma4.reference.generate(
        torch.tensor([prompt]),
        assistant_model=reference,
        max_new_tokens=12,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )
    hook.remove()
    slot = gemma4.slot(prompt)
    target, hidden = gemma4.loaded.model, slot.last_hidden
    assert hidden is not None
    first, ours = int(target.logits(hidden).argmax()), list[Tensor]()
    token = first
    for _ in range(3):
        logits, hidden = drafter.step(target, slot, token, hidden)
        token = int(logits.argmax())
        ours.append(logits)
    assert_drafts(record_property, gemma4, ours, theirs[:3])
    assert drafter.draft(target, slot, first, 3) == [int(each.argmax()) for each in ours]


@pytest.mark.parametrize("gemma4", ["E4B"], indirect=True)
def test_another_targets_drafter_is_refused(gemma4: Gemma4Pair, tiny_drafter: Callable[[str], Path]) -> None:
    with pytest.raises(CheckpointError, match=r"wanted KV heads and their size \(2, 8\) in sliding_attention"):
        load_drafter(tiny_drafter("E2B"), gemma4.loaded.config, torch.device("cpu"), torch.float32)
