"""Draft and verify: several tokens a forward pass of the target, and the same text as without drafts.

But for rounding: passes of other lengths add up in other orders, and in bfloat16 two tokens may be as likely.
"""

import time
from collections.abc import Callable, Generator, Sequence

import torch

from midfill.engine.causal_gemma import CausalGemma
from midfill.engine.draft_length import DraftLength, Round
from midfill.engine.drafter import Drafter
from midfill.engine.kv import KVSlot
from midfill.engine.passes import read
from midfill.engine.verify import Verify

Draft = Callable[[KVSlot, int], Sequence[int]]
"""(what the target has read, the token that follows it) -> tokens that may come next; none is a plain step."""


def no_drafts(_slot: KVSlot, _token: int) -> list[int]:
    """Plain decoding, as a `Draft`."""
    return []


def drafts_that_pay(drafter: Drafter, target: CausalGemma, lengths: DraftLength) -> Draft:
    """Drafts of the length that `lengths` says, whose `learn` goes to `speculate` too."""

    def draft(slot: KVSlot, token: int) -> list[int]:
        return drafter.draft(target, slot, token, lengths.choose())

    return draft


def forget(_round: Round) -> None:
    """Learns nothing."""


@torch.inference_mode()
def speculate(
    model: CausalGemma, slot: KVSlot, draft: Draft, verify: Verify, learn: Callable[[Round], None] = forget
) -> Generator[list[int], None, None]:
    """Continues what `slot` holds without end; a `next()` is one forward pass of the target and gives its tokens.

    The tokens given are those that are cached now: `slot` grows by them, and rejected drafts leave nothing in it.
    `learn` is told of each pass before its tokens are given.
    """
    assert slot.last_hidden is not None
    token = verify([], model.logits(slot.last_hidden[None])).follow
    while True:
        start = time.perf_counter()
        drafts = draft(slot, token)
        drafted = time.perf_counter()
        hidden = read(model, slot, [token, *drafts])
        verdict = verify(drafts, model.logits(hidden))  # on a card, this waits for the pass
        learn(Round(len(drafts), verdict.accepted, drafted - start, time.perf_counter() - drafted))
        kept = [token, *drafts[: verdict.accepted]]
        slot.commit(kept, hidden[verdict.accepted].clone())  # a view would keep the whole pass's output alive
        yield kept
        token = verdict.follow
