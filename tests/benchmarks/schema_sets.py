"""The dev half of the evaluation sets for JSON, which lie beside the project and are never part of it."""

import gzip
import json
import random
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from midfill.engine.wire import Schema

DEV = Path(__file__).resolve().parents[3] / "shared" / "bench" / "dev"

_CHARACTER = re.compile(r"(?:\\u[0-9a-fA-F]{4})+|\\.|.", re.DOTALL)

Row = TypeVar("Row")


class Hole(NamedTuple):
    """A document with a span taken out."""

    prefix: str
    middle: str
    suffix: str


def rows(name: str, part: str) -> Iterator[dict[str, Any]]:
    """The records of one file of one set."""
    with gzip.open(DEV / name / f"{part}.jsonl.gz", "rt", encoding="utf-8", newline="\n") as file:
        yield from map(json.loads, file)


@cache
def schemas(name: str) -> dict[str, Schema]:
    """By their id in the set."""
    remotes: dict[str, Any] = {}
    if name == "json-schema-test-suite":
        remotes = {row["uri"]: row["schema"] for row in rows(name, "remotes")}
    return {
        row["schema_id"]: _schema(row, remotes if row.get("needs_remotes") else {}) for row in rows(name, "schemas")
    }


def _schema(row: dict[str, Any], remotes: dict[str, Any]) -> Schema:
    others = {**remotes, **row.get("refs", {})}
    texts = tuple((uri, json.dumps(contents)) for uri, contents in others.items())
    return Schema(text=json.dumps(row["schema"]), others=texts, draft=row["draft"])


def evenly(of: Sequence[Row], limit: int) -> list[Row]:
    """At most `limit` of them, from the first to the last."""
    return [of[number * len(of) // limit] for number in range(limit)] if len(of) > limit else list(of)


def cut(text: str, seed: str) -> Hole:
    """A document with a random span taken out, of any length from none to all."""
    first, last = sorted(random.Random(seed).choices(places_to_cut(text), k=2))
    return Hole(text[:first], text[first:last], text[last:])


def places_to_cut(text: str) -> list[int]:
    """Places between characters, but none within an escape, where nobody has a cursor."""
    return [0, *(match.end() for match in _CHARACTER.finditer(text))]
