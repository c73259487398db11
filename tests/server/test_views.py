"""`midfill.server.views`: the text around a gap, with and without a menu's entry, at the file's ends."""

from midfill.server.document import Document, Place, Window
from midfill.server.ghost import NUM_LINES
from midfill.server.offers import Gap
from midfill.server.reuse import SITUATION_CHARS, Situation
from midfill.server.views import situation_at, surroundings_at, whole_text

GAP = Gap(Place(1, 2), Place(2, 1), "typed")


def document(text: str) -> Document:
    return Document("file:///a.py", "python", 1, text, "utf-16")


def test_what_a_menu_would_insert_counts_as_typed_and_what_it_replaces_as_gone() -> None:
    text = document("one\r\ntwo\r\nsix\r\n")
    assert situation_at(text, GAP) == Situation("one\r\ntwtyped", "ix\r\n")
    assert whole_text(text, GAP) == Window("one\r\ntwtyped", "ix\r\n")
    around = surroundings_at(text, GAP)
    assert (around.line_before, around.line_after, around.eol) == ("twtyped", "ix", "\r\n")
    assert (around.above, around.below) == (["one"], [""])


def test_of_a_long_file_a_part_is_looked_at_and_all_of_it_is_the_whole() -> None:
    text = document("é\n" * 5000)
    gap = Gap(Place(2500, 0), Place(2500, 0))
    assert [len(side) for side in situation_at(text, gap)] == [SITUATION_CHARS] * 2
    around = surroundings_at(text, gap)
    assert len(around.above) == len(around.below) == NUM_LINES
    assert "".join(whole_text(text, gap)) == text.text()
