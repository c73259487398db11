"""`midfill.engine.canvas`: pins hold, accounting is the hole's, the cache is only read."""

from collections.abc import Callable, Sequence

import pytest
import torch
from tests.engine.small_model import WINDOW, small_model
from torch import Tensor

from midfill.engine.canvas import Canvas, DenoiseSettings, FirstStep, Layout, Refine, decode
from midfill.engine.draws import Draws
from midfill.engine.kv import KVSlot
from midfill.engine.prefix_cache import PrefixCache

VOCAB, CPU = 64, torch.device("cpu")
MODEL = small_model(VOCAB)
PROMPT = [(5 * index) % VOCAB for index in range(2 * WINDOW)]


def slot_of(tokens: list[int], chunk_tokens: int = 256) -> KVSlot:
    cache = PrefixCache(MODEL, 1 << 30, chunk_tokens)
    slot = cache._new_slot()
    for start in range(0, len(tokens), chunk_tokens):
        cache.encode(slot, tokens[start : start + chunk_tokens])
    return slot


def layout_of(*holes: int, size: int = 16) -> Layout:
    """Canvases with a hole of each length, and tokens 40, 41, … pinned behind it."""
    tokens = torch.arange(size).expand(len(holes), size) + 40
    return Layout(tokens, torch.arange(size) < torch.tensor(holes)[:, None])


def run(layout: Layout, settings: DenoiseSettings, seed: int = 0, slot: KVSlot | None = None) -> list[Canvas]:
    return list(decode(MODEL, slot or slot_of(PROMPT), layout, settings, Draws(seed, CPU)))


@pytest.fixture
def seen_canvases(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor | None]]:
    """Canvas and self-conditioning of every forward pass that the test makes."""
    seen: list[tuple[Tensor, Tensor | None]] = []
    denoise: Callable[..., Tensor] = MODEL.denoise

    def recording(canvas: Tensor, positions: Tensor, soft: Tensor | None, attend: Callable[..., Tensor]) -> Tensor:
        seen.append((canvas.clone(), None if soft is None else soft.clone()))
        return denoise(canvas, positions, soft, attend)

    monkeypatch.setattr(MODEL, "denoise", recording)
    return seen


def test_pins_stand_on_every_canvas_that_the_model_sees(seen_canvases: list[tuple[Tensor, Tensor | None]]):
    layout = layout_of(5)
    canvases = run(layout, DenoiseSettings(max_steps=8))
    assert len(seen_canvases) == len(canvases) == 8
    for canvas in (*(noisy for noisy, _ in seen_canvases), *(canvas.tokens for canvas in canvases)):
        assert torch.equal(canvas[~layout.hole], layout.tokens[~layout.hole])


@pytest.mark.parametrize("first_step", [0, 1, 2])
def test_pins_are_marked_one_hot_from_the_wanted_step(
    first_step: int, seen_canvases: list[tuple[Tensor, Tensor | None]]
):
    layout = layout_of(5)
    run(layout, DenoiseSettings(max_steps=4, mark_pins_from_step=first_step))
    embedded = MODEL.embed(layout.tokens)[~layout.hole]
    for step, (_, soft) in enumerate(seen_canvases):
        if step < first_step:
            assert soft is None or bool((soft[~layout.hole] == 0).all())
        else:
            assert soft is not None
            assert torch.equal(soft[~layout.hole], embedded)


def test_the_hole_is_conditioned_on_the_last_prediction_only_after_the_first_step(
    seen_canvases: list[tuple[Tensor, Tensor | None]],
):
    layout = layout_of(5)
    run(layout, DenoiseSettings(max_steps=3, mark_pins_from_step=0))
    softs = [soft for _, soft in seen_canvases if soft is not None]
    assert [bool((soft[layout.hole] != 0).any()) for soft in softs] == [False, True, True]


def test_a_seed_reproduces_a_decode_and_another_gives_other_noise():
    layout, settings = layout_of(9), DenoiseSettings(max_steps=3)
    once, again, other = (run(layout, settings, seed) for seed in (1, 1, 2))
    for canvas, same in zip(once, again, strict=True):
        assert torch.equal(canvas.tokens, same.tokens)
        assert torch.equal(canvas.entropies, same.entropies)
    assert not torch.equal(once[0].entropies, other[0].entropies)


def test_banned_tokens_are_never_written():
    banned = torch.arange(VOCAB) % 2 == 0
    banned_first = torch.arange(VOCAB) != 7
    layout = layout_of(6, 9)._replace(banned=banned, banned_first=banned_first)
    for canvas in run(layout, DenoiseSettings(max_steps=4)):
        assert not bool(banned[canvas.tokens[layout.hole]].any())
        assert canvas.tokens[:, 0].tolist() == [7, 7]
        assert bool(canvas.entropies.isfinite().all())


def test_the_stop_looks_at_the_hole_only():
    layout = layout_of(2)
    entropies = run(layout, DenoiseSettings(max_steps=1))[0].entropies
    in_hole, on_canvas = float(entropies[layout.hole].mean()), float(entropies.mean())
    assert on_canvas < in_hole / 4
    # Between the two means: a stop that averaged the canvas would fire at step 2.
    settings = DenoiseSettings(
        max_steps=6, t_min=0.8, t_max=0.8, stability_threshold=0, confidence_threshold=in_hole / 3
    )
    assert not bool(run(layout, settings)[1].done.any())


def test_a_stable_and_sure_row_freezes_while_the_others_go_on(
    seen_canvases: list[tuple[Tensor, Tensor | None]],
):
    only_seven = torch.arange(VOCAB) != 7  # the hole of one token has no choice, and is sure at once
    layout = layout_of(1, 12)._replace(banned_first=only_seven)
    canvases = run(layout, DenoiseSettings(max_steps=6))
    assert [canvas.done.tolist() for canvas in canvases] == [[False, False], *[[True, False]] * 5]
    assert [len(canvas) for canvas, _ in seen_canvases] == [2, 2, 1, 1, 1, 1]
    assert all(torch.equal(canvas.tokens[0], canvases[1].tokens[0]) for canvas in canvases[1:])
    assert len({tuple(canvas.tokens[1].tolist()) for canvas in canvases[1:]}) > 1


class DrawsOfRows(Draws):
    """Random numbers of its own for each row: those do not hang on what stands beside it."""

    def __init__(self, lengths: Sequence[int], seeds: Sequence[int]) -> None:
        self.lengths, self.rows = list(lengths), [Draws(seed, CPU) for seed in seeds]

    def noise(self, shape: Sequence[int], vocab_size: int) -> Tensor:
        return torch.cat([row.noise((1, shape[1]), vocab_size) for row in self.rows])

    def sample(self, probabilities: Tensor) -> Tensor:
        parts = zip(self.rows, probabilities.split(self.lengths), strict=True)
        return torch.cat([row.sample(part) for row, part in parts])


def test_lengths_side_by_side_become_what_each_becomes_alone():
    lengths, settings = [4, 7, 2], DenoiseSettings(max_steps=5, confidence_threshold=-1.0)
    slot = slot_of(PROMPT)
    together = list(decode(MODEL, slot, layout_of(*lengths), settings, DrawsOfRows(lengths, range(3))))
    assert len(together) == 5
    for row, length in enumerate(lengths):
        alone = decode(MODEL, slot, layout_of(length), settings, DrawsOfRows([length], [row]))
        for beside, canvas in zip(together, alone, strict=True):
            # Other row counts, other sums: up to 1.6e-5 where float32 is multiplied by AVX2.
            torch.testing.assert_close(beside.entropies[row], canvas.entropies[0], atol=5e-5, rtol=0)
            assert torch.equal(beside.tokens[row], canvas.tokens[0])


@pytest.mark.parametrize("steps_before_closing", [0, 1, 3])
def test_closing_between_any_two_steps_leaves_the_slot_as_it_was(steps_before_closing: int):
    slot = slot_of(PROMPT)
    before = [slot.keys(index).clone() for index in range(len(MODEL.layers))]
    decoding = decode(MODEL, slot, layout_of(6), DenoiseSettings(max_steps=8), Draws(0, CPU))
    for _ in range(steps_before_closing):
        next(decoding)
    decoding.close()
    assert slot.tokens == PROMPT
    assert all(torch.equal(slot.keys(index), keys) for index, keys in enumerate(before))


@pytest.mark.parametrize("chunk_tokens", [1, WINDOW, 17])
def test_canvases_over_a_chunked_prompt_are_those_over_a_whole_one(chunk_tokens: int):
    layout, settings = layout_of(5, 8), DenoiseSettings(max_steps=4)
    whole, chunked = run(layout, settings), run(layout, settings, slot=slot_of(PROMPT, chunk_tokens))
    for canvas, same in zip(whole, chunked, strict=True):
        assert torch.equal(canvas.tokens, same.tokens)


def test_the_loop_ends_at_max_steps():
    assert [canvas.step for canvas in run(layout_of(8), DenoiseSettings(max_steps=5))] == [1, 2, 3, 4, 5]


def surely(token: int) -> Refine:
    """Knows that holes hold nothing but `token`."""

    def refine(row: int, log_probabilities: Tensor) -> Tensor:
        known = torch.full_like(log_probabilities, -1e4)
        known[:, token] = 0.0
        return known

    return refine


def test_what_is_known_of_a_hole_is_accepted_stopped_at_and_told_to_the_next_step(
    seen_canvases: list[tuple[Tensor, Tensor | None]],
):
    layout = layout_of(5)._replace(refine=surely(9))
    canvases = run(layout, DenoiseSettings(max_steps=6))
    assert [canvas.done.tolist() for canvas in canvases] == [[False], [True]]
    assert all(canvas.tokens[layout.hole].tolist() == [9] * 5 for canvas in canvases)
    assert all(float(canvas.entropies.sum()) == 0.0 for canvas in canvases)
    noisy, soft = seen_canvases[1]
    assert noisy[layout.hole].tolist() == [9] * 5
    assert soft is not None
    torch.testing.assert_close(soft[layout.hole], MODEL.embed(torch.full((5,), 9)), atol=1e-5, rtol=0)


def test_tokens_that_are_known_to_be_wrong_are_never_accepted(seen_canvases: list[tuple[Tensor, Tensor | None]]):
    def only_low(row: int, log_probabilities: Tensor) -> Tensor:
        return log_probabilities.masked_fill(torch.arange(VOCAB) >= 3, -1e4).log_softmax(-1).clamp(min=-1e4)

    run(layout_of(6)._replace(refine=only_low), DenoiseSettings(max_steps=5, entropy_bound=1e9))  # accepts all
    assert all(bool((noisy[:, :6] < 3).all()) for noisy, _ in seen_canvases[1:])


def test_where_nothing_more_is_known_the_decode_is_the_plain_one():
    layout, settings = layout_of(4, 7), DenoiseSettings(max_steps=4)
    for canvas, same in zip(
        run(layout._replace(refine=lambda row, given: None), settings), run(layout, settings), strict=True
    ):
        assert torch.equal(canvas.tokens, same.tokens)
        assert torch.equal(canvas.entropies, same.entropies)


@pytest.mark.parametrize(("settle_entropy", "done"), [(0.69, [False] * 4), (0.7, [False, True]), (0.0, [False] * 4)])
def test_a_stable_row_commits_once_its_most_unsure_position_is_below_the_bound(settle_entropy: float, done: list[bool]):
    def unsure_of_one(row: int, log_probabilities: Tensor) -> Tensor:
        known = torch.full_like(log_probabilities, -1e4)
        known[:, 9] = known[1, 10] = 0.0  # as likely as 9: ln 2 = 0.693 nats, and 0.139 in the mean of five
        return known.log_softmax(dim=-1)

    settings = DenoiseSettings(max_steps=4, settle_entropy=settle_entropy)
    canvases = run(layout_of(5)._replace(refine=unsure_of_one), settings)
    assert [bool(canvas.done) for canvas in canvases] == done


def test_each_row_is_asked_about_until_it_has_settled():
    asked: list[tuple[int, int]] = []

    def first_is_sure(row: int, log_probabilities: Tensor) -> Tensor | None:
        asked.append((row, len(log_probabilities)))
        assert torch.allclose(log_probabilities.exp().sum(dim=-1), torch.ones(len(log_probabilities)))
        return surely(9)(row, log_probabilities) if row == 0 else None

    run(layout_of(1, 12)._replace(refine=first_is_sure), DenoiseSettings(max_steps=4))
    assert asked == [(0, 1), (1, 12)] * 2 + [(1, 12)] * 2


def test_a_first_step_that_was_taken_before_is_not_computed_again(seen_canvases: list[tuple[Tensor, Tensor | None]]):
    layout, settings, first = layout_of(5, 3), DenoiseSettings(max_steps=2), FirstStep()
    pinned = layout._replace(tokens=layout.tokens + 1)
    shorter = layout._replace(hole=layout.hole & (torch.arange(16) < 4))
    held = layout._replace(banned_first=torch.arange(VOCAB) != 7)
    decodes = (layout, 0, 2), (layout, 0, 1), (held, 0, 1), (pinned, 0, 2), (pinned, 1, 2), (shorter, 1, 2)
    for asked, seed, passes in decodes:
        seen_canvases.clear()
        found = list(decode(MODEL, slot_of(PROMPT), asked._replace(first_step=first), settings, Draws(seed, CPU)))
        assert len(seen_canvases) == passes
        for one, plain in zip(found, run(asked, settings, seed), strict=True):
            assert torch.equal(one.tokens, plain.tokens)
            assert torch.equal(one.entropies, plain.entropies)
