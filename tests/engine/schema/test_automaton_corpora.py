"""The automaton against the corpora that others wrote. They are for measuring: none of it is in the project."""

import base64
import gzip
from functools import cache
from typing import Any

import pytest
from tests.benchmarks.schema_sets import DEV, cut, evenly, rows, schemas
from tests.engine.schema.probe import accepts_document, hole, shortest_fill

from midfill.engine.schema.gate import Gate
from midfill.engine.schema.json_text import parse_schema
from midfill.engine.schema.keywords import report

needs_bench = pytest.mark.skipif(not DEV.is_dir(), reason="needs ../shared/bench, which only the workshop has")
OFFICIAL = "json-schema-test-suite"
INSTANCES = 700
"""Of the official suite, so that the tests stay short; `make bench-schema` takes all."""

ACCEPTED = [
    "0",
    '""',
    "[]",
    "{}",
    " [ ] ",
    "-0",
    "1.5E+3",
    '"\\u00e9\\ud83d\\ude00"',
    '"é😀\x7f"',
    "true",
    '[[{"a":[]}]]',
]
REJECTED = ["", "01", "-", "1.", ".1", "1e", "+1", "[1,]", "[,1]", '{"a"}', '{"a":1,}', "{1:1}", "'a'", '"\\x"', '"\t"']
REJECTED += [
    "tru",
    "True",
    "nul",
    "[1}",
    "[1]]",
    "1 2",
    '"\\u12g4"',
    "// 1",
    "[1]/**/",
    "\ufeff1",
    "\u00a01",
    '{"a":1 "b":1}',
]


@cache
def gate_of(schema_id: str) -> Gate:
    return Gate(schemas(OFFICIAL)[schema_id])


@cache
def official(valid: bool) -> list[dict[str, Any]]:
    """The instances on which the gate and the suite agree: the others are about `format`, which the gate lets pass."""
    every = [row for row in rows(OFFICIAL, "instances") if row["valid"] == valid]
    return [row for row in evenly(every, INSTANCES) if gate_of(row["schema_id"]).is_valid(row["text"]) == valid]


@pytest.mark.parametrize("text", ACCEPTED)
def test_what_is_json_is_accepted(text: str):
    assert accepts_document(None, text)


@pytest.mark.parametrize("text", REJECTED)
def test_what_is_no_json_is_rejected(text: str):
    assert not accepts_document(None, text)


@needs_bench
def test_the_parsing_corpus_is_accepted_and_rejected_as_it_says_but_for_keys_that_stand_twice():
    wrong = {row["id"] for row in rows("json-parsing", "jsontestsuite") if not _reads_rightly(row)}
    assert all("duplicated_key" in each for each in wrong)


def _reads_rightly(row: dict[str, Any]) -> bool:
    packed = row.get("bytes_gz_b64")
    text = gzip.decompress(base64.b64decode(packed)) if packed else base64.b64decode(row["bytes_b64"])
    return row["expect"] == "either" or accepts_document(None, text) == (row["expect"] == "accept")


@needs_bench
def test_the_gate_agrees_with_the_official_suite_but_for_formats():
    wrong = {
        row["keyword"]
        for row in rows(OFFICIAL, "instances")
        if gate_of(row["schema_id"]).is_valid(row["text"]) != row["valid"]
    }
    assert {keyword for keyword in wrong if "format" not in keyword} <= {"optional/cross-draft"}


@needs_bench
def test_valid_instances_of_the_official_suite_are_accepted():
    assert [
        row["id"] for row in official(True) if not accepts_document(schemas(OFFICIAL)[row["schema_id"]], row["text"])
    ] == []


@needs_bench
def test_invalid_instances_are_rejected_unless_a_keyword_is_checked_at_the_end():
    accepted = [
        row["schema_id"]
        for row in official(False)
        if accepts_document(schemas(OFFICIAL)[row["schema_id"]], row["text"])
    ]
    handled = {each: set(report(parse_schema(schemas(OFFICIAL)[each].text)).values()) for each in accepted}
    assert [each for each, handling in handled.items() if "end" not in handling] == []


@needs_bench
def test_a_valid_instance_cut_anywhere_is_completed_to_a_valid_one():
    """Unless a keyword is checked at the end; and a search that is bounded may miss one in two hundred."""
    failed: list[str] = []
    for row in official(True):
        taken, schema = cut(row["text"], row["id"]), schemas(OFFICIAL)[row["schema_id"]]
        fill = shortest_fill(hole(schema, taken.prefix, taken.suffix))
        is_left = "end" in report(parse_schema(schema.text)).values() or row["optional"]
        if fill is None or not (is_left or gate_of(row["schema_id"]).is_valid(taken.prefix + fill + taken.suffix)):
            failed.append(row["id"])
    assert len(failed) <= len(official(True)) // 200, failed
