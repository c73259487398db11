"""`engine/nano/drafter_rounds.py`: many rounds at once are the engine's, one after the other."""

from pathlib import Path

import torch
from drafter_rounds import NUM_DRAFTS, accepted, drafted
from drafter_shape import new_drafter
from tests.nano.lessons_here import SHAPE, drafter_config, lessons, slot_of, teacher, trained

TOLERANCE = 0.02
"""Absolute, of hidden states: the lesson's K and V are kept in bfloat16."""


@torch.no_grad()
def test_rounds_side_by_side_are_the_engines_one_by_one(tmp_path: Path):
    torch.manual_seed(0)
    drafter, lesson = new_drafter(drafter_config(), teacher()), lessons(tmp_path)[0]
    drafts = list(drafted(drafter, teacher(), lesson, 3))
    for row, tokens in enumerate(lesson.tokens.tolist()):
        for start in (0, SHAPE.read, SHAPE.read + SHAPE.written - 4):
            place = lesson.start + start
            slot = slot_of(tokens[: place + 1])
            assert slot.last_hidden is not None
            hidden = slot.last_hidden
            for count, found in enumerate(drafts, start=1):
                logits, hidden = drafter.step(teacher(), slot, tokens[place + count], hidden)
                torch.testing.assert_close(drafter.post_projection(found[row, start]), hidden, atol=TOLERANCE, rtol=0)
                assert int(drafter.model.logits(found[row, start]).argmax()) == int(logits.argmax())


def test_what_is_accepted_is_what_a_decode_accepts(tmp_path: Path):
    taught = lessons(tmp_path)
    drafter, lesson = trained(taught, 30), taught[0]
    right = []
    for tokens, following in zip(lesson.tokens.tolist(), lesson.likeliest[:, -1, 0].tolist(), strict=True):
        for place in range(lesson.start + SHAPE.read, len(tokens) - NUM_DRAFTS):
            drafts = drafter.draft(teacher(), slot_of(tokens[: place + 1]), tokens[place + 1], NUM_DRAFTS)
            wanted = [*tokens, following][place + 2 : place + 2 + NUM_DRAFTS]
            right.append([drafts[:count] == wanted[:count] for count in range(1, NUM_DRAFTS + 1)])
    shares = torch.tensor(right).float().mean(dim=0)
    assert float(shares[0]) > 0.3
    torch.testing.assert_close(
        torch.tensor(accepted(drafter, teacher(), [lesson], SHAPE.read)), shares, atol=1e-4, rtol=0
    )
