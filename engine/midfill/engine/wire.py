"""The messages between whoever asks for a fill and the engine. Offsets are Unicode code points."""

from typing import Annotated

import msgspec


class InfillRequest(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """A gap in a text: what stands before it, what stands after it, and how large a fill may be."""

    document: str
    """Key of the open file: requests with the same key share cached work."""
    prefix: str
    suffix: str
    language: str | None = None
    """LSP language identifier, such as `python`; None if unknown."""
    max_tokens: Annotated[int, msgspec.Meta(ge=1)] = 64
    """The longest fill. One canvas holds the likely ones; more than it holds is written canvas after canvas."""
    seed: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)] = 0


class Infill(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The engine's answer."""

    text: str
    shown: bool
    """Whether an editor would show it: false for an empty or an unlikely fill."""
    confidence: float
    """Geometric mean probability, by the causal mode, of the fill's tokens and the few after it: 0 to 1."""
    steps: int
    """Denoise steps: forward passes over the canvas."""
    prompt_tokens: int
    cached_tokens: int
    """Prompt tokens found in the document's cache."""
    prefill_ms: float
    decode_ms: float
    """Time for all that came after the prompt: choosing lengths, denoising, scoring."""
