"""`engine/nano/losses.py` against plain definitions, and against the engine that will run the model."""

import pytest
import torch
import torch.nn.functional as F
from losses import Batch, _canvas_attend, _canvas_positions, _causal_attend, _corrupt, linear_cross_entropy, losses
from tests.engine.small_model import WINDOW, small_model

from midfill.engine.prefix_cache import PrefixCache

STREAM, CANVAS = 2 * WINDOW, 8


def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    hole = torch.zeros(2, 2, CANVAS, dtype=torch.bool)
    hole[:, :, :5] = True
    return Batch(
        torch.randint(3, 64, (2, STREAM), generator=generator),
        torch.cat((torch.arange(1, STREAM), torch.arange(STREAM + 1, 2 * STREAM))),
        torch.randint(3, 64, (2, 2 * CANVAS), generator=generator),
        hole.flatten(1),
        hole.flatten().nonzero().flatten(),
        torch.tensor([[STREAM - 3, 4], [WINDOW + 2, WINDOW]]),
    )


def test_the_fused_cross_entropy_has_the_value_and_gradients_of_the_plain_one():
    model = small_model().requires_grad_(True)
    hidden = torch.randn(37, 32, generator=torch.Generator().manual_seed(1), requires_grad=True)
    targets = torch.arange(37) % 64
    fused = linear_cross_entropy(model, hidden, targets)
    fused.backward()
    found = hidden.grad, model.embed_tokens.weight.grad
    hidden.grad = model.embed_tokens.weight.grad = None
    plain = F.cross_entropy(model.logits(hidden), targets)
    plain.backward()
    torch.testing.assert_close(fused, plain, atol=1e-5, rtol=0)
    for ours, theirs in zip(found, (hidden.grad, model.embed_tokens.weight.grad), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)


def test_training_sees_what_the_engine_sees():
    """Streams and canvases side by side under masks give the hidden states of the engine's slots."""
    model, drawn = small_model(), batch()
    keys: list[tuple[torch.Tensor, torch.Tensor]] = []
    with torch.no_grad():
        streamed = model.encode(drawn.stream, torch.arange(STREAM), _causal_attend(keys, model))
        denoised = model.denoise(drawn.canvas, _canvas_positions(drawn), None, _canvas_attend(model, drawn, keys))
    cache = PrefixCache(model, 1 << 30)
    for row in range(2):
        slot = cache._new_slot()
        cache.encode(slot, drawn.stream[row].tolist())
        assert slot.last_hidden is not None
        torch.testing.assert_close(streamed[row, -1], slot.last_hidden, atol=1e-5, rtol=0)
        for index, anchor in enumerate(drawn.anchor[row].tolist()):
            slot.trim(0)
            cache.encode(slot, drawn.stream[row, :anchor].tolist())
            part = slice(index * CANVAS, (index + 1) * CANVAS)
            positions = torch.arange(anchor, anchor + CANVAS)
            with torch.no_grad():
                alone = model.denoise(drawn.canvas[row : row + 1, part], positions, None, slot.attend_canvas)
            torch.testing.assert_close(denoised[row, part], alone[0], atol=1e-5, rtol=0)


def test_a_few_steps_on_one_batch_lower_both_losses():
    model, drawn = small_model().requires_grad_(True), batch()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    history = []
    for step in range(60):
        denoising, causal = losses(model, drawn, torch.Generator().manual_seed(step), 0.7 if step % 2 else None)
        optimizer.zero_grad()
        (denoising + causal).backward()
        optimizer.step()
        history.append((denoising.item(), causal.item()))
    assert all(sum(column[-10:]) < 0.8 * sum(column[:10]) for column in zip(*history, strict=True))


@pytest.mark.parametrize("temperature", [None, 0.7])
def test_both_losses_are_those_of_the_tokens_that_the_batch_names(temperature: float | None):
    model, drawn = small_model(), batch()
    keys: list[tuple[torch.Tensor, torch.Tensor]] = []
    noisy, soft, marked = _corrupt(model, drawn, torch.Generator().manual_seed(5))
    positions = _canvas_positions(drawn)
    with torch.no_grad():
        found = losses(model, drawn, torch.Generator().manual_seed(5), temperature)
        streamed = model.logits(model.encode(drawn.stream, torch.arange(STREAM), _causal_attend(keys, model)))
        attend = _canvas_attend(model, drawn, keys)
        if temperature is not None:
            first = model.logits(model.denoise(noisy, positions, soft, attend)[drawn.hole])
            soft = marked.clone()
            soft[drawn.hole] = model.soft_embed((first / temperature).softmax(dim=-1))
        last = model.logits(model.denoise(noisy, positions, soft, attend)[drawn.hole])
    causal = F.cross_entropy(streamed[:, :-1].flatten(0, 1), drawn.stream[:, 1:].flatten())
    expected = F.cross_entropy(last, drawn.canvas[drawn.hole]), causal
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
