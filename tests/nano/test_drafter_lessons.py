"""`engine/nano/drafter_lessons.py`: a lesson is what a decode of the teacher would have met."""

from pathlib import Path

import pytest
import torch
from drafter_lessons import NUM_LIKELIEST, Lesson
from examples import BOS, PAD
from tests.nano.lessons_here import SHAPE, lessons, slot_of, teacher

from midfill.engine.config import FULL, SLIDING
from midfill.engine.speculative import no_drafts, speculate
from midfill.engine.verify import verify_greedy

TOLERANCE = 1e-3
"""Absolute, float32: a batch adds up in another order than one text."""
KEPT_TOLERANCE = 0.02
"""K and V are kept in bfloat16, of 8 bits; the largest are about 4."""


@pytest.fixture(scope="module")
def lesson(tmp_path_factory: pytest.TempPathFactory) -> Lesson:
    return lessons(tmp_path_factory.mktemp("corpus"))[0]


def test_a_lesson_has_the_sizes_it_says(lesson: Lesson):
    count = SHAPE.read + SHAPE.written
    assert lesson.tokens.shape == (SHAPE.rows, lesson.start + count)
    assert lesson.hidden.shape == (SHAPE.rows, count, teacher().config.hidden_size)
    assert lesson.likeliest.shape == lesson.chances.shape == (SHAPE.rows, count, NUM_LIKELIEST)
    for keys, values in lesson.cached.values():
        assert keys.shape[2] == values.shape[2] == lesson.tokens.shape[1]


def test_a_text_is_a_stream_without_padding(lesson: Lesson):
    opening = lesson.tokens[:, : -SHAPE.written]
    assert opening[:, 0].tolist() == [BOS] * SHAPE.rows
    assert PAD not in opening


def test_what_the_teacher_wrote_is_its_greedy_text(lesson: Lesson):
    for row in lesson.tokens.tolist():
        cut = len(row) - SHAPE.written
        steps = speculate(teacher(), slot_of(row[:cut]), no_drafts, verify_greedy)
        assert [token for _ in range(SHAPE.written) for token in next(steps)] == row[cut:]


def test_what_is_kept_is_what_a_slot_would_hold(lesson: Lesson):
    for row, tokens in enumerate(lesson.tokens.tolist()):
        slot = slot_of(tokens)
        torch.testing.assert_close(lesson.hidden[row, -1], slot.last_hidden, atol=TOLERANCE, rtol=0)
        for kind in (SLIDING, FULL):
            layer = teacher().config.last_kv_layer(kind)
            for mine, theirs in zip(lesson.cached[kind], (slot.keys(layer), slot.values(layer)), strict=True):
                torch.testing.assert_close(mine[row].float(), theirs, atol=KEPT_TOLERANCE, rtol=0)


def test_chances_are_a_distribution_best_first(lesson: Lesson):
    torch.testing.assert_close(lesson.chances.sum(dim=-1), torch.ones(lesson.chances.shape[:2]))
    assert bool((lesson.chances.diff(dim=-1) <= 0).all())


def test_a_seed_draws_the_same_lesson_again(lesson: Lesson, tmp_path: Path):
    assert torch.equal(lessons(tmp_path)[0].tokens, lesson.tokens)
    assert not torch.equal(lessons(tmp_path, seed=1)[0].tokens[:, :20], lesson.tokens[:, :20])
