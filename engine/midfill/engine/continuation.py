"""Fills longer than one canvas: denoise a canvas, commit it to the KV in causal mode, go on with the next."""

from collections.abc import Generator, Sequence
from itertools import takewhile

import torch

from midfill.engine.candidates import Vocabulary, canvas_row
from midfill.engine.canvas import Canvas, Layout, decode
from midfill.engine.chat import before_fence
from midfill.engine.draws import Draws
from midfill.engine.kv import KVSlot
from midfill.engine.prefix_cache import PrefixCache
from midfill.engine.prompt import Prompt
from midfill.engine.settings import InfillSettings


def fill_long(
    cache: PrefixCache,
    slot: KVSlot,
    prompt: Prompt,
    vocabulary: Vocabulary,
    settings: InfillSettings,
    max_tokens: int,
    draws: Draws,
) -> Generator[tuple[list[int], int], None, tuple[list[int], int]]:
    """Writes up to `max_tokens` tokens, ending where the model ends the text; (tokens so far, steps) a forward pass.

    Whole canvases of hole come first, then one for what the last cannot hold, then the last, which has the suffix
    pinned behind its hole. The committed canvases stay in `slot`: the caller trims it.
    """
    written: list[int] = []
    steps, is_last = 0, False
    while not is_last:
        left = max_tokens - len(written)
        is_last = left <= settings.longest_hole
        partial = prompt.partial if not written else b""
        layout = _layout(
            left if is_last else middle_hole(left, settings),
            prompt.suffix if is_last else [],
            partial,
            vocabulary,
            settings,
        )
        canvas: Canvas | None = None
        for canvas in decode(cache.model, slot, layout, settings.denoise, draws):
            yield _in_file(written, canvas, layout, prompt, vocabulary), steps + canvas.step
        assert canvas is not None
        steps += canvas.step
        start, end = len(written), len(written) + int(layout.hole.sum())
        written = _in_file(written, canvas, layout, prompt, vocabulary)
        if len(written) < end:
            break  # the model ended the text within this canvas
        if not is_last:
            cache.encode(slot, written[start:])
            yield written, steps
    return written, steps


def middle_hole(left: int, settings: InfillSettings) -> int:
    """Positions of the next canvas, where `left` tokens are more than the last can hold. Pure.

    At least what that cannot hold, and a size that other fills have too: on a card, each size is a CUDA graph.
    """
    wanted = min(left - settings.longest_hole, settings.longest_canvas)
    size = settings.canvas_size(max(1, wanted - settings.suffix_head))
    return size if size < left else wanted


def _layout(
    hole: int, suffix: Sequence[int], partial: bytes, vocabulary: Vocabulary, settings: InfillSettings
) -> Layout:
    """One canvas whose hole may end early: with the end mark, or with the end of the file where there is none."""
    size = settings.canvas_size(hole) if suffix else hole
    return Layout(
        torch.tensor([canvas_row(hole, suffix, size, vocabulary.pad)], device=vocabulary.device),
        (torch.arange(size, device=vocabulary.device) < hole)[None],
        vocabulary.unwritable & ~vocabulary.ending,
        vocabulary.not_starting_with(partial),
    )


def _in_file(written: list[int], canvas: Canvas, layout: Layout, prompt: Prompt, vocabulary: Vocabulary) -> list[int]:
    """What is written with the hole's tokens, up to the first that ends the text or the line that fences it off."""
    tokens = canvas.tokens[0][layout.hole[0].cpu()].tolist()
    tokens = [*written, *takewhile(lambda token: token not in vocabulary.endings, tokens)]
    return tokens[: before_fence(tokens, prompt.fence, bool(prompt.closing), vocabulary.tokenizer)]
