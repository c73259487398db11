import gzip
import json
import random
import re
import subprocess
import sys
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lsprotocol.types import (
    Position,
    Range,
    TextDocumentContentChangePartial,
    TextDocumentContentChangeWholeDocument,
)

from midfill.server.document import PREFIX_CHARS, PREFIX_STEP_CHARS, SUFFIX_CHARS, Document, Encoding, Place

ENCODINGS: tuple[Encoding, ...] = ("utf-8", "utf-16", "utf-32")
BENCH = Path(__file__).parents[3] / "shared" / "bench"


def opened(text: str, encoding: Encoding = "utf-16") -> Document:
    return Document("file:///a.py", "python", 1, text, encoding)


def change(start: tuple[int, int], end: tuple[int, int], text: str) -> TextDocumentContentChangePartial:
    return TextDocumentContentChangePartial(range=Range(Position(*start), Position(*end)), text=text)


def num_units(text: str, encoding: str) -> int:
    size = {"utf-8": 1, "utf-16": 2, "utf-32": 4}[encoding]
    return len(text.encode({"utf-16": "utf-16-le", "utf-32": "utf-32-le"}.get(encoding, encoding))) // size


def reference_lines(text: str) -> list[str]:
    return re.split(r"(?<=\n)|(?<=\r)(?!\n)", text)


def reference_position(text: str, offset: int, encoding: str) -> tuple[int, int]:
    lines = reference_lines(text)
    starts = [0, *accumulate(map(len, lines))]
    line = max(i for i in range(len(lines)) if starts[i] <= offset)
    return line, num_units(lines[line][: offset - starts[line]], encoding)


def assert_whole(document: Document, text: str) -> None:
    assert document.text() == text
    assert document.lines == reference_lines(text)
    assert document.num_bytes == len(text.encode())


SIGNS = "ab \t\n\r\u2028\x0b\x85e\u0301éß中😀𐐀👨\u200d"
texts = st.text(st.sampled_from(SIGNS), max_size=30) | st.sampled_from(["\r\n", "\r", "\n", ""])


@st.composite
def edits(draw: st.DrawFn) -> tuple[str, list[tuple[float, float, str]]]:
    share = st.floats(0, 1)
    return draw(texts), draw(st.lists(st.tuples(share, share, texts), max_size=12))


@given(edits(), st.sampled_from(ENCODINGS))
def test_edits_in_any_encoding_give_what_they_give_on_the_whole_text(
    case: tuple[str, list[tuple[float, float, str]]], encoding: Encoding
) -> None:
    text, steps = case
    document = opened(text, encoding)
    assert_whole(document, text)
    for version, (one, other, inserted) in enumerate(steps, 2):
        # Between \r and \n no position can be named: both ends move before the two.
        ends = sorted(round(share * len(text)) for share in (one, other))
        start, end = (at - 1 if text[at - 1 : at + 1] == "\r\n" else at for at in ends)
        positions = [reference_position(text, at, encoding) for at in (start, end)]
        assert document.apply([change(positions[0], positions[1], inserted)], version)
        text = text[:start] + inserted + text[end:]
        assert_whole(document, text)


@given(texts, texts, st.floats(0, 1), st.sampled_from(ENCODINGS))
def test_places_positions_and_offsets_name_the_same_character(
    left: str, right: str, share: float, encoding: Encoding
) -> None:
    text = left + right
    document = opened(text, encoding)
    offsets = [at for at in range(len(text) + 1) if text[at - 1 : at + 1] != "\r\n" or at == 0]
    random.Random(len(text)).shuffle(offsets)  # in any order: the mark walks both ways
    for offset in offsets:
        place = document.place_at(offset)
        position = document.position(place)
        assert (position.line, position.character) == reference_position(text, offset, encoding)
        assert document.offset(place) == offset
        assert document.place(position) == place
        assert document.before(place, 5) == text[max(0, offset - 5) : offset]
        assert document.after(place, 5) == text[offset : offset + 5]
    start, end = sorted((document.place_at(len(left)), document.place_at(round(share * len(text)))))
    assert document.between(start, end) == text[document.offset(start) : document.offset(end)]


def test_position_past_the_line_is_its_end_and_past_the_file_is_the_files_end() -> None:
    document = opened("ab\r\ncd\re")
    assert document.place(Position(0, 2**31 - 1)) == Place(0, 2)
    assert document.place(Position(1, 3)) == Place(1, 2)
    assert document.place(Position(2, 9)) == document.place(Position(9, 0)) == document.end == Place(2, 1)


@pytest.mark.parametrize(("encoding", "width"), [("utf-8", 4), ("utf-16", 2)])
def test_position_inside_a_character_is_its_start(encoding: Encoding, width: int) -> None:
    document = opened("a😀b", encoding)
    inside = [document.place(Position(0, 1 + units)).column for units in range(width + 1)]
    assert inside == [1] * width + [2]


def test_offset_between_the_characters_of_a_line_break_is_before_them() -> None:
    assert opened("a\r\nb").place_at(2) == Place(0, 1)


def test_changes_of_one_message_follow_each_other() -> None:
    document = opened("one\ntwo\n")
    assert document.apply([change((1, 0), (1, 0), "new\n"), change((1, 0), (1, 3), "NEW")], 2)
    assert_whole(document, "one\nNEW\ntwo\n")


def test_a_whole_text_replaces_the_old_one() -> None:
    document = opened("one\ntwo\n")
    document.place_at(6)
    assert document.apply([TextDocumentContentChangeWholeDocument(text="\r\n😀"), change((1, 2), (1, 2), "!")], 7)
    assert_whole(document, "\r\n😀!")
    assert document.version == 7
    assert document.eol == "\r\n"


def test_a_version_that_does_not_grow_is_told_and_its_edit_kept() -> None:
    document = opened("a")
    assert not document.apply([change((0, 1), (0, 1), "b")], 1)
    assert document.text() == "ab"
    assert document.version == 1


def test_a_range_given_backwards_is_the_same_range() -> None:
    document = opened("abcd")
    document.apply([change((0, 3), (0, 1), "-")], 2)
    assert document.text() == "a-d"


def test_a_lone_surrogate_keeps_its_width_and_can_be_sent_on() -> None:
    document = opened("a\ud83db\n")
    document.apply([change((0, 3), (0, 3), "\ude00")], 2)
    assert document.text().encode() == "a\ufffdb\ufffd\n".encode()
    assert document.position(document.end).line == 1
    assert Document("file:///a", "py\ud83d", 1, "", "utf-16").language == "py\ufffd"


@pytest.mark.parametrize(
    ("before", "edit", "after"),
    [
        ("a\rb\n", change((1, 0), (1, 1), ""), ["a\r\n", ""]),
        ("a\rb", change((1, 0), (1, 0), "\nc"), ["a\r\n", "cb"]),
        ("a\n", change((0, 1), (0, 1), "\r"), ["a\r\n", ""]),
        ("a\r\n", change((0, 1), (0, 1), "\n"), ["a\n", "\r\n", ""]),
        ("x\ra\n", change((1, 0), (1, 1), "\n\r"), ["x\r\n", "\r\n", ""]),
    ],
)
def test_carriage_return_and_line_feed_that_meet_are_one_line_break(
    before: str, edit: TextDocumentContentChangePartial, after: list[str]
) -> None:
    document = opened(before)
    document.apply([edit], 2)
    assert_whole(document, "".join(after))
    assert document.lines == after


def test_window_starts_where_it_did_while_typing_goes_on() -> None:
    text = "".join(f"line {number}\n" for number in range(20_000))
    document = opened(text)
    cursor = document.place_at(100_000)
    starts = set()
    for version in range(2, 202):
        position = document.position(cursor)
        document.apply([change((position.line, position.character), (position.line, position.character), "x")], version)
        cursor = Place(cursor.line, cursor.column + 1)
        prefix, suffix = document.window(cursor)
        offset = document.offset(cursor)
        whole = document.text()
        starts.add(offset - len(prefix))
        assert whole[offset - len(prefix) : offset] == prefix
        assert whole[offset : offset + SUFFIX_CHARS] == suffix
    assert starts == {65_536}


@given(st.integers(0, 4 * PREFIX_CHARS))
def test_window_is_within_its_bounds(offset: int) -> None:
    document = opened("x" * (4 * PREFIX_CHARS))
    prefix, suffix = document.window(document.place_at(offset))
    assert min(offset, PREFIX_CHARS - PREFIX_STEP_CHARS) <= len(prefix) <= PREFIX_CHARS
    assert len(suffix) == min(SUFFIX_CHARS, len(document.text()) - offset)
    assert (offset - len(prefix)) % PREFIX_STEP_CHARS == 0


def test_window_of_a_selection_leaves_it_out() -> None:
    document = opened("ab[cd\nef]gh")
    assert document.window(Place(0, 2), Place(1, 3)) == ("ab", "gh")


def bench_lines(path: str) -> list[dict[str, Any]]:
    file = BENCH / path
    if not file.exists():
        pytest.skip(f"no {file}")
    with gzip.open(file, "rt", encoding="utf-8", newline="\n") as lines:
        return [json.loads(line) for line in lines]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_real_unicode_documents_have_the_published_positions(encoding: Encoding) -> None:
    for record in bench_lines("dev/unicode/documents.jsonl.gz"):
        document = opened(record["text"], encoding)
        for known in record["positions"]:
            place = Place(known["line"], known["utf32"])
            position = Position(known["line"], known[encoding.replace("-", "")])
            assert document.place(position) == place
            assert document.position(place) == position
            assert document.offset(place) == known["offset_utf32"]


@pytest.mark.parametrize("trace", ["sveltecomponent", "json-crdt-blog-post"])
@pytest.mark.parametrize(("encoding", "eol"), [("utf-8", "crlf"), ("utf-16", "lf"), ("utf-32", "lf")])
def test_replayed_typing_ends_in_the_published_text(trace: str, encoding: Encoding, eol: str) -> None:
    file = BENCH / "dev" / "editing-traces" / f"{trace}.json.gz"
    if not file.exists():
        pytest.skip(f"no {file}")
    command = [sys.executable, str(BENCH / "trace2lsp.py"), str(file), "--encoding", encoding, "--eol", eol]
    first, *messages, last = map(json.loads, subprocess.check_output(command, text=True, encoding="utf-8").splitlines())
    document = opened(first["msg"]["params"]["textDocument"]["text"], encoding)
    for message in messages:
        params = message["msg"]["params"]
        changes = [
            change(tuple(made["range"]["start"].values()), tuple(made["range"]["end"].values()), made["text"])
            for made in params["contentChanges"]
        ]
        document.apply(changes, params["textDocument"]["version"])
    assert_whole(document, last["expect"]["text"])
