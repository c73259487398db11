"""`engine/nano/examples.py`: what the model is trained on is what the engine will show it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from examples import END, EOS, MIN_PINNED, PAD, PREFIX, PYTHON, SUFFIX, Corpus, Examples

NEWLINE, STREAM, CANVAS = 20, 96, 32


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Three documents whose tokens count up, so that a token tells where it stood, with a newline every ten."""
    ids = np.arange(100, 700, dtype=np.uint16)
    ids[9::10] = NEWLINE
    np.save(tmp_path / "train.npy", ids)
    np.save(tmp_path / "train_docs.npy", np.array([0, 300, 310, 600]))
    np.save(tmp_path / "train_lang.npy", np.array([PYTHON, 8, 9], dtype=np.uint8))
    return Corpus(tmp_path, "train", NEWLINE)


def drawn(corpus: Corpus, documents: int = 200):
    return Examples(corpus, np.random.default_rng(0)).batch(documents, STREAM, canvases=3, canvas=CANVAS)


def test_a_batch_has_the_shapes_it_says(corpus: Corpus):
    batch = drawn(corpus, 4)
    assert batch.stream.shape == (4, STREAM)
    assert batch.canvas.shape == batch.hole.shape == (4, 3 * CANVAS)
    assert batch.anchor.shape == (4, 3)


def test_a_canvas_stands_where_the_stream_reads_its_first_token(corpus: Corpus):
    batch = drawn(corpus)
    for stream, canvas, anchors in zip(batch.stream, batch.canvas.unflatten(1, (3, CANVAS)), batch.anchor, strict=True):
        for row, anchor in zip(canvas, anchors, strict=True):
            assert int(stream[anchor]) == int(row[0])


def test_the_canvas_is_the_document_but_for_end_marks_and_padding(corpus: Corpus):
    text = corpus.ids.tolist()
    for row in drawn(corpus).canvas.reshape(-1, CANVAS).tolist():
        written = [token for token in row if token not in (PAD, END, EOS)]
        start = next((at for at in range(len(text)) if text[at : at + len(written)] == written), None)
        assert start is not None


def test_a_hole_starts_each_canvas_and_leaves_room_for_pins(corpus: Corpus):
    holes = drawn(corpus).hole.reshape(-1, CANVAS)
    lengths = holes.sum(dim=1)
    assert bool(((holes.long().diff(dim=1)) <= 0).all())
    assert int(lengths.min()) >= 1
    assert int(lengths.max()) <= CANVAS - MIN_PINNED


def test_padded_holes_hold_text_one_end_mark_and_padding(corpus: Corpus):
    batch = drawn(corpus)
    padded = 0
    for row, hole in zip(batch.canvas.reshape(-1, CANVAS), batch.hole.reshape(-1, CANVAS), strict=True):
        inside = row[hole].tolist()
        if END in inside:
            padded += 1
            assert inside.count(END) == 1
            assert set(inside[inside.index(END) + 1 :]) <= {PAD}
        assert END not in row[~hole].tolist()
    assert 0.2 < padded / 600 < 0.6


def test_no_document_shows_in_another(corpus: Corpus):
    for stream in drawn(corpus).stream.tolist():
        tokens = [token for token in stream if token >= 100]
        assert len({0 if token < 400 else 1 if token < 410 else 2 for token in tokens}) == 1


def test_structure_is_no_target_but_text_and_the_end_of_a_file_are(corpus: Corpus):
    batch = drawn(corpus)
    wanted = (batch.stream == EOS) | (batch.stream >= 100)
    counted = torch.zeros_like(wanted).flatten().index_fill(0, batch.targets, True).view_as(wanted)
    for special in (PAD, SUFFIX, PREFIX, PYTHON):
        assert not bool(counted[batch.stream == special].any())
    assert bool(counted[wanted].all())
    assert not bool(counted[:, 0].any())


def test_holes_are_told_by_their_places_too(corpus: Corpus):
    batch = drawn(corpus)
    assert torch.equal(batch.holes, batch.hole.flatten().nonzero().flatten())


def test_the_same_generator_draws_the_same_batch(corpus: Corpus):
    once, again = drawn(corpus, 8), drawn(corpus, 8)
    assert all(bool((a == b).all()) for a, b in zip(once, again, strict=True))
