"""What stands after a hole."""

import pytest

from midfill.engine.schema.rest import Rest


def test_it_is_cut_behind_each_bracket_that_closes_what_was_open():
    rest = Rest(b', "a": {"b": [1]}}, "c": 2}\n', is_string=False)
    assert rest.pieces == [b', "a": {"b": [1]}}', b', "c": 2}', b"\n"]
    assert b"".join(rest.pieces) == rest.text
    assert rest.depth == 2
    assert rest.containers == b"}}"


def test_keys_belong_to_the_container_that_is_open_there():
    rest = Rest(b', "a": {"b": 1}, "d": 1}, "c": 2}', is_string=False)
    assert rest.keys(2) == {"a", "d"}
    assert rest.keys(1) == {"c"}
    assert rest.keys(3) == rest.keys(0) == frozenset()


@pytest.mark.parametrize(
    ("text", "outside", "inside"), [(b'ab": 1}', False, True), (b', "a": "}', False, True), (b', "a": 1}', True, False)]
)
def test_it_is_read_so_that_all_strings_end(text: bytes, outside: bool, inside: bool):
    assert Rest(text, is_string=False).is_whole == outside
    assert Rest(text, is_string=True).is_whole == inside


def test_containers_stand_from_the_outermost_in():
    assert Rest(b"1]}, [{}]]}", is_string=False).containers == b"}]}]"


def test_brackets_in_strings_are_text():
    assert Rest(b'"}]", "a}": "\\"}"}', is_string=False).depth == 1
    assert Rest(b'}]", "a": "{"}', is_string=True).depth == 1
    assert Rest(b'}]\\"}", "a": "{"}', is_string=True).pieces == [b'}]\\"}", "a": "{"}']


def test_a_document_may_end_with_the_hole():
    assert (Rest(b"", is_string=False).pieces, Rest(b"", is_string=False).depth) == ([], 0)


def test_whether_all_strings_end_is_told():
    assert Rest(b', "a": "b\\"", "c": 1}', is_string=False).is_whole
    assert not Rest(b', "a": "b\\"}', is_string=False).is_whole
    assert not Rest(b'\\"' * 20_000, is_string=True).is_whole
    assert not Rest(b'"' + b'\\"' * 20_000 + b"\\", is_string=False).is_whole
