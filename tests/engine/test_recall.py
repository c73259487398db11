"""`midfill.engine.recall` against its definition: places that agree are looked for one by one."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.errors import CheckpointError
from midfill.engine.prompt import Prompt
from midfill.engine.recall import RECALL, Recall, RecallSettings, read_recall

VOCABULARY = 5
SETTINGS = RecallSettings((0.1, 0.25, 0.5))

texts = st.lists(st.integers(0, VOCABULARY - 1), max_size=30)
pieces = st.lists(texts, min_size=1, max_size=3).filter(any)


def agreement(before: Sequence[int], start: Sequence[int], longest: int) -> int:
    """How many tokens two texts end with alike."""
    count = 0
    while count < min(longest, len(before), len(start)) and before[-1 - count] == start[-1 - count]:
        count += 1
    return count


def defined(settings: RecallSettings, pieces: Sequence[Sequence[int]], start: Sequence[int], own: np.ndarray):
    """What follows `start`: the shares taken one after another, the longest agreement last."""
    mixed = own
    for length, share in enumerate(settings.shares, start=1):
        followers = [
            piece[place]
            for piece in pieces
            for place in range(len(piece))
            if agreement(piece[:place], start, len(settings.shares)) >= length
        ]
        if followers:
            mixed = (1 - share) * mixed + share * np.bincount(followers, minlength=len(own)) / len(followers)
    return mixed


@given(pieces, texts.filter(bool), st.lists(st.tuples(st.integers(0, 9), st.integers(0, VOCABULARY - 1)), max_size=10))
def test_what_is_mixed_is_as_defined_after_each_start_of_a_tree(
    pieces: list[list[int]], prompt: list[int], steps: list[tuple[int, int]]
):
    recall, starts = Recall(SETTINGS, pieces, prompt), [prompt]
    for parent, token in steps:
        parent %= len(starts)
        recall.add(parent, token)
        starts.append([*starts[parent], token])
    own = np.random.default_rng(len(steps)).dirichlet(np.ones(VOCABULARY), len(starts))
    first = len(starts) // 2
    found = torch.tensor(own[first:], dtype=torch.float32)
    recall.mix(found, first)
    for row, start, said in zip(found.tolist(), starts[first:], own[first:], strict=True):
        assert row == pytest.approx(defined(SETTINGS, pieces, start, said), abs=1e-6)
        assert sum(row) == pytest.approx(1, abs=1e-5)


@given(pieces, st.integers(0, VOCABULARY - 1), st.integers(0, VOCABULARY - 1))
def test_a_follower_is_what_came_after_two_tokens_the_last_time(pieces: list[list[int]], one: int, two: int):
    every = [
        three
        for piece in pieces
        for *both, three in zip(piece, piece[1:], piece[2:], strict=False)
        if both == [one, two]
    ]
    assert Recall(SETTINGS, pieces, [0]).follower(one, two) == (every[-1] if every else None)


def test_the_longer_the_agreement_the_more_of_what_followed():
    recall = Recall(SETTINGS, [[0, 1, 2, 3], [4, 1, 2, 0]], [0, 1, 2])
    found = torch.full((1, VOCABULARY), 1 / VOCABULARY)
    recall.mix(found, 0)
    assert found[0].argmax() == 3
    assert found[0, 0] > found[0, 1] == found[0, 2] == found[0, 4]


def test_nothing_agrees_across_pieces_and_nothing_follows_their_ends():
    assert Recall(SETTINGS, [[0, 1], [2, 3]], [0, 1]).followers(0)[1].tolist() == []
    assert Recall(SETTINGS, [[0, 1, 2, 3]], [0, 1]).followers(0)[1].tolist() == [2]


def test_a_start_of_any_length_agrees_in_no_more_than_the_longest():
    recall = Recall(SETTINGS, [[1] * 400], [1])
    for start in range(300):
        recall.add(start, 1)
    _, tokens, lengths = recall.followers(300)
    assert tokens.tolist() == [1] * 399
    assert lengths.max() == len(SETTINGS.shares)


def test_what_is_kept_goes_on_as_if_the_prompt_had_been_so_from_the_first():
    texts = [[0, 1, 2, 3, 1, 2, 4], [2, 3]]
    recall, fresh = Recall(SETTINGS, texts, [0, 1]), Recall(SETTINGS, texts, [0, 1, 2, 3])
    for start, token in ((0, 2), (0, 4), (1, 3), (3, 1)):  # starts 1 to 4, of which 3 becomes the prompt
        recall.add(start, token)
    recall.keep([3, 4])
    fresh.add(0, 1)
    for start in (0, 1):
        assert [each.tolist() for each in recall.followers(start)] == [each.tolist() for each in fresh.followers(start)]
    assert recall.follower(1, 2) == 4


def test_without_settings_or_text_there_is_none():
    prompt = Prompt([1], b"", "", [2], elsewhere=[[], [1, 2]])
    assert Recall.of(None, prompt) is None
    assert Recall.of(SETTINGS, prompt._replace(elsewhere=[[], []])) is None
    assert Recall.of(SETTINGS, prompt) is not None


def test_a_checkpoint_has_its_own_shares_and_may_have_notes(tmp_path: Path):
    assert read_recall(tmp_path) is None
    (tmp_path / RECALL).write_text('{"shares": [0.5, 0.25], "tokens": 7}')
    assert read_recall(tmp_path) == RecallSettings((0.5, 0.25))


@pytest.mark.parametrize("content", ["{}", '{"shares": []}', '{"shares": [1.0]}', '{"shares": [-0.1]}', "not JSON"])
def test_a_wrong_file_is_named(tmp_path: Path, content: str):
    (tmp_path / RECALL).write_text(content)
    with pytest.raises(CheckpointError, match=RECALL):
        read_recall(tmp_path)
