"""Latency of warm holes with the embedded model: a JSON line on stdout, and in `results/`, a configuration.

Each keystroke types one more character of a line whose rest is the hole, so all but the last tokens are cached. How
many passes a fill takes hangs on the place, so there are several.
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import msgspec
import torch

from midfill.engine.infill import Infiller
from midfill.engine.installed import embedded_model
from midfill.engine.loading import open_infiller
from midfill.engine.wire import InfillRequest

SOURCE = Path(json.__file__).with_name("decoder.py")
"""A real file of a few thousand tokens, the same on each machine with this Python version."""
PLACES = (0.2, 0.35, 0.5, 0.65, 0.8)
"""Shares of the file: each hole is in the next line that is long enough."""
KEYSTROKES, SHORTEST = 20, 40
"""Characters typed at each, and those that the line has, indentation apart."""


def with_context(infiller: Infiller, prompt_tokens: int) -> Infiller:
    """The same model with a prefix window of as many tokens as make `prompt_tokens` in all."""
    limits = infiller.settings.limits
    prefix = prompt_tokens - limits.suffix_tokens
    settings = msgspec.structs.replace(infiller.settings, limits=msgspec.structs.replace(limits, prefix_tokens=prefix))
    return Infiller(infiller.model, infiller.tokenizer, settings)


def line_from(text: str, start: int) -> tuple[int, int]:
    """Where the first line of at least `SHORTEST` characters after `start` begins, and where it ends."""
    while True:
        start = text.index("\n", start) + 1
        end = text.index("\n", start)
        first = start + len(text[start:end]) - len(text[start:end].lstrip())
        if end - first >= SHORTEST:
            return first, end


def measure(infiller: Infiller, prompt_tokens: int, hole_tokens: int) -> dict[str, Any]:
    """Times in ms of warm fills of up to `hole_tokens` tokens at about `prompt_tokens` of context."""
    warm = with_context(infiller, prompt_tokens)
    text = SOURCE.read_text(encoding="utf-8")
    times, answers = [], []
    for place in PLACES:
        first, end = line_from(text, int(len(text) * place))
        for typed in range(KEYSTROKES + 1):
            request = InfillRequest(
                document="bench",
                prefix=text[: first + typed],
                suffix=text[end:],
                language="python",
                max_tokens=hole_tokens,
            )
            started = time.perf_counter()
            answer = warm.complete(request)
            if typed:  # the first is cold
                times.append((time.perf_counter() - started) * 1e3)
                answers.append(answer)
    return {
        "bench": "infill_warm",
        "machine": torch.cuda.get_device_name() if torch.cuda.is_available() else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "dtype": str(infiller.model.norm.weight.dtype),
        "prompt_tokens": statistics.median(answer.prompt_tokens for answer in answers),
        "cached_share": round(sum(a.cached_tokens for a in answers) / sum(a.prompt_tokens for a in answers), 4),
        "hole_tokens": hole_tokens,
        "steps": statistics.median(answer.steps for answer in answers),
        "p50_ms": round(statistics.median(times), 1),
        "p90_ms": round(statistics.quantiles(times, n=10)[-1], 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=embedded_model())
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    arguments = parser.parse_args()
    infiller = open_infiller(arguments.model)
    results = []
    for threads in arguments.threads if not torch.cuda.is_available() else [1]:
        torch.set_num_threads(threads)
        for prompt_tokens, hole_tokens in ((480, 16), (480, 32), (1024, 32)):
            results.append(measure(infiller, prompt_tokens, hole_tokens))
            print(json.dumps(results[-1]), flush=True)
    out = Path(__file__).with_name("results") / "infill.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
