"""Time of the lattice on one core: a JSON line on stdout, and in `results/`, a kind of canvas and length.

Cold solves find all states and steps of a gap whose schema was used before; warm ones look again at the same gap.
Processor time of the one thread, whatever else runs.
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from midfill.engine.installed import embedded_model
from midfill.engine.schema.gap import Gap
from midfill.engine.schema.lattice import Lattice
from midfill.engine.schema.load import load_automaton
from midfill.engine.schema.spellings import Spellings
from midfill.engine.schema.token_automaton import TokenAutomaton
from midfill.engine.tokenizer import Tokenizer
from midfill.engine.wire import Schema

PACKAGE = Schema(
    text=json.dumps(
        {
            "type": "object",
            "required": ["name", "version"],
            "additionalProperties": False,
            "properties": {
                "name": {"type": "string", "pattern": "^[a-z][a-z0-9-]*$", "maxLength": 40},
                "version": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
                "private": {"type": "boolean"},
                "license": {"enum": ["MIT", "Apache-2.0", "BSD-3-Clause", "ISC"]},
                "type": {"enum": ["module", "commonjs"]},
                "keywords": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
                "engines": {"type": "object", "additionalProperties": {"type": "string"}},
                "scripts": {"type": "object", "additionalProperties": {"type": "string", "minLength": 1}},
                "dependencies": {"$ref": "#/$defs/versions"},
                "devDependencies": {"$ref": "#/$defs/versions"},
                "author": {
                    "oneOf": [
                        {"type": "string"},
                        {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
                    ]
                },
                "port": {"type": "integer", "minimum": 1, "maximum": 65535},
            },
            "$defs": {
                "versions": {"type": "object", "additionalProperties": {"type": "string", "pattern": r"^[\^~]?\d"}}
            },
        }
    )
)
DOCUMENT = """{
  "name": "left-side",
  "private": true,
  "port": 8080,
  "scripts": {
    "build": "tsc -p .",
    "test": "vitest run"
  },
  "dependencies": {
    "lit": "^3.1.0"
  },
  "license": "MIT",
  "version": "1.2.3"
}
"""
HOLES = {
    "key": DOCUMENT.index('"private'),
    "within a string": DOCUMENT.index("tsc"),
    "within a key": DOCUMENT.index("rivate"),
    "number": DOCUMENT.index("8080"),
    "enum": DOCUMENT.index('"MIT'),
    "object": DOCUMENT.index('"lit'),
    "nothing written": 0,
}
SOLVES = 20


def canvas(kind: str, length: int, tokenizer: Tokenizer, seed: int) -> Tensor:
    """Log-probabilities [L, V]: of noise, of a sure JSON text with some noise, or of tokens that are mostly illegal."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(length, len(tokenizer.token_bytes), generator=generator)
    if kind == "peaked":
        text = (tokenizer.encode('"files": ["dist"],\n  "type": "module",\n  ') * length)[:length]
        logits[torch.arange(length), torch.tensor(text)] += 12
    if kind == "illegal":
        logits[:, tokenizer.starting_with(b"}")] += 20
    return logits.log_softmax(-1)


def measure(kind: str, length: int, tokenizer: Tokenizer, spellings: Spellings) -> dict[str, Any]:
    """Times in ms, over all holes."""
    automaton = load_automaton(PACKAGE, "json")
    cold, warm, sums, states, found = [], [], [], [], 0
    for round in range(2):
        for start in HOLES.values():
            gap = Gap(automaton, DOCUMENT[:start], DOCUMENT[start:])
            tokens = TokenAutomaton(gap, spellings)
            canvases = [canvas(kind, length, tokenizer, seed) for seed in range(SOLVES)]
            _, took = timed(tokens, canvases[0])
            if round == 0:
                cold.append(took)
                continue
            for each in canvases:
                Lattice(tokens, each)
            for each in canvases:
                lattice, took = timed(tokens, each)
                warm.append(took)
                states += [len(column.states) for column in lattice.columns]
                found += bool(lattice.paths())
                began = time.process_time()
                lattice.marginals()
                sums.append((time.process_time() - began) * 1e3)
    return {
        "bench": "lattice",
        "machine": platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "canvas": kind,
        "length": length,
        "states": statistics.mean(states),
        "found": found / len(warm),
        **percentiles("warm", warm),
        **percentiles("cold", cold),
        **percentiles("marginals", sums),
    }


def timed(automaton: TokenAutomaton, log_probabilities: Tensor) -> tuple[Lattice, float]:
    """A solution with its paths, and its time in ms."""
    began = time.process_time()
    lattice = Lattice(automaton, log_probabilities)
    lattice.paths()
    return lattice, (time.process_time() - began) * 1e3


def percentiles(name: str, times: list[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    high = statistics.quantiles(times, n=20)[-1]
    return {f"{name}_p50_ms": round(statistics.median(times), 2), f"{name}_p95_ms": round(high, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=embedded_model())
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = Tokenizer(arguments.model / "tokenizer.json")
    spellings = Spellings(tokenizer.token_bytes)
    results = []
    for kind in ("random", "peaked", "illegal"):
        for length in (16, 48):
            results.append(measure(kind, length, tokenizer, spellings))
            print(json.dumps(results[-1]), flush=True)
    out = Path(__file__).with_name("results") / "lattice.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
