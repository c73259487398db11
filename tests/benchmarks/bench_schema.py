"""How schemas are held to on the evaluation sets beside the project: JSON lines on stdout, one a set and question.

    python tests/benchmarks/bench_schema.py --limit 500 [--set schemastore] [--part fill]

Whole documents are judged by the automaton, holes are filled with what it completes them by, without a model, and the
filled documents judged by a validator in Python that no other part of the project uses.
"""

import argparse
import json
import platform
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

import llguidance
import referencing
from referencing.jsonschema import specification_with
from schema_sets import DEV, evenly, rows, schemas

from midfill.engine.errors import InputError
from midfill.engine.schema.automaton import Automaton
from midfill.engine.schema.drafts import URIS
from midfill.engine.schema.gap import Gap
from midfill.engine.schema.gate import Gate
from midfill.engine.schema.load import load_automaton
from midfill.engine.wire import Schema

SETS = ("maskbench", "schemastore")


class Timed(NamedTuple):
    """What a call gave, or the error that it ended in, and how long it took."""

    value: Any
    error: str | None
    ms: float


def timed(action: Callable[[], Any]) -> Timed:
    started = time.perf_counter()
    value, error = None, None
    try:
        value = action()
    except InputError as refused:
        error = str(refused)
    return Timed(value, error, (time.perf_counter() - started) * 1e3)


def percentiles(times: Sequence[float]) -> dict[str, float]:
    """p50, p95 and the largest."""
    ordered = sorted(times)
    return {
        "p50": round(statistics.median(ordered), 3),
        "p95": round(ordered[int(len(ordered) * 0.95)], 3),
        "max": round(ordered[-1], 3),
    }


def share(of: Iterable[bool]) -> float | None:
    """Of those that are true; None of none."""
    every = list(of)
    return round(sum(every) / len(every), 4) if every else None


@cache
def judge(name: str, schema_id: str) -> Any:
    """The independent validator of a schema, from the library for Python."""
    import jsonschema.validators  # not everyone who runs all benchmarks has it

    schema = schemas(name)[schema_id]
    assert schema.draft is not None
    validator = jsonschema.validators.validator_for({"$schema": URIS[schema.draft]})
    specification = specification_with(URIS[schema.draft])
    registry: referencing.Registry[Any] = referencing.Registry()
    for uri, text in schema.others:
        resource = referencing.Resource.from_contents(json.loads(text), default_specification=specification)
        registry = registry.with_resource(uri, resource)
    return validator(json.loads(schema.text), registry=registry)


def is_judged_valid(name: str, schema_id: str, text: str) -> bool | None:
    """Whether the independent validator takes the document; None where it fails on the schema."""
    from referencing.exceptions import Unresolvable

    try:
        return judge(name, schema_id).is_valid(json.loads(text))
    except (RecursionError, Unresolvable, re.error):
        return None
    except ValueError:
        return False


def measure_compile(name: str, limit: int) -> dict[str, Any]:
    """Schemas read as far as a document's first byte needs, and an empty document completed."""
    taken = evenly(list(schemas(name).values()), limit)
    read = [timed(lambda schema=schema: load_automaton(schema)) for schema in taken]
    opened = [timed(lambda run=run: _opened(run.value)) for run in read if run.error is None]
    return {
        "schemas": len(taken),
        "read": share(run.error is None for run in read),
        "completed": share(run.value == "all" for run in opened),
        "refused": [run.error for run in read if run.error][:8],
        "read_ms": percentiles([run.ms for run in read]),
        "complete_ms": percentiles([run.ms for run in opened]),
    }


def measure_accept(name: str, limit: int) -> dict[str, Any]:
    """Whole documents of both kinds, by the automaton alone and with the gate. What `format` has to refuse is out."""
    every = [row for row in rows(name, "instances") if row["format"] == "json" and not row.get("needs_format")]
    runs = [(row, timed(lambda row=row: _accepts(name, row))) for row in evenly(every, limit)]
    read = [(row, run) for row, run in runs if run.error is None]
    invalid = [(row, run.value) for row, run in read if not row["valid"]]
    return {
        "instances": len(runs),
        "valid_accepted": share(run.value for row, run in read if row["valid"]),
        "invalid_rejected": share(not accepted for _, accepted in invalid),
        "invalid_rejected_with_gate": share(not (accepted and _passes(name, row)) for row, accepted in invalid),
        "us_a_byte": percentiles([run.ms * 1e3 / max(1, len(row["text"])) for row, run in read]),
    }


def _accepts(name: str, row: dict[str, Any]) -> bool:
    automaton = load_automaton(schemas(name)[row["schema_id"]])
    return automaton.accepts(automaton.run(automaton.start, row["text"].encode()))


@cache
def _gate(name: str, schema_id: str) -> Gate | None:
    try:
        return Gate(schemas(name)[schema_id])
    except InputError:
        return None


def _passes(name: str, row: dict[str, Any]) -> bool:
    gate = _gate(name, row["schema_id"])
    return gate is not None and gate.is_valid(row["text"])


def measure_fill(name: str, limit: int) -> dict[str, Any]:
    """Holes filled by the automaton alone; those that pass the gate are what an editor could show."""
    taken = evenly(list(rows(name, "cursor")), limit)
    automata = [timed(lambda row=row: load_automaton(schemas(name)[row["schema_id"]])) for row in taken]
    filled = [
        timed(lambda row=row, automaton=automaton: _fill(automaton.value, row))
        for row, automaton in zip(taken, automata, strict=True)
    ]
    found = [(row, run.value) for row, run in zip(taken, filled, strict=True) if run.value is not None]
    shown = [(row, text) for row, fill in found if _passes(name, {**row, "text": (text := whole(row, fill))})]
    judged = {row["id"]: is_judged_valid(name, row["schema_id"], text) for row, text in shown}
    lost = Counter(row["kind"] for row, run in zip(taken, filled, strict=True) if run.value is None)
    return {
        "holes": len(taken),
        "found": round(len(found) / len(taken), 4),
        "shown": round(len(shown) / len(taken), 4),
        "shown_is_valid": share(valid for valid in judged.values() if valid is not None),
        "not_judged": sum(valid is None for valid in judged.values()),
        "not_valid": [each for each, valid in judged.items() if valid is False][:20],
        "not_found": dict(lost.most_common()),
        "ms": percentiles([run.ms for run in filled]),
        "bytes": percentiles([len(fill) for _, fill in found]),
    }


def whole(row: dict[str, Any], fill: str) -> str:
    """The document with its hole filled."""
    return row["prefix"] + fill + row["suffix"]


def _opened(automaton: Automaton) -> str:
    return Gap(automaton, "", "").holds


def _fill(automaton: Automaton, row: dict[str, Any]) -> str | None:
    gap = Gap(automaton, row["prefix"], row["suffix"])
    completion = gap.completion(gap.start) if gap.holds == "all" else None
    return None if completion is None else completion.decode()


def measure_llguidance(name: str, limit: int) -> dict[str, Any]:
    """The same schemas and whole documents by a library for decoding from left to right; it knows no suffix."""

    tokenizer = llguidance.LLTokenizer("byte")
    grammars = {each: _grammar(tokenizer, schemas(name)[each]) for each in evenly(sorted(schemas(name)), limit)}
    every = [row for row in rows(name, "instances") if row["format"] == "json" and not row.get("needs_format")]
    judged = [
        (row, _follows(tokenizer, grammars[row["schema_id"]], row["text"]))
        for row in every
        if grammars.get(row["schema_id"])
    ]
    return {
        "schemas": len(grammars),
        "read": share(grammar is not None for grammar in grammars.values()),
        "valid_accepted": share(accepted for row, accepted in judged if row["valid"]),
        "invalid_rejected": share(not accepted for row, accepted in judged if not row["valid"]),
    }


def _grammar(tokenizer: Any, schema: Schema) -> str | None:

    try:
        grammar = llguidance.LLMatcher.grammar_from_json_schema(schema.text)
    except ValueError:
        return None
    return None if llguidance.LLMatcher(tokenizer, grammar, log_level=0).is_error() else grammar


def _follows(tokenizer: Any, grammar: str | None, text: str) -> bool:

    matcher = llguidance.LLMatcher(tokenizer, grammar or "", log_level=0)
    tokens = tokenizer.tokenize_str(text.strip())
    return matcher.try_consume_tokens(tokens) == len(tokens) and matcher.is_accepting()


PARTS = {
    "compile": measure_compile,
    "accept": measure_accept,
    "fill": measure_fill,
    "llguidance": measure_llguidance,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--limit", type=int, default=500, help="records of each kind, taken evenly")
    parser.add_argument("--set", choices=SETS, action="append", dest="sets")
    parser.add_argument("--part", choices=list(PARTS), action="append", dest="parts")
    options = parser.parse_args()
    if not DEV.is_dir():
        sys.exit(0)  # only the workshop has the sets
    for name in options.sets or SETS:
        for part in options.parts or PARTS:
            line = PARTS[part](name, options.limit)
            print(
                json.dumps({"bench": f"schema_{part}", "set": name, "machine": platform.processor() or "cpu", **line})
            )


if __name__ == "__main__":
    main()
