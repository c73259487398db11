"""`midfill.server.edits`: changes as editors tell them, those that they make by themselves too."""

import pytest
from lsprotocol import types

from midfill.server.document import Document, Place
from midfill.server.edits import Edit, applied
from midfill.server.offers import Gap

Change = tuple[int, int, str]


def after(text: str, *changes: Change) -> tuple[Edit | None, str]:
    """What several changes of one line lead to."""
    document, last = Document("file:///a.json", "json", 1, text, "utf-16"), None
    for start, end, new in changes:
        span = types.Range(types.Position(0, start), types.Position(0, end))
        last = applied(types.TextDocumentContentChangePartial(span, new), document, 2, last)
    return last, document.text()


@pytest.mark.parametrize(
    ("change", "column", "is_delete"),
    [((1, 1, "abc"), 4, False), ((1, 1, "()"), 2, False), ((0, 2, ""), 0, True), ((0, 1, "x"), 1, False)],
)
def test_the_cursor_is_behind_what_was_typed_and_between_what_was_closed(
    change: Change, column: int, is_delete: bool
) -> None:
    edit, _ = after("{}", change)
    assert edit == Edit(Place(0, column), is_delete)


def test_a_change_of_the_whole_text_leaves_no_cursor() -> None:
    document = Document("file:///a.json", "json", 1, "{}", "utf-16")
    assert applied(types.TextDocumentContentChangeWholeDocument("[]"), document, 2, Edit(Place(0, 1), False)) is None
    assert document.text() == "[]"


@pytest.mark.parametrize(
    "changes",
    [
        [(1, 1, '""')],
        [(1, 1, '""'), (2, 2, "a"), (3, 3, "b")],
        [(1, 1, '""'), (2, 2, "ab"), (3, 4, "")],
    ],
)
def test_a_quote_that_the_editor_added_is_known_while_typing_goes_on_before_it(changes: list[Change]) -> None:
    edit, _ = after("{}", *changes)
    assert edit is not None
    assert edit.has_closed_string_at(Gap(edit.end, edit.end))
    assert not edit.has_closed_string_at(Gap(Place(0, 0), Place(0, 0)))


@pytest.mark.parametrize(
    "changes",
    [
        [(1, 1, '"'), (2, 2, '"'), (2, 2, "a")],  # typed by hand, as far as can be seen
        [(1, 1, '""'), (2, 3, '"')],  # typed over
        [(1, 1, '""'), (2, 2, "a"), (2, 2, "b")],  # the cursor was moved
        [(1, 1, '""'), (1, 3, "")],  # taken back
        [(1, 1, "()"), (2, 2, "a")],
    ],
)
def test_any_other_quote_is_the_persons(changes: list[Change]) -> None:
    edit, _ = after("{}", *changes)
    assert edit is not None
    assert not edit.is_in_new_string
