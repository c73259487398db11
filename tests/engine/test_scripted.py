"""`midfill.engine.scripted`: rules from a file, and the steps that they make."""

import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill.engine.errors import InputError
from midfill.engine.scripted import Rule, ScriptedFiller, read_rules
from midfill.engine.wire import Infill, InfillRequest

ADD = Rule(after="def add(a, b):", text="\n    return a + b", steps=3, prefill_steps=2)


def request(prefix: str, suffix: str = "", document: str = "a") -> InfillRequest:
    return InfillRequest(document=document, prefix=prefix, suffix=suffix)


def finish(filling: Generator[str, None, Infill]) -> tuple[list[str], Infill]:
    """The texts so far, and the answer."""
    texts: list[str] = []
    while True:
        try:
            texts.append(next(filling))
        except StopIteration as end:
            return texts, end.value


def answer(rules: list[Rule], prefix: str, suffix: str = "") -> Infill:
    return finish(ScriptedFiller(rules).fill(request(prefix, suffix)))[1]


def test_the_first_rule_that_fits_answers() -> None:
    rules = [Rule(after="x = ", before=")", text="1"), Rule(after="x = ", text="2"), Rule(after="= ", text="3")]
    assert answer(rules, "x = ", ")").text == "1"
    assert answer(rules, "x = ", "").text == "2"
    assert answer(rules, "y = ", ")").text == "3"


def test_where_no_rule_fits_nothing_is_shown() -> None:
    nothing = answer([ADD], "def sub(a, b):")
    assert (nothing.text, nothing.shown) == ("", False)


def test_as_many_others_come_as_are_asked_for() -> None:
    filler = ScriptedFiller([Rule(text="one", others=("two", "three"))])
    answers = [
        finish(filler.fill(msgspec.structs.replace(request(""), num_candidates=number)))[1] for number in (1, 2, 4)
    ]
    assert [answer.text for answer in answers] == ["one"] * 3
    assert [[other.text for other in answer.others] for answer in answers] == [[], ["two"], ["two", "three"]]


def test_a_step_is_a_next_and_the_drafts_grow_to_the_text() -> None:
    texts, done = finish(ScriptedFiller([ADD]).fill(request("def add(a, b):")))
    assert texts[:2] == ["", ""]
    assert len(texts) == 2 + done.steps
    assert all(ADD.text.startswith(text) for text in texts)
    assert texts[-1] == done.text == ADD.text


@given(st.lists(st.text(), min_size=1, max_size=6), st.integers(1, 9))
def test_own_drafts_are_told_in_order_and_end_with_the_last(drafts: list[str], steps: int) -> None:
    rule = Rule(text="x", drafts=tuple(drafts), steps=steps, prefill_steps=0)
    texts, _ = finish(ScriptedFiller([rule]).fill(request("")))
    assert len(texts) == steps
    assert texts[-1] == drafts[-1]
    places = iter(drafts)
    distinct = [text for index, text in enumerate(texts) if index == 0 or text != texts[index - 1]]
    assert all(text in places for text in distinct)


def test_typing_on_finds_the_prompt_cached_and_another_suffix_does_not() -> None:
    filler = ScriptedFiller([])
    assert finish(filler.fill(request("x" * 400, "y" * 40)))[1].cached_tokens == 0
    assert finish(filler.fill(request("x" * 404, "y" * 40)))[1].cached_tokens == 110
    assert finish(filler.fill(request("x" * 404, "z" * 40)))[1].cached_tokens == 0


def test_a_forgotten_document_holds_nothing() -> None:
    filler = ScriptedFiller([])
    finish(filler.fill(request("text")))
    assert (filler.documents, filler.kv_bytes) == (1, 4)
    filler.forget("a")
    filler.forget("never seen")
    assert (filler.documents, filler.kv_bytes) == (0, 0)


def test_a_rule_may_fail_in_the_midst() -> None:
    filling = ScriptedFiller([Rule(text="abcd", crash="raise", prefill_steps=0)]).fill(request(""))
    assert [next(filling), next(filling)] == ["a", "ab"]
    with pytest.raises(RuntimeError):
        next(filling)


def test_rules_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    path.write_text('[{"after": "def add(a, b):", "text": "\\n    return a + b", "steps": 3, "prefill_steps": 2}]')
    assert read_rules(path) == [ADD]


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[{}]", b'[{"text": "x", "step": 3}]', b'[{"text": "x", "steps": 0}]', b'["\xff"]', b"[" * 99_999],
)
def test_a_file_of_no_rules_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "rules.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"rules\.json: wanted a JSON list of rules, got"):
        read_rules(path)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="wanted a readable file, got No such file"):
        read_rules(tmp_path / "none.json")


def test_it_needs_no_torch() -> None:
    script = "import sys, midfill.engine.scripted; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
