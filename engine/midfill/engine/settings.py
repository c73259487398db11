"""How fills are looked for, with the values that fit each kind of checkpoint."""

from typing import Literal

import msgspec

from midfill.engine.best_first import SearchSettings
from midfill.engine.canvas import DenoiseSettings
from midfill.engine.choosing import SampleSettings
from midfill.engine.constrained_beam import BeamSettings
from midfill.engine.generation_defaults import GenerationDefaults
from midfill.engine.prompt import PromptLimits
from midfill.engine.recall import RecallSettings
from midfill.engine.tokenizer import Tokenizer

CANVAS_SIZES = (16, 24, 32, 40, 48, 64, 96, 128, 192, 256)
SETTLE_ENTROPY = 0.2
"""Nats. Denoising 8 lengths of 400 held-out gaps, the embedded model takes 5.5 passes, not 8.2, and finds the same 49
exact fills; with 0.4 it takes 5.0 and finds 47. A rule by the gap between the two likeliest tokens was no better."""


class WriteSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How best mode writes."""

    num_samples: int
    """Texts that are drawn, beside the likeliest."""
    sample: SampleSettings
    held: BeamSettings = BeamSettings(width=8, longest=64, kept=3)
    """How fills that are held to a grammar are written."""
    ends_a_text: int = 4
    """Places where each text may end that are compared with those of the others."""
    patience: float = 8.0
    """Nats by which the first suffix token may flatter an end: a text is gone on with until it is that much worse."""


class InfillSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All that steers a fill but the request."""

    limits: PromptLimits
    denoise: DenoiseSettings
    longest_canvas: int
    """Positions; larger fills go canvas after canvas."""
    longest_candidate: int
    """Tokens; longer holes are not guessed at on one canvas."""
    num_lengths: int
    """Hole lengths that are drafted side by side, in one step."""
    num_finalists: int
    """Drafts that are denoised to the end, where there is no `search`."""
    num_draws: int
    """Times that each of their lengths is denoised then, from other noise."""
    suffix_head: int
    """Suffix tokens pinned behind the longest hole."""
    scored_suffix: int
    """Suffix tokens whose probability counts in a candidate's score."""
    scored_by: Literal["causal", "canvas"] = "causal"
    """The mode that chooses between fills of a canvas, those held to JSON apart.

    `canvas` is for checkpoints whose causal mode is not to be trusted. Of 100 held-out gaps the embedded model finds 18
    with its causal mode as the judge and 14 with its canvas mode, in 1.6 times the time, beside a beam of 8; 11 and 10
    without any.
    """
    latency_ms: float | None = None
    """Milliseconds that denoising to the end may take in fast mode, by what a step took when the model was loaded."""
    search: SearchSettings | None = None
    """How the causal mode looks for fills, from drafts on a canvas on, or without those for what is held to JSON.

    None has the canvas denoise them to the end. It is for small models: a large one reads most of its experts for each
    token, and the canvas is there to save that.
    """
    recall: RecallSettings | None = None
    """How much the rest of the file counts beside the causal mode, in `search` and wherever that compares fills."""
    write: WriteSettings = WriteSettings(num_samples=3, sample=SampleSettings(temperature=0.5, top_k=64, top_p=0.95))
    """Best mode's."""
    syntax_penalty: float = 1.0
    """Nats that each error of syntax costs a fill which adds it. Of the embedded model's fills of 696 held-out gaps as
    many are exact as without, 97, and 607 add none, not 578; 3 nats cost one exact fill and leave 641."""
    repeat_penalty: float = 4.6
    """Nats that each line costs a fill which says again what the line before it says: the logarithm of 100. Of 7,094
    missing middles of real and benchmark files 6 do so, of 100 of the embedded model's fills without this 7."""
    eos_token_ids: tuple[int, ...] = ()
    """Tokens that end a text, beside those of the model's config."""
    min_confidence: float = 0.3
    """Less sure fills are not shown, in JSON and for checkpoints without a gate, where eagerness is balanced."""

    @property
    def longest_hole(self) -> int:
        return self.longest_canvas - self.suffix_head

    def canvas_size(self, hole: int) -> int:
        """The smallest canvas that holds `hole` positions and a suffix head."""
        wanted = hole + self.suffix_head
        return min(next((size for size in CANVAS_SIZES if size >= wanted), wanted), self.longest_canvas)


def settings_for(tokenizer: Tokenizer, generation: GenerationDefaults, canvas_length: int) -> InfillSettings:
    """Settings for a checkpoint: the embedded model's vocabulary has marks of its own, Google's has none."""
    suffix_head = min(16, canvas_length // 4)
    if tokenizer.special("<|suffix|>") is not None:
        return InfillSettings(
            limits=PromptLimits(prefix_tokens=384, suffix_tokens=96, quantum_tokens=64, elsewhere_tokens=12_288),
            denoise=generation.denoise_settings(mark_pins_from_step=0, settle_entropy=SETTLE_ENTROPY),
            longest_canvas=canvas_length,
            # 22, with 4 lengths, find the same of 400 held-out gaps as 8, and texts a little less near.
            longest_candidate=min(8, canvas_length - suffix_head),
            # Of 400 held-out gaps and 224 lines of functions, 85 and 41 are exact so, with 2 lengths 84 and 41, with 4
            # 83 and 40. Without drafts the search takes half a pass more; denoised to the end they give nothing more.
            num_lengths=3,
            num_finalists=1,
            num_draws=1,
            # 2 find 83 and 40, 8 with 4 lengths 86 and 40: the whole suffix is in the prompt.
            suffix_head=min(4, canvas_length // 4),
            scored_suffix=4,
            # In 7.2 passes; a beam of 8 found 85 and 37 in 11. With 160 starts or `enough` 4 as many are exact, in as
            # many passes and in 0.6 more; with a floor 1 nat higher 82 and 36, in 1 less.
            search=SearchSettings(width=8, longest=16, kept=12, margin=3.0, enough=3, most=120, ahead=2),
            eos_token_ids=generation.eos_token_ids,
        )
    return InfillSettings(
        limits=PromptLimits(prefix_tokens=3072, suffix_tokens=768, quantum_tokens=256, snippet_tokens=768),
        denoise=_of_a_fill(generation.denoise_settings(mark_pins_from_step=1, settle_entropy=SETTLE_ENTROPY)),
        latency_ms=300.0,
        longest_canvas=canvas_length,
        longest_candidate=canvas_length - suffix_head,
        num_lengths=16,
        num_finalists=4,
        num_draws=1,
        suffix_head=suffix_head,
        scored_suffix=16,
        eos_token_ids=generation.eos_token_ids,
    )


def _of_a_fill(denoise: DenoiseSettings) -> DenoiseSettings:
    """Google's settings, which are for chat, with what suits a text between two known ends.

    With an exact denoiser of a toy language, of 500 gaps whose length is known, 82.0 % come out exact while the
    temperature falls from 0.8 to 0.4, and 85.4 % where it stays at 0.4, in fewer passes; 8 steps are as good as 48.
    """
    return msgspec.structs.replace(
        denoise, t_max=max(denoise.t_min, min(denoise.t_max, 0.4)), max_steps=min(denoise.max_steps, 16)
    )
