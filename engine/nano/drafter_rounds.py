"""The drafts of many rounds at once, what they lose against the teacher, and how many of them it would accept."""

from collections.abc import Iterator

import torch
from drafter_lessons import Lesson
from drafter_loss import soft_cross_entropy
from torch import Tensor, nn

from midfill.engine.causal_gemma import CausalGemma, run_layers
from midfill.engine.drafter import Drafter

NUM_DRAFTS = 3
"""Drafts a round in training."""
DISCOUNT = 0.8
"""A draft counts only if those before it were right, so it weighs so much less than the one before."""


def drafted(drafter: Drafter, teacher: CausalGemma, lesson: Lesson, count: int) -> Iterator[Tensor]:
    """Hidden states [B, S, hidden] of a draft, `count` times; a round starts at each of the first S tokens.

    Draft `n` of a round that starts at token s is fed token s + n, and stands for what comes after that.
    """
    starts = lesson.hidden.shape[1] - count
    hidden = lesson.hidden[:, :starts].float()
    embedded = teacher.embed(lesson.tokens[:, lesson.start :]).float()
    positions = lesson.start + torch.arange(1, starts + 1)
    attend = _Attend(drafter, lesson, positions)
    layers = drafter.model.layers
    scalars = [layer.get_buffer("layer_scalar") for layer in layers]
    for draft in range(1, count + 1):
        x = drafter.pre_projection(torch.cat((embedded[:, draft : draft + starts], hidden), dim=-1))
        x = drafter.model.norm(run_layers(drafter.config, layers, x, positions, attend, scalars))
        hidden = drafter.post_projection(x)
        yield x


class _Attend:
    """What `Drafter.step` attends to, for rounds at all `positions` at once: the tokens before each, and no draft.

    No lesson is longer than the sliding window, so layers of both kinds see the same.
    """

    def __init__(self, drafter: Drafter, lesson: Lesson, positions: Tensor) -> None:
        self.config, self.cached = drafter.config, {}
        for kind, (keys, values) in lesson.cached.items():
            self.cached[kind] = keys.float(), values.float()
        self.mask = torch.arange(lesson.tokens.shape[1]) < positions[:, None]

    def __call__(self, index: int, q: Tensor, _k: Tensor | None, _v: Tensor | None) -> Tensor:
        keys, values = self.cached[self.config.layers[index].kind]
        return nn.functional.scaled_dot_product_attention(
            q, keys, values, attn_mask=self.mask, scale=1.0, enable_gqa=True
        )


def loss_of(drafter: Drafter, teacher: CausalGemma, lesson: Lesson) -> Tensor:
    """Mean cross entropy in nats against the teacher's distributions."""
    losses = []
    for draft, x in enumerate(drafted(drafter, teacher, lesson, NUM_DRAFTS), start=1):
        wanted = (each[:, draft : draft + x.shape[1]].flatten(0, 1) for each in (lesson.likeliest, lesson.chances))
        losses.append(soft_cross_entropy(x.flatten(0, 1), drafter.model.embed_tokens.weight, *wanted))
    weights = DISCOUNT ** torch.arange(NUM_DRAFTS)
    return (torch.stack(losses) * weights).sum() / weights.sum()


@torch.inference_mode()
def accepted(drafter: Drafter, teacher: CausalGemma, lessons: list[Lesson], first: int) -> list[float]:
    """Share of the rounds in which the first 1, 2, … drafts are all right; they start `first` tokens into a lesson.

    As many tokens as the corpus gave: then the rounds are those of a decode.
    """
    shares = []
    for lesson in lessons:
        right, found = torch.tensor(True), list[Tensor]()
        for draft, x in enumerate(drafted(drafter, teacher, lesson, NUM_DRAFTS), start=1):
            wanted = lesson.likeliest[:, draft : draft + x.shape[1], 0]
            right = right & (drafter.model.logits(x).argmax(dim=-1) == wanted)
            found.append(right[:, first:].float().mean())
        shares.append(torch.stack(found))
    return [round(share, 4) for share in torch.stack(shares).mean(dim=0).tolist()]
