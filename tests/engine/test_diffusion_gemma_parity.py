"""`midfill.engine.diffusion_gemma` and its KV against transformers, on the same checkpoints and inputs."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from tests.engine.parity import Pair, Record, assert_close, each_checkpoint
from torch import Tensor, nn
from transformers import DynamicCache

each_prompt = pytest.mark.parametrize("windows", [0.5, 1.5], ids=["within_window", "past_window"])


@pytest.fixture
def prompt(pair: Pair, windows: float) -> Tensor:
    """Tokens [1, T], about so many sliding windows: fewer than one or more."""
    return pair.random_tokens(1, int(windows * pair.window) + (1 if windows < 1 else 9), seed=3)


def layer_outputs(layers: Iterable[nn.Module], run: Callable[[], Any]) -> list[Tensor]:
    """What each of `layers` gives during `run`."""
    outputs: list[Tensor] = []
    hooks = [layer.register_forward_hook(lambda *call: outputs.append(call[2].clone())) for layer in layers]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    return outputs


@each_checkpoint
@each_prompt
@torch.no_grad()
def test_encoder_hidden_states_of_every_layer(pair: Pair, prompt: Tensor, record_property: Record) -> None:
    encoder = pair.reference.model.encoder
    text = encoder.language_model
    *theirs, their_last = layer_outputs([*text.layers, text.norm], lambda: encoder(input_ids=prompt))
    *ours, our_last = layer_outputs([*pair.model.layers, pair.model.norm], lambda: pair.prefilled(prompt))
    assert_close(record_property, pair, "encoder layers", torch.stack(ours), torch.stack(theirs))
    assert_close(record_property, pair, "encoder output", our_last, their_last)


@each_checkpoint
@each_prompt
@torch.no_grad()
def test_keys_and_values_of_every_layer(pair: Pair, prompt: Tensor, record_property: Record) -> None:
    whole: Any = DynamicCache()  # made without the config, it keeps all of the sliding layers' prefix, too
    pair.reference.model.encoder(input_ids=prompt, past_key_values=whole)
    slot = pair.prefilled(prompt)
    for index, (keys, values, _) in enumerate(whole):
        assert_close(record_property, pair, "encoder keys", slot.keys(index), keys[0])
        assert_close(record_property, pair, "encoder values", slot.values(index), values[0])


def denoise(pair: Pair, canvas: Tensor, self_conditioning: Tensor | None, *prompt: Tensor) -> Tensor:
    """Our logits [B, C, V] of canvases [B, C] after the pieces of a prompt."""
    slot = pair.prefilled(*prompt)
    positions = torch.arange(len(slot.tokens), len(slot.tokens) + canvas.shape[1])
    soft = None
    if self_conditioning is not None:
        soft = pair.model.soft_embed(self_conditioning.softmax(dim=-1))
    return pair.model.logits(pair.model.denoise(canvas, positions, soft, slot.attend_canvas))


def denoise_reference(pair: Pair, canvas: Tensor, self_conditioning: Tensor | None, *prompt: Tensor) -> Tensor:
    """The same by transformers, canvas by canvas."""
    cache, start = None, 0
    for piece in prompt:
        positions = torch.arange(start, start + piece.shape[1])[None]
        encoded = pair.reference.model.encoder(input_ids=piece, past_key_values=cache, position_ids=positions)
        cache, start = encoded.past_key_values, start + piece.shape[1]
    rows = [
        pair.reference(
            decoder_input_ids=canvas[row : row + 1],
            past_key_values=cache,
            self_conditioning_logits=None if self_conditioning is None else self_conditioning[row : row + 1],
        ).logits
        for row in range(len(canvas))
    ]
    return torch.cat(rows)


@each_checkpoint
@each_prompt
@torch.no_grad()
def test_decoder_logits(pair: Pair, prompt: Tensor, record_property: Record) -> None:
    canvas = pair.random_tokens(2, pair.loaded.config.canvas_length, seed=4)
    logits = torch.randn(*canvas.shape, pair.loaded.config.vocab_size, generator=torch.Generator().manual_seed(5))
    for quantity, conditioning in (("decoder logits", None), ("with self-conditioning", logits * 3)):
        ours = denoise(pair, canvas, conditioning, prompt)
        theirs = denoise_reference(pair, canvas, conditioning, prompt)
        assert_close(record_property, pair, quantity, ours, theirs)


@each_checkpoint
@each_prompt
@torch.no_grad()
def test_decoder_logits_after_a_commit(pair: Pair, prompt: Tensor, record_property: Record) -> None:
    committed = pair.random_tokens(1, pair.loaded.config.canvas_length, seed=6)
    canvas = pair.random_tokens(2, pair.loaded.config.canvas_length, seed=7)
    ours = denoise(pair, canvas, None, prompt, committed)
    theirs = denoise_reference(pair, canvas, None, prompt, committed)
    assert_close(record_property, pair, "after a commit", ours, theirs)
