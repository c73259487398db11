"""The inside of JSON strings, byte by byte."""

import json

from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.schema.string_bytes import read_byte

CHARACTERS = st.characters(exclude_categories=["Cs"])


def read(data: bytes) -> str | None:
    """What the bytes between the quotes say; None if they are malformed or cut."""
    partial, text = b"", ""
    for byte in data:
        found = read_byte(partial, byte)
        if found is None:
            return None
        partial, text = (found, text) if isinstance(found, bytes) else (b"", text + found)
    return None if partial else text


@given(st.text(CHARACTERS), st.booleans())
def test_what_json_writes_is_read(text: str, ascii_only: bool):
    assert read(json.dumps(text, ensure_ascii=ascii_only)[1:-1].encode()) == text


@given(st.binary(max_size=6))
def test_what_is_read_is_what_a_parser_reads(data: bytes):
    try:
        wanted = json.loads(b'"' + data + b'"')
        str(wanted).encode()
    except ValueError:  # what half a surrogate pair raises, too
        return
    assert read(data) == wanted


def test_what_is_malformed_is_refused_at_once():
    for data in (
        b"\n",
        b"\x80",
        b"\xc0",
        b"\xe0\x80",
        b"\xed\xa0",
        b"\xf4\x90",
        b"\xff",
        rb"\x",
        rb"\u00g",
        rb"\udc00",
    ):
        assert read(data) is None
        assert read(data[:-1] or b"a") is not None or len(data) > 1


def test_half_a_surrogate_pair_needs_its_other_half():
    assert read(rb"\ud83e\udd8a") == "🦊"
    assert read(rb"\ud83ea") is None
    assert read(rb"\ud83e\n") is None
    assert read(rb"\ud83e\u0041") is None
