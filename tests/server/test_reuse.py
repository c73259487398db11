import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from midfill.server.reuse import (
    MAX_DOCUMENTS,
    MAX_PROPOSALS,
    MAX_TYPED_CHARS,
    SITUATION_CHARS,
    Reuse,
    Situation,
    agrees,
    typed_since,
)

LONG = "".join(f"line {number}\n" for number in range(1000))


def at(before: str, after: str) -> Situation:
    return Situation(before[-SITUATION_CHARS:], after[:SITUATION_CHARS])


def remembering(before: str, after: str, text: str) -> Reuse:
    reuse = Reuse()
    reuse.remember("a", at(before, after), text)
    return reuse


code = st.text(st.sampled_from("ab(){}[]\"' \n"), max_size=30)


@given(code, code, code, st.floats(0, 1), st.sampled_from(["", LONG]), st.sampled_from(["", LONG]))
def test_what_is_left_of_a_text_is_found_while_typing_agrees(
    before: str, after: str, text: str, share: float, above: str, below: str
) -> None:
    reuse = remembering(above + before, after + below, text)
    typed = text[: round(share * len(text))]
    left = "".join(reuse.left("a", at(above + before + typed, after + below)))
    # Where the text repeats what stands before it, less may count as typed, and more is left.
    assert left.endswith(text[len(typed) :])
    assert left or len(typed) == len(text)


@given(code, code, code, code, st.sampled_from(["", LONG]))
def test_typing_something_else_finds_nothing(before: str, after: str, text: str, typed: str, above: str) -> None:
    assume(not text.startswith(typed))
    assert remembering(above + before, after, text).left("a", at(above + before + typed, after)) == []


@given(code, code, code, code)
def test_another_suffix_finds_nothing(before: str, after: str, text: str, change: str) -> None:
    assume(change)
    reuse = remembering(before, after + "x", text)
    assert reuse.left("a", at(before, after + change + "x")) == []
    assert reuse.left("a", at(before, after + "x" + change)) == []


def test_another_prefix_finds_nothing() -> None:
    reuse = remembering("x = ", "\n", "1")
    assert reuse.left("a", at("y = ", "\n")) == []
    assert reuse.left("a", at("", "\n")) == []
    assert reuse.left("a", at("\nx = ", "\n")) == []


@pytest.mark.parametrize(
    ("text", "after_then", "typed", "after_now", "left"),
    [
        pytest.param("foo(a, b)\n", "\n", "foo(", ")\n", "a, b)\n", id="bracket closed"),
        pytest.param("foo(a, b)\nx", "\n", "foo(a, b)", "\n", "\nx", id="and typed over"),
        pytest.param("f(['a'])", "\n", "f(['", "'])\n", "a'])", id="three closed"),
        pytest.param("f(['a'])", "\n", "f(['a'", "])\n", "])", id="one of them typed over"),
        pytest.param("f(['a'])", "\n", "f(['", "'\n", "a'])", id="only the quote closed"),
        pytest.param('"""Sum."""\n', "\n", '"""', '"""\n', 'Sum."""\n', id="docstring closed"),
        pytest.param(" {\n    x;\n}", "\n", " {\n    ", "\n}\n", "x;\n}", id="closer moved to its own line"),
        pytest.param("a, b)\n    x", ")\n", "a, b)", "\n", "\n    x", id="closer that stood there typed over"),
        pytest.param("say('don''t', (1))", "", "say('don''t', (", "))", "1))", id="quote that closes nothing"),
        pytest.param("it's (so)", ")", "it's (", "))", "so)", id="apostrophe"),
        pytest.param("foo(a)", "\n", "foo(", "]\n", None, id="another closer"),
        pytest.param("foo(a)", "\n", "foo", ")\n", None, id="closer of nothing that was typed"),
        pytest.param("foo(a)", "\n", "foo(", "))\n", None, id="more closers than openers"),
        pytest.param("foo(a)", "\n", "foo(", "\n\n", None, id="only a line break"),
        pytest.param("foo(a)", ")\n", "foo", "\n", None, id="closer deleted"),
    ],
)
@pytest.mark.parametrize("below", ["", LONG])
def test_closers_that_editors_add_do_not_count_as_another_suffix(
    text: str, after_then: str, typed: str, after_now: str, left: str | None, below: str
) -> None:
    reuse = remembering("x = ", after_then + below, text)
    assert reuse.left("a", at("x = " + typed, after_now + below)) == ([left] if left else [])


@pytest.mark.parametrize("above", ["x\r\n", LONG.replace("\n", "\r\n")])
def test_line_ends_of_the_file_do_not_matter(above: str) -> None:
    reuse = remembering(above + "f()", "\r\nend\r\n" + above, " {\n  a\r\n}")
    assert reuse.left("a", at(above + "f() {\r\n", "\r\nend\r\n" + above)) == ["  a\n}"]
    assert agrees(" {\n  a", at(above + "f()", "\r\n"), at(above + "f() {\r\n", "\r\n")) == " {\n"


def test_after_backspacing_to_an_earlier_place_its_text_is_found_again() -> None:
    reuse = remembering(LONG, "\n", "return a")
    reuse.remember("a", at(LONG + "ra", "\n"), "ise")
    assert reuse.left("a", at(LONG + "ra", "\n")) == ["ise"]
    assert reuse.left("a", at(LONG + "r", "\n")) == ["eturn a"]


def test_the_newest_text_of_a_place_is_found() -> None:
    reuse = remembering("x", "", "one")
    reuse.remember("a", at("x", ""), "two")
    assert reuse.left("a", at("x", "")) == ["two"]
    assert reuse.left("a", at("xo", "")) == ["ne"]


def test_a_text_that_was_typed_to_its_end_is_not_found() -> None:
    reuse = remembering("x", "", "one")
    assert reuse.left("a", at("xone", "")) == []
    reuse.remember("a", at("x", ""), "")
    assert reuse.left("a", at("x", "")) == ["one"]


def test_documents_do_not_share_texts() -> None:
    reuse = remembering("x", "", "one")
    assert reuse.left("b", at("x", "")) == []
    reuse.forget("a")
    reuse.forget("b")
    assert reuse.left("a", at("x", "")) == []


def test_the_least_recently_used_text_goes_first() -> None:
    reuse = remembering("0", "", "text")
    for number in range(1, MAX_PROPOSALS):
        reuse.remember("a", at(f"{number}", ""), "text")
    assert reuse.left("a", at("0", "")) == ["text"]
    reuse.remember("a", at("new", ""), "text")
    assert reuse.left("a", at("0", "")) == ["text"]
    assert reuse.left("a", at("1", "")) == []


def test_the_least_recently_used_document_goes_first() -> None:
    reuse = Reuse()
    for number in range(MAX_DOCUMENTS):
        reuse.remember(str(number), at("x", ""), "text")
    assert reuse.left("0", at("x", "")) == ["text"]
    reuse.remember("new", at("x", ""), "text")
    assert reuse.left("0", at("x", "")) == ["text"]
    assert reuse.left("1", at("x", "")) == []


def test_a_rejected_text_stays_rejected_there_and_while_typed_along() -> None:
    reuse = remembering(LONG + "def f():", "\n", "\n    return a\n")
    reuse.reject("a", at(LONG + "def f():\n", "\n"), "    return a\n")
    assert reuse.is_rejected("a", at(LONG + "def f():\n", "\n"), "    return a\n    # more")
    assert reuse.is_rejected("a", at(LONG + "def f():\n    r", "\n"), "eturn a")


def test_another_text_or_another_place_is_not_rejected() -> None:
    reuse = remembering("x = ", "\n", "one()")
    reuse.reject("a", at("x = ", "\n"), "one()")
    assert reuse.is_rejected("a", at("x = ", "\n"), "one()")
    assert not reuse.is_rejected("a", at("x = ", "\n"), "two()")
    assert not reuse.is_rejected("a", at("x = ", "\n"), "")
    assert not reuse.is_rejected("a", at("y = ", "\n"), "one()")
    assert not reuse.is_rejected("a", at("x = ", "\ny"), "one()")
    assert not reuse.is_rejected("b", at("x = ", "\n"), "one()")
    reuse.forget("a")
    assert not reuse.is_rejected("a", at("x = ", "\n"), "one()")


def test_one_of_several_is_rejected_alone() -> None:
    reuse = Reuse()
    reuse.remember("a", at("x = ", "\n"), "one()", "two()", num_asked=2)
    reuse.reject("a", at("x = ", "\n"), "two()")
    assert reuse.is_rejected("a", at("x = t", "\n"), "wo()")
    assert not reuse.is_rejected("a", at("x = ", "\n"), "one()")


def test_typing_towards_any_of_several_leaves_those_that_agree() -> None:
    reuse = Reuse()
    reuse.remember("a", at("x = ", "\n"), "open(a)", "other", "one", num_asked=3)
    assert reuse.left("a", at("x = ", "\n")) == ["open(a)", "other", "one"]
    assert reuse.left("a", at("x = o", "\n")) == ["pen(a)", "ther", "ne"]
    assert reuse.left("a", at("x = ot", "\n")) == ["her"]
    assert reuse.left("a", at("x = open(", ")\n")) == ["a)"]
    assert reuse.left("a", at("x = one", "\n")) == []


def test_an_answer_to_a_question_for_fewer_is_no_choice() -> None:
    reuse = remembering("x = ", "\n", "one")
    assert reuse.left("a", at("x = ", "\n"), 2) == []
    reuse.remember("a", at("x = ", "\n"), "two", num_asked=2)
    assert reuse.left("a", at("x = ", "\n"), 2) == ["two"]
    reuse.remember("a", at("x = ", "\n"), "three")
    assert reuse.left("a", at("x = ", "\n")) == ["three"]
    assert reuse.left("a", at("x = ", "\n"), 2) == ["two"]


@pytest.mark.parametrize("above", ["", LONG])
def test_a_draft_agrees_with_typing_that_it_continues_or_starts(above: str) -> None:
    then = at(above + "x = ", "\n")
    assert agrees("foo(a)", then, then) == ""
    assert agrees("foo(a)", then, at(above + "x = fo", "\n")) == "fo"
    assert agrees("foo(a)", then, at(above + "x = foo(", ")\n")) == "foo("
    assert agrees("f", then, at(above + "x = fo", "\n")) == "fo"
    assert agrees("", then, at(above + "x = fo", "\n")) == "fo"
    assert agrees("bar", then, at(above + "x = fo", "\n")) is None
    assert agrees("foo", then, at(above + "x =", "\n")) is None
    assert agrees("foo", then, at(above + "x = fo", "")) is None


@given(code, code, code, st.sampled_from(["", LONG]))
def test_typing_alone_is_told_from_other_changes(before: str, typed: str, after: str, above: str) -> None:
    then, now = at(above + "x" + before + "|", after), at(above + "x" + before + "|" + typed, after)
    assert typed_since(then, now) == typed
    assert typed_since(now, then) == (None if typed else "")
    assert typed_since(then, at(above + "y" + before + "|" + typed, after)) is None


def test_as_much_typing_as_is_looked_for_is_found() -> None:
    typed = LONG[-MAX_TYPED_CHARS:]
    assert typed_since(at(LONG + "|", ""), at(LONG + "|" + typed, "")) == typed
    assert typed_since(at(LONG + "|", ""), at(LONG + "|" + typed + "x", "")) is None
