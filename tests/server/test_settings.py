"""`midfill.server.settings`: what clients send, right, wrong and strange."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midfill.server.settings import SchemaRule, Settings, read_settings

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
NAMES = (
    "enabled",
    "languages",
    "exclude",
    "debounceMs",
    "maxTokens",
    "explicitMode",
    "eagerness",
    "model",
    "schemas",
    "midfill",
)


def complaints(**sent: object) -> list[str]:
    return read_settings(sent)[1]


@pytest.mark.parametrize("nothing", [None, {}, [], "", {"midfill": None}, {"midfill": {}}])
def test_nothing_is_the_defaults(nothing: object) -> None:
    assert read_settings(nothing) == (Settings(), [])


def test_names_are_camel_case() -> None:
    settings, wrong = read_settings({"inComments": False, "debounceMs": 30, "maxFileBytes": 10, "explicitMode": "best"})
    assert settings == Settings(in_comments=False, debounce_ms=30, max_file_bytes=10, explicit_mode="best")
    assert wrong == []


def test_they_may_stand_under_midfill_beside_what_is_not_ours() -> None:
    assert read_settings({"midfill": {"maxTokens": 8}, "editor": {"tabSize": 2}}) == (Settings(max_tokens=8), [])


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("enabled", "yes", "enabled: wanted true or false, got 'yes'"),
        ("enabled", 1, "enabled: wanted true or false, got 1"),
        ("maxTokens", 0, "maxTokens: wanted 1 to 1024 tokens, got 0"),
        ("maxTokens", 1025, "maxTokens: wanted 1 to 1024 tokens, got 1025"),
        ("maxTokens", 1.5, "maxTokens: wanted 1 to 1024 tokens, got 1.5"),
        ("debounceMs", -1, "debounceMs: wanted 0 to 10000 milliseconds, or null, got -1"),
        ("debounceMs", True, "debounceMs: wanted 0 to 10000 milliseconds, or null, got True"),
        ("maxFileBytes", "4M", "maxFileBytes: wanted a number of bytes, got '4M'"),
        ("explicitMode", "quick", 'explicitMode: wanted "fast" or "best", got \'quick\''),
        ("eagerness", "eager", 'eagerness: wanted "low", "balanced" or "high", got \'eager\''),
        ("model", ["a"], "model: wanted a model's directory, or null, got ['a']"),
        ("exclude", "*.log", "exclude: wanted a list of patterns as in .gitignore, got '*.log'"),
        ("languages", ["python"], "languages: wanted an object of languages, each true or false, got ['python']"),
        ("max_tokens", 8, "max_tokens: no such setting, is it maxTokens?"),
        ("colour", "red", "colour: no such setting"),
    ],
)
def test_what_is_wrong_is_named_and_keeps_its_default(name: str, value: object, complaint: str) -> None:
    assert read_settings({name: value, "speculate": False}) == (Settings(speculate=False), [complaint])


def test_what_is_not_an_object_is_named() -> None:
    assert read_settings([1]) == (Settings(), ["settings: wanted an object, got [1]"])


def test_a_wrong_item_does_not_undo_the_others() -> None:
    settings, wrong = read_settings({"exclude": ["private/", 3], "languages": {"lua": False, "c": "no"}})
    assert settings == Settings(exclude=["private/"], languages={"lua": False})
    assert wrong == ["exclude: wanted a pattern as in .gitignore, got 3", "languages.c: wanted true or false, got 'no'"]


def test_a_rule_for_schemas_is_read_and_a_wrong_one_named() -> None:
    rules = [{"fileMatch": ["a.json"], "url": "b.json"}, {"fileMatch": ["a.json"]}, {"url": "b.json"}]
    settings, wrong = read_settings({"schemas": [*rules, {"fileMatch": ["c.json"], "schema": False}]})
    assert settings.schemas == [
        SchemaRule(file_match=["a.json"], url="b.json"),
        SchemaRule(file_match=["c.json"], schema=False),
    ]
    assert len(wrong) == 2
    assert wrong[0] == "schemas: wanted an object with fileMatch, and url or schema, got {'fileMatch': ['a.json']}"


def test_a_complaint_is_short_whatever_came() -> None:
    assert len(complaints(maxTokens="x" * 10_000)[0]) < 100


@pytest.mark.parametrize("unset", [None, "", {}, []])
@pytest.mark.parametrize("name", ["model", "exclude", "languages", "maxTokens"])
def test_null_and_what_clients_send_for_it_is_the_default(name: str, unset: object) -> None:
    assert read_settings({name: unset}) == (Settings(), [])


def test_a_whole_number_may_come_as_a_float() -> None:
    assert read_settings({"maxTokens": 8.0}) == (Settings(max_tokens=8), [])


@given(st.dictionaries(st.sampled_from(NAMES) | st.text(), JSON) | JSON)
def test_nothing_that_json_can_hold_raises(raw: object) -> None:
    settings, wrong = read_settings(raw)
    assert isinstance(settings, Settings)
    assert all("\n" not in complaint for complaint in wrong)


@pytest.mark.parametrize(
    ("settings", "served"),
    [
        (Settings(), {"python", "markdown"}),
        (Settings(enabled=False), set[str]()),
        (Settings(languages={"markdown": False}), {"python"}),
        (Settings(languages={"*": False, "python": True}), {"python"}),
    ],
)
def test_a_language_follows_its_own_switch_then_the_star(settings: Settings, served: set[str]) -> None:
    assert {language for language in ("python", "markdown") if settings.serves(language)} == served
