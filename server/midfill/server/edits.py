"""The last change of a document: where it leaves the cursor, and what the editor put there by itself."""

from typing import NamedTuple

from lsprotocol import types

from midfill.server.document import Document, Place
from midfill.server.offers import Gap

PAIRS = frozenset({"()", "[]", "{}", '""', "''", "``"})
"""What an editor inserts for the first of the two; the cursor stays between them."""


class Edit(NamedTuple):
    """A change."""

    end: Place
    """Where the cursor is, if the change was typed."""
    is_delete: bool
    is_in_new_string: bool = False
    """Whether the editor has put the quote there that stands behind the cursor, for one that was typed."""

    def has_closed_string_at(self, gap: Gap) -> bool:
        """Whether the gap is the cursor's place, before a quote that nobody typed."""
        return self.is_in_new_string and gap.start == gap.end == self.end


def applied(
    change: types.TextDocumentContentChangeEvent, document: Document, version: int, last: Edit | None
) -> Edit | None:
    """Makes one change, after `last`. None for one of the whole text, which nobody typed."""
    if isinstance(change, types.TextDocumentContentChangeWholeDocument):
        document.apply([change], version)
        return None
    start, end = document.place(change.range.start), document.place(change.range.end)
    goes_on = last is not None and last.is_in_new_string and end == last.end and '"' not in change.text
    document.apply([change], version)
    typed = 1 if change.text in PAIRS else len(change.text)
    cursor = document.place_at(document.offset(start) + typed)
    is_in_new_string = (change.text == '""' or goes_on) and document.after(cursor, 1) == '"'
    return Edit(cursor, not change.text, is_in_new_string)
