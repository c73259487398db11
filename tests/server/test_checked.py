"""`midfill.server.checked`: what was found fit is shown as it is, anything else not at all."""

import msgspec
import pytest

from midfill.engine.wire import Infill, InfillRequest, Other, Schema
from midfill.server.checked import Checked
from midfill.server.document import Window
from midfill.server.ghost import Ghost, Surroundings

SCHEMA = Schema(text="{}")


def answer(text: str, *, valid: bool | None = True, shown: bool = True) -> Infill:
    return Infill(
        text=text,
        shown=shown,
        confidence=1.0,
        steps=1,
        prompt_tokens=1,
        cached_tokens=0,
        prefill_ms=1.0,
        decode_ms=1.0,
        valid=valid,
    )


def checked(before: str, text: str, after: str, *, valid: bool | None = True, shown: bool = True) -> Checked:
    """After one answer of the engine."""
    checked = Checked()
    infill = answer(text, valid=valid, shown=shown)
    checked.note(InfillRequest(document="a", prefix=before, suffix=after), infill)
    return checked


def ghost(checked: Checked, fill: str, before: str, after: str, *, may_split: bool = False) -> Ghost | None:
    eol = "\r\n" if "\r\n" in before + after else "\n"
    around = Surroundings(
        line_before=before.split(eol)[-1],
        line_after=after.split(eol)[0],
        above=before.split(eol)[:-1],
        below=after.split(eol)[1:],
        eol=eol,
        indent=None,
    )
    return checked.ghost(fill, Window(before, after), around, may_split=may_split)


def test_a_valid_fill_is_not_changed() -> None:
    fill = '"a": [\n     1]  \n\n'  # odd, but as the engine has it
    assert ghost(checked("{", fill, "}"), fill, "{", "}") == Ghost(fill, 0, 0)


def test_the_others_of_an_answer_are_as_fit_as_its_best() -> None:
    checked = Checked()
    infill = msgspec.structs.replace(answer("1"), others=(Other(text="2", confidence=0.5),))
    checked.note(InfillRequest(document="a", prefix="[", suffix="]"), infill)
    fills = [ghost(checked, text, "[", "]") for text in ("1", "2", "3")]
    assert fills == [Ghost("1", 0, 0), Ghost("2", 0, 0), None]


def test_what_repeats_what_stands_around_is_not_trimmed() -> None:
    before, fill, after = '[\n  "a",\n  ', '"a",\n  ', '"a"\n]'
    shown = ghost(checked(before, fill, after), fill, before, after, may_split=True)
    assert shown == Ghost(fill, 0, 0)


@pytest.mark.parametrize(
    ("before", "fill", "after"),
    [
        ("{", '"b": 1', "}"),  # another fill
        ('{"b": 0, ', '"a": 1', "}"),  # another text before it
        ("{", '"a": 1', ', "a": 2}'),  # or behind it, and then the key is there twice
    ],
)
def test_what_was_not_found_valid_is_not_shown(before: str, fill: str, after: str) -> None:
    assert ghost(checked("{", '"a": 1', "}"), fill, before, after) is None


def test_what_typing_has_left_makes_the_same_text() -> None:
    assert ghost(checked("{", '"a": 1', "}"), ": 1", '{"a"', "}") == Ghost(": 1", 0, 0)


@pytest.mark.parametrize(("left", "before", "after"), [('"a": 1}', "{", "}"), ('a": 1}', '{"', '"}')])
def test_a_closer_that_the_editor_added_is_replaced(left: str, before: str, after: str) -> None:
    assert ghost(checked("", '{"a": 1}', ""), left, before, after) == Ghost(left, 0, len(after))


def test_line_ends_are_the_documents_and_no_difference() -> None:
    before, after = '{\r\n  "a": 1,\r\n  ', "\r\n}"
    fill = '"b": {\n    "c": 1\n  }'
    shown = ghost(checked(before, fill, after), fill, before, after)
    assert shown == Ghost(fill.replace("\n", "\r\n"), 0, 0)


def test_lines_before_a_comma_push_it_down_but_no_member() -> None:
    fill = "[\n    1\n  ]"
    for after, is_shown in ((",\n}", True), ('}, "b": 1}', False)):
        shown = ghost(checked('{\n  "a": ', fill, after), fill, '{\n  "a": ', after)
        assert (shown is not None) is is_shown


def test_white_space_alone_is_not_shown() -> None:
    assert ghost(checked("{", "\n  ", "}"), "\n  ", "{", "}") is None


def test_it_is_in_force_once_the_engine_checks() -> None:
    assert not checked("{", "x", "}", valid=None).is_in_force
    assert checked("{", "x", "}", valid=False, shown=False).is_in_force


@pytest.mark.parametrize(
    ("valid", "shown", "is_fit"), [(True, False, True), (False, True, True), (False, False, False)]
)
def test_fit_is_what_is_valid_and_what_the_engine_shows_in_a_text_that_is_broken_elsewhere(
    valid: bool, shown: bool, is_fit: bool
) -> None:
    known = checked("{", '"a": 1', "}", valid=valid, shown=shown)
    assert (ghost(known, '"a": 1', "{", "}") is not None) is is_fit


def test_another_schema_makes_all_of_it_unknown() -> None:
    known = checked("{", '"a": 1', "}")
    assert not known.follow(None)
    assert ghost(known, '"a": 1', "{", "}") is not None
    assert known.follow(SCHEMA)
    assert not known.follow(Schema(text="{}"))
    assert ghost(known, '"a": 1', "{", "}") is None
