"""`midfill.server.context`: which pieces of which files are shown to the model, and that they stay."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.wire import Snippet
from midfill.server.context import (
    MAX_CHUNK_LINES,
    MAX_DOCUMENTS,
    MAX_READ_LINES,
    Neighbours,
    choose,
    chunks,
    distinct_lines,
    similarity,
    words,
)
from midfill.server.ignored import Ignored

INVOICE = """\
class Invoice:
    def __init__(self, customer, currency):
        self.customer = customer
        self.currency = currency
        self.entries = []

    def add_entry(self, article, quantity, price):
        self.entries.append((article, quantity, price))

    def total_price(self):
        return sum(quantity * price for _, quantity, price in self.entries)
"""
WEATHER = """\
class Station:
    def __init__(self, latitude, longitude):
        self.latitude = latitude
        self.longitude = longitude

    def humidity(self, sensor):
        return sensor.humidity * self.latitude
"""
BEFORE = "def print_invoice(invoice, customer):\n    for article, quantity, price in invoice.entries:\n        "
AFTER = "\n    return invoice.total_price()\n"
BUDGET = 2000


@pytest.fixture
def top(tmp_path: Path) -> Path:
    return tmp_path.resolve()


@pytest.fixture
def neighbours(top: Path) -> Neighbours:
    neighbours = Neighbours(Ignored([top], []))
    tell(neighbours, top / "main.py", BEFORE + AFTER)
    return neighbours


def tell(neighbours: Neighbours, path: Path, text: str, line: int = 0) -> None:
    neighbours.update(path.as_uri(), path, text.splitlines(keepends=True), line)


def ask(neighbours: Neighbours, top: Path, before: str = BEFORE, after: str = AFTER) -> tuple[Snippet, ...]:
    return neighbours.snippets((top / "main.py").as_uri(), before, after, BUDGET)


def test_what_shares_identifiers_is_shown_and_what_does_not_is_not(neighbours: Neighbours, top: Path) -> None:
    tell(neighbours, top / "models" / "invoice.py", INVOICE)
    tell(neighbours, top / "weather.py", WEATHER)
    assert {snippet.path for snippet in ask(neighbours, top)} == {"models/invoice.py"}


def test_the_document_itself_is_not_its_neighbour(neighbours: Neighbours, top: Path) -> None:
    assert ask(neighbours, top) == ()


def test_the_most_similar_is_last(neighbours: Neighbours, top: Path) -> None:
    tell(neighbours, top / "invoice.py", INVOICE)
    tell(neighbours, top / "loose.py", "customer = 1\nweather = sensor + station\nlatitude = 3\n")
    assert [snippet.path for snippet in ask(neighbours, top)][::-1][0] == "invoice.py"


def test_they_stay_the_same_while_typing(neighbours: Neighbours, top: Path) -> None:
    tell(neighbours, top / "invoice.py", INVOICE)
    tell(neighbours, top / "orders.py", INVOICE.replace("Invoice", "Order").replace("entries", "lines"))
    first, typed = ask(neighbours, top), ""
    for character in "print(article.currency, quantity * price)\n        longitude = sensor":
        typed += character
        tell(neighbours, top / "main.py", BEFORE + typed + AFTER)
        assert ask(neighbours, top, BEFORE + typed) is first


def test_they_are_chosen_anew_at_another_place(neighbours: Neighbours, top: Path) -> None:
    tell(neighbours, top / "invoice.py", INVOICE)
    tell(neighbours, top / "weather.py", WEATHER)
    ask(neighbours, top)
    there = ask(neighbours, top, "def report(sensor, latitude, longitude):\n    ", "\n    print(sensor.humidity)\n")
    assert {snippet.path for snippet in there} == {"weather.py"}
    assert {snippet.path for snippet in ask(neighbours, top)} == {"invoice.py"}


def test_a_change_elsewhere_is_seen(neighbours: Neighbours, top: Path) -> None:
    tell(neighbours, top / "invoice.py", INVOICE)
    ask(neighbours, top)
    tell(neighbours, top / "invoice.py", INVOICE.replace("currency", "exchange_rate"))
    assert any("exchange_rate" in snippet.text for snippet in ask(neighbours, top))
    neighbours.forget((top / "invoice.py").as_uri())
    assert ask(neighbours, top) == ()


def test_secrets_and_ignored_files_are_never_shown(neighbours: Neighbours, top: Path) -> None:
    (top / ".gitignore").write_text("private/\n")
    for name in (".env", "secrets.py", "private/invoice.py"):
        tell(neighbours, top / name, INVOICE)
    assert ask(neighbours, top) == ()


def test_files_outside_the_workspace_are_not_shown(neighbours: Neighbours, top: Path) -> None:
    tell(neighbours, top.parent / "elsewhere" / "invoice.py", INVOICE)
    neighbours.update("untitled:1", None, INVOICE.splitlines(keepends=True))
    assert ask(neighbours, top) == ()


def test_without_a_workspace_files_of_the_same_folder_are(top: Path) -> None:
    neighbours = Neighbours(Ignored([], []))
    tell(neighbours, top / "main.py", "")
    tell(neighbours, top / "other" / "invoice.py", INVOICE)
    assert ask(neighbours, top) == ()
    tell(neighbours, top / "invoice.py", INVOICE)
    assert {snippet.path for snippet in ask(neighbours, top)} == {"invoice.py"}


def test_what_nearly_repeats_the_surroundings_is_left_out(neighbours: Neighbours, top: Path) -> None:
    tell(neighbours, top / "copy.py", BEFORE + "pass" + AFTER)
    assert ask(neighbours, top) == ()


def test_of_two_copies_one_is_shown(neighbours: Neighbours, top: Path) -> None:
    tell(neighbours, top / "a.py", INVOICE)
    tell(neighbours, top / "b.py", INVOICE)
    assert {snippet.path for snippet in ask(neighbours, top)} == {"b.py"}  # the one that changed last


def test_only_the_last_documents_are_kept(neighbours: Neighbours, top: Path) -> None:
    tell(neighbours, top / "invoice.py", INVOICE)
    for index in range(MAX_DOCUMENTS):
        tell(neighbours, top / f"{index}.py", WEATHER)
    assert ask(neighbours, top) == ()


def test_of_a_long_document_the_lines_around_the_last_edit_are_read(neighbours: Neighbours, top: Path) -> None:
    filler = "latitude = 1\n" * MAX_READ_LINES
    tell(neighbours, top / "invoice.py", filler + INVOICE + filler)
    assert ask(neighbours, top) == ()
    tell(neighbours, top / "invoice.py", filler + INVOICE + filler, line=MAX_READ_LINES + 3)
    assert ask(neighbours, top)


LINES = st.lists(st.sampled_from(["alpha beta", "    gamma", "", "def delta():", "x" * 400, "   ", "épsilon\r\n"]))


@given(LINES)
def test_chunks_hold_every_line_of_a_fit_length_once(lines: list[str]) -> None:
    pieces = list(chunks(lines))
    kept = [line.rstrip() for line in lines if line.strip() and len(line) < 300]
    assert [line for piece in pieces for line in piece.text.split("\n") if line] == kept
    assert all(0 < piece.text.count("\n") <= MAX_CHUNK_LINES for piece in pieces)


def test_a_chunk_starts_where_a_paragraph_does() -> None:
    function = "def {}(argument):\n" + "    first = argument\n" * 20 + "\n"
    text = function.format("one") + function.format("two") + function.format("three")
    assert [piece.text.split("(")[0] for piece in chunks(text.split("\n"))] == ["def one", "def two", "def three"]


@given(st.lists(st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=6)), st.integers(0, 200))
def test_the_budget_holds_and_the_order_rises(pieces: list[list[str]], budget_chars: int) -> None:
    candidates = [("p", piece) for rows in pieces for piece in chunks([f"{word}{word}{word}" for word in rows])]
    around = words("aaa bbb ccc ddd")
    chosen = choose(candidates, around, frozenset(), budget_chars)
    assert chosen == choose(candidates, around, frozenset(), budget_chars)
    assert sum(len(snippet.path) + len(snippet.text) for snippet in chosen) <= budget_chars
    scores = [similarity(words(snippet.text), around) for snippet in chosen]
    assert scores == sorted(scores)


def test_keywords_and_short_names_say_nothing() -> None:
    assert words("for i in range(n): return self.größe  # while x2 y_3") == {"range", "größe", "y_3"}


def test_lines_are_told_apart_without_their_indentation() -> None:
    assert distinct_lines(["  a", "a\r\n", "", "  "]) == {"a"}


@pytest.mark.parametrize(("some", "others", "share"), [("", "", 1), ("ab", "", 0), ("ab", "ab", 1), ("abc", "c", 0.5)])
def test_similarity_is_dices(some: str, others: str, share: float) -> None:
    assert similarity(frozenset(some), frozenset(others)) == share


def test_documents_in_no_file_leave_nothing_behind() -> None:
    neighbours = Neighbours(Ignored([], []))
    for number in range(3 * MAX_DOCUMENTS):
        neighbours.update(f"untitled:{number}", None, [BEFORE])
        neighbours.snippets(f"untitled:{number}", BEFORE, "", 1000)
    assert len(neighbours._choices) == MAX_DOCUMENTS  # pyright: ignore[reportPrivateUsage]
