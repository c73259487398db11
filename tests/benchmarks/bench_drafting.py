"""The embedded model's drafter, greedy: a JSON line on stdout, and in `results/`, for each source and draft length.

Holes are cut into real code; plain decoding and all draft lengths continue the same prompts one after the other.
Processor time of the one thread, whatever else runs. In float32 a text that is not the plain one ends the run; in
bfloat16, passes of other lengths round differently, and the share of equal texts is told.
"""

import argparse
import json
import platform
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from midfill.engine.checkpoint import load
from midfill.engine.drafter import Drafter
from midfill.engine.gemma4_checkpoint import load_drafter
from midfill.engine.infill import Infiller
from midfill.engine.installed import embedded_model
from midfill.engine.kv import KVSlot
from midfill.engine.settings import settings_for
from midfill.engine.speculative import Draft, no_drafts, speculate
from midfill.engine.tokenizer import Tokenizer
from midfill.engine.verify import verify_greedy

ROOT = Path(__file__).resolve().parents[2]
HELD_OUT = ROOT / ".nano" / "val.npy"
SOURCES = {
    "fixtures": [ROOT / "fixtures" / "documents" / "median.py", ROOT / "fixtures" / "documents" / "unicode.md"],
    "stdlib": [Path(json.__file__).with_name("decoder.py"), Path(json.__file__).with_name("encoder.py")],
}
LANGUAGES = {".py": "python", ".md": "markdown"}
MOST = 6
"""The longest draft."""


class Hole(NamedTuple):
    prefix: str
    suffix: str
    language: str


class Tally:
    """What one draft length did, over all holes."""

    def __init__(self) -> None:
        self.tokens, self.passes, self.cpu_s, self.equal = 0, 0, 0.0, 0
        self.accepted = [0] * MOST
        """Rounds in which the first 1, 2, … drafts were right."""

    def add(self, rounds: list[list[int]], cpu_s: float, is_equal: bool) -> None:
        self.tokens += sum(len(tokens) for tokens in rounds)
        self.passes += len(rounds)
        self.cpu_s += cpu_s
        self.equal += is_equal
        for tokens in rounds:
            for place in range(len(tokens) - 1):
                self.accepted[place] += 1

    @property
    def ms_per_token(self) -> float:
        return self.cpu_s * 1e3 / self.tokens


def holes(texts: list[tuple[str, str]], count: int) -> list[Hole]:
    """`count` holes, the rest of a line each, in `texts` with their languages."""
    rng, found = random.Random(0), list[Hole]()
    while len(found) < count:
        text, language = rng.choice(texts)
        cut = rng.randrange(len(text) // 4, len(text))
        _, newline, after = text[cut:].partition("\n")
        found.append(Hole(text[:cut], newline + after, language))
    return found


def sources(tokenizer: Tokenizer) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """(name, texts and their languages); held-out packages only where the corpus is."""
    for name, paths in SOURCES.items():
        yield name, [(path.read_text(encoding="utf-8"), LANGUAGES[path.suffix]) for path in paths]
    if HELD_OUT.exists():
        ids, offsets = np.load(HELD_OUT), np.load(HELD_OUT.with_name("val_docs.npy"))
        languages = np.load(HELD_OUT.with_name("val_lang.npy"))
        python = np.flatnonzero((languages == tokenizer.special_ids["<|python|>"]) & (np.diff(offsets) > 200))
        texts = [tokenizer.decode_bytes(ids[offsets[at] : offsets[at + 1]].tolist()).decode() for at in python]
        yield "held out", [(text, "python") for text in texts]


def slot_at(infiller: Infiller, hole: Hole) -> KVSlot:
    """What the engine has cached when it begins to fill `hole`."""
    prompt = infiller.prompts.build(hole.prefix, hole.suffix, hole.language)
    slot = KVSlot(infiller.model.config, infiller.model.norm.weight.device, infiller.model.kv_dtype)
    infiller.cache.encode(slot, prompt.tokens)
    return slot


def continued(infiller: Infiller, slot: KVSlot, draft: Draft, count: int) -> tuple[list[list[int]], float]:
    """The tokens of each pass, at least `count` in all, and the processor time in s; `slot` stays as it was."""
    prompt, rounds = list(slot.tokens), list[list[int]]()
    steps = speculate(infiller.model, slot, draft, verify_greedy)
    began = time.thread_time()
    while sum(len(tokens) for tokens in rounds) < count:
        rounds.append(next(steps))
    took = time.thread_time() - began
    slot.trim(len(prompt) - 1)
    infiller.cache.encode(slot, prompt[-1:])
    return rounds, took


def drafting(infiller: Infiller, drafter: Drafter, count: int) -> Draft:
    """`count` drafts each round; none for 0."""
    if not count:
        return no_drafts
    return lambda slot, token: drafter.draft(infiller.model, slot, token, count)


def measure(infiller: Infiller, drafter: Drafter, found: list[Hole], num_tokens: int) -> list[Tally]:
    """A tally for each draft length, from none to the longest."""
    tallies = [Tally() for _ in range(MOST + 1)]
    for hole in found:
        slot, plain = slot_at(infiller, hole), list[int]()
        for count, tally in enumerate(tallies):
            rounds, cpu_s = continued(infiller, slot, drafting(infiller, drafter, count), num_tokens)
            text = [token for tokens in rounds for token in tokens][:num_tokens]
            plain = plain or text
            if text != plain and slot.dtype == torch.float32:
                raise SystemExit(f"with {count} drafts, the text is not the plain one: {text} instead of {plain}")
            tally.add(rounds, cpu_s, text == plain)
    return tallies


def result(source: str, count: int, tally: Tally, plain: Tally, holes: int, dtype: torch.dtype) -> dict[str, Any]:
    return {
        "bench": "drafting",
        "machine": platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "dtype": str(dtype),
        "source": source,
        "holes": holes,
        "drafts": count,
        "accepted": [round(accepted / tally.passes, 3) for accepted in tally.accepted[:count]],
        "tokens_a_pass": round(tally.tokens / tally.passes, 3),
        "cpu_ms_a_token": round(tally.ms_per_token, 3),
        "speed_up": round(plain.ms_per_token / tally.ms_per_token, 3),
        "equal_texts": round(tally.equal / holes, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=embedded_model())
    parser.add_argument("--drafter", type=Path, help="by default the one in the model's directory")
    parser.add_argument("--holes", type=int, default=16, help="of each source")
    parser.add_argument("--tokens", type=int, default=32, help="of each fill")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), nargs="*", default=["float32", "bfloat16"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = []
    for dtype in (getattr(torch, name) for name in arguments.dtype):
        checkpoint = load(arguments.model, torch.device("cpu"), dtype)
        tokenizer = Tokenizer(checkpoint.tokenizer_path)
        settings = settings_for(tokenizer, checkpoint.generation, checkpoint.model.config.canvas_length)
        infiller = Infiller(checkpoint.model, tokenizer, settings)
        path = arguments.drafter or arguments.model / "drafter"
        drafter = load_drafter(path, checkpoint.model.config, torch.device("cpu"), dtype)
        for source, texts in sources(tokenizer):
            tallies = measure(infiller, drafter, holes(texts, arguments.holes), arguments.tokens)
            for count, tally in enumerate(tallies):
                results.append(result(source, count, tally, tallies[0], arguments.holes, dtype))
                print(json.dumps(results[-1]), flush=True)
    out = Path(__file__).with_name("results") / "drafting.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
