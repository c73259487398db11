"""`midfill.engine.canvas` against transformers' `generate`, given the same random draws."""

from typing import Any, NamedTuple

import msgspec
import pytest
import torch
from tests.engine.parity import Pair, Record, assert_close, assert_equal, each_checkpoint
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList
from transformers.generation.streamers import BaseStreamer

from midfill.engine.canvas import DenoiseSettings, Layout, _Denoiser, decode
from midfill.engine.draws import Draws
from midfill.engine.kv import KVSlot
from midfill.engine.prefix_cache import PrefixCache

pytestmark = pytest.mark.filterwarnings(r"ignore:`torch\.jit\.script_method` is deprecated:DeprecationWarning")
NUM_STEPS = 6
"""Few: the self-conditioning makes each step amplify the rounding of the last."""
SEED = 11


class MultinomialDraws(Draws):
    """Draws as transformers does: by `torch.multinomial`, and for the pinned positions of `hole` [B, C], too."""

    def __init__(self, seed: int, hole: Tensor) -> None:
        super().__init__(seed, torch.device("cpu"))
        self.hole = hole

    def sample(self, probabilities: Tensor) -> Tensor:
        everywhere = torch.ones(*self.hole.shape, probabilities.shape[-1])
        everywhere[self.hole] = probabilities
        drawn = torch.multinomial(everywhere.flatten(0, 1), 1, generator=self.generator)
        return drawn.view(self.hole.shape)[self.hole]


class Drafts(BaseStreamer):
    """Keeps the argmax canvas of each denoise step of `generate`."""

    def __init__(self) -> None:
        self.canvases: list[Tensor] = []

    def put(self, value: Tensor) -> None:
        pass

    def put_draft(self, value: Tensor) -> None:
        self.canvases.append(value.clone())

    def end(self) -> None:
        pass


def settings_of(pair: Pair, **changes: Any) -> DenoiseSettings:
    """The checkpoint's settings with few steps, and with pins marked when transformers marks them."""
    settings = pair.loaded.generation.denoise_settings(mark_pins_from_step=1)
    return msgspec.structs.replace(settings, **{"max_steps": NUM_STEPS, **changes})


def generate(pair: Pair, prompt: Tensor, num_canvases: int, settings: DenoiseSettings) -> list[Tensor]:
    """Our argmax canvas of every step of so many canvases, each committed before the next."""
    slot = KVSlot(pair.loaded.config, torch.device("cpu"), torch.float32)
    cache = PrefixCache(pair.model, max_bytes=0)
    cache.encode(slot, prompt[0].tolist())
    tokens = torch.zeros(1, pair.loaded.config.canvas_length, dtype=torch.long)
    layout = Layout(tokens, hole=torch.ones_like(tokens, dtype=torch.bool))
    draws = MultinomialDraws(SEED, layout.hole)
    drafts: list[Tensor] = []
    for _ in range(num_canvases):
        drafts += [canvas.tokens for canvas in decode(pair.model, slot, layout, settings, draws)]
        cache.encode(slot, drafts[-1][0].tolist())
    return drafts


def generate_reference(
    pair: Pair, prompt: Tensor, num_canvases: int, settings: DenoiseSettings
) -> tuple[list[Tensor], Tensor]:
    """The argmax canvases of transformers, and the tokens [T] that it adds to the prompt."""
    drafts = Drafts()
    torch.manual_seed(SEED)
    generated = pair.reference.generate(
        prompt,
        streamer=drafts,
        max_new_tokens=num_canvases * pair.loaded.config.canvas_length,
        max_denoising_steps=settings.max_steps,
        stability_threshold=settings.stability_threshold,
        confidence_threshold=settings.confidence_threshold,
        eos_token_id=None,
    )
    return drafts.canvases, generated.sequences[0, prompt.shape[1] :]


@each_checkpoint
@pytest.mark.parametrize("num_canvases", [1, 2])
@pytest.mark.parametrize("prompt_length", [3, 17, 40])
def test_generation_is_token_for_token_the_same(
    pair: Pair, prompt_length: int, num_canvases: int, record_property: Record
) -> None:
    prompt = pair.random_tokens(1, prompt_length, seed=prompt_length)
    ours = generate(pair, prompt, num_canvases, settings_of(pair))
    theirs, tokens = generate_reference(pair, prompt, num_canvases, settings_of(pair))
    assert len(ours) == len(theirs)
    assert_equal(record_property, pair, "generate: argmax canvases", torch.cat(ours), torch.cat(theirs))
    assert torch.equal(ours[-1][0], tokens[-len(ours[-1][0]) :])


@pytest.mark.parametrize("pair", ["all_full"], indirect=True)  # the one that settles: random models seldom do
@pytest.mark.parametrize("stability_threshold", [1, 2])
def test_it_stops_at_the_same_step(pair: Pair, stability_threshold: int, record_property: Record) -> None:
    prompt = pair.random_tokens(1, 9, seed=10)
    settings = settings_of(pair, max_steps=32, stability_threshold=stability_threshold, confidence_threshold=0.5)
    ours = generate(pair, prompt, 1, settings)
    theirs, _ = generate_reference(pair, prompt, 1, settings)
    assert len(ours) == len(theirs) < settings.max_steps
    assert_equal(record_property, pair, "early stop: argmax canvases", torch.cat(ours), torch.cat(theirs))


class Pins(LogitsProcessor):
    """Forces the tokens outside of the hole through transformers' public API."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def __call__(self, input_ids: Tensor, scores: Tensor, cur_step: int | None = None) -> Tensor:
        pinned = ~self.layout.hole
        scores[pinned] = float("-inf")
        scores[pinned, self.layout.tokens[pinned]] = 0.0
        return scores


class Forward(NamedTuple):
    """What a denoise step of transformers started from."""

    canvas: Tensor
    conditioning: Tensor | None
    random_state: Tensor


def generate_pinned(
    pair: Pair, prompt: Tensor, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Forward], list[Tensor]]:
    """What each step of transformers started from, and its argmax canvas; it never stops early."""
    steps: list[Forward] = []
    forward = pair.reference.forward

    def recording_forward(**kwargs: Any) -> Any:
        canvas, conditioning = kwargs["decoder_input_ids"], kwargs["self_conditioning_logits"]
        steps.append(Forward(canvas.clone(), conditioning, torch.get_rng_state()))
        return forward(**kwargs)

    torch.manual_seed(SEED)
    noise = torch.randint(0, pair.loaded.config.vocab_size, layout.tokens.shape)
    drafts = Drafts()
    with monkeypatch.context() as patch:
        patch.setattr(pair.reference, "forward", recording_forward)
        torch.manual_seed(SEED)
        pair.reference.generate(
            prompt,
            decoder_input_ids=torch.where(layout.hole, noise, layout.tokens),
            logits_processor=LogitsProcessorList([Pins(layout)]),
            streamer=drafts,
            max_new_tokens=layout.tokens.shape[1],
            max_denoising_steps=NUM_STEPS,
            confidence_threshold=1e-12,
            eos_token_id=None,
        )
    assert len(steps) == len(drafts.canvases) == NUM_STEPS
    return steps, drafts.canvases


@each_checkpoint
@torch.inference_mode()
def test_pins_are_what_a_logits_processor_makes_of_them_at_every_step(
    pair: Pair, record_property: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = pair.random_tokens(1, 21, seed=8)
    tokens = pair.random_tokens(1, pair.loaded.config.canvas_length, seed=9)
    hole = torch.ones_like(tokens, dtype=torch.bool)
    hole[:, 0] = hole[:, -tokens.shape[1] // 3 :] = False
    layout = Layout(tokens, hole)
    steps, drafts = generate_pinned(pair, prompt, layout, monkeypatch)
    draws = MultinomialDraws(SEED, hole)
    settings = settings_of(pair, confidence_threshold=1e-12)
    state = _Denoiser(pair.model, pair.prefilled(prompt), layout, settings, draws)
    for index, (step, draft) in enumerate(zip(steps, drafts, strict=True)):
        assert_equal(record_property, pair, "pins: noisy canvas", state.noisy, step.canvas)
        if step.conditioning is not None:
            soft = pair.model.soft_embed(step.conditioning.softmax(dim=-1))
            assert state.soft is not None
            assert_close(record_property, pair, "pins: soft embedding", state.soft, soft)
            state.soft = soft  # so that every step starts from the same input
        draws.generator.set_state(step.random_state)
        assert_equal(record_property, pair, "pins: argmax canvas", state.step(index).tokens, draft)
        assert torch.equal(draft[~hole], tokens[~hole])
