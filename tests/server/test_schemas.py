"""`midfill.server.schemas`: which schema a document has to meet."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.server.engine_here import until
from tests.server.web_here import WebHere, web_here

from midfill.engine.wire import Schema
from midfill.server.document import Document, Place
from midfill.server.ignored import Ignored
from midfill.server.schema_catalogue import known_schema
from midfill.server.schema_download import SchemaCache
from midfill.server.schema_texts import FRESH_S, SchemaTexts
from midfill.server.schemas import MAX_OTHERS, Schemas, Sought
from midfill.server.settings import SchemaRule

TYPE = {"type": "object"}

pytestmark = pytest.mark.asyncio


@pytest.fixture
def web() -> Iterator[WebHere]:
    with web_here() as web:
        yield web


class Here:
    """A workspace with schemas."""

    def __init__(self, folder: Path, *rules: SchemaRule, fetch: bool = False) -> None:
        self.root = folder.resolve()
        self.told: list[str] = []
        self.notices: list[str] = []
        self.now_s = 100.0
        self.cache = SchemaCache(self.root / "cache")
        ignored = Ignored([self.root], [])
        self.texts = SchemaTexts(ignored, self.cache, may_fetch=fetch, clock=lambda: self.now_s)
        self.schemas = Schemas([self.root], rules, self.texts, tell=self.told.append, inform=self.notices.append)

    def write(self, name: str, schema: Any) -> str:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.encode(schema))
        return path.as_uri()

    def ask(self, text: str, name: str = "a.json", language: str = "json") -> Schema | None:
        return self.seek(text, name, language).schema

    def seek(self, text: str, name: str = "a.json", language: str = "json") -> Sought:
        """The schema for a document with this text, whose cursor is where `|` stands, or at its start."""
        before, _, after = text.partition("|")
        cursor = len(before) if after else 0
        path = self.root / name
        document = Document(path.as_uri(), language, 1, before + after, "utf-16")
        return self.schemas.schema_for(document, path, document.place_at(cursor))


def rule(*patterns: str, url: str = "", schema: dict[str, object] | None = None) -> SchemaRule:
    return SchemaRule(file_match=[*patterns], url=url, schema=schema)


async def test_the_schema_that_the_document_names_counts_first(tmp_path: Path) -> None:
    here = Here(tmp_path, rule("*.json", url="other.json"))
    uri = here.write("schemas/mine.json", TYPE)
    here.write("other.json", {})
    schema = here.ask('{"$schema": "../schemas/mine.json"}', name="deep/a.json")
    assert schema == Schema(text='{"type":"object"}', uri=uri)


async def test_while_its_name_is_written_it_is_not_looked_for(tmp_path: Path) -> None:
    here = Here(tmp_path)
    here.write("mine.json", TYPE)
    assert here.ask('{"$schema": "mine|.json"}') is None
    assert here.ask('{"$schema": "mine.json"|}') is not None


async def test_the_settings_name_it_by_the_files_name(tmp_path: Path) -> None:
    here = Here(
        tmp_path,
        rule("b.json", url="schemas/b.json"),
        rule("*.json", "!c.json", url=f"{tmp_path.resolve()}/schemas/any.json"),
        rule("c.json", schema={"const": 1}),
    )
    b, any_uri = here.write("schemas/b.json", {"const": 2}), here.write("schemas/any.json", {"const": 3})
    assert here.ask("{}", "b.json") == Schema(text='{"const":2}', uri=b)
    assert here.ask("{}", "d.json") == Schema(text='{"const":3}', uri=any_uri)
    inline = here.ask("{}", "c.json")
    assert inline is not None
    assert inline.text == '{"const":1}'
    assert here.ask("{}", "c.txt") is None


async def test_a_schema_in_the_settings_refers_to_files_of_the_workspace(tmp_path: Path) -> None:
    here = Here(tmp_path, rule("a.json", schema={"$ref": "./schemas/b.json"}))
    b = here.write("schemas/b.json", TYPE)
    schema = here.ask("{}")
    assert schema is not None
    assert schema.others == ((b, '{"type":"object"}'),)


async def test_other_languages_have_none(tmp_path: Path) -> None:
    here = Here(tmp_path, rule("*", schema=dict(TYPE)))
    assert here.ask("{}", language="jsonc") is not None
    assert here.ask("{}", language="python") is None


async def test_a_document_in_no_file_is_matched_by_its_name(tmp_path: Path) -> None:
    here = Here(tmp_path, rule("package.json", schema=dict(TYPE)))
    document = Document("untitled:package.json", "json", 1, '{"$schema": "./relative.json"}', "utf-16")
    assert here.schemas.schema_for(document, None, Place(0, 0)).schema is not None


async def test_schemas_that_are_referred_to_come_along(tmp_path: Path) -> None:
    here = Here(tmp_path)
    here.write("a.schema.json", {"$id": "https://example.com/a", "$ref": "b.json", "not": {"$ref": "missing.json"}})
    here.write("b.json", {"$ref": "c/c.json#/a"})
    c = here.write("c/c.json", {"a": {"$ref": "../b.json"}})
    await until(lambda: here.ask('{"$schema": "a.schema.json"}'))
    schema = here.ask('{"$schema": "a.schema.json"}')
    assert schema is not None
    assert [uri for uri, _ in schema.others] == ["https://example.com/b.json", c, (here.root / "b.json").as_uri()]


async def test_it_stays_the_same_object_until_a_file_changes(tmp_path: Path) -> None:
    here = Here(tmp_path)
    here.write("s.json", {"$ref": "b.json"})
    here.write("b.json", TYPE)
    first = here.ask('{"$schema": "s.json"}')
    assert first is not None
    assert here.ask('{"$schema": "s.json"}') is first
    here.write("b.json", {"const": 1})
    here.now_s += FRESH_S
    second = here.ask('{"$schema": "s.json"}')
    assert second is not None
    assert second.others[0][1] == '{"const":1}'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '{"$schema": "http://json-schema.org/draft-07/schema#"}'),
        ("a.json", '{"$schema": "https://json-schema.org/draft-07/schema"}'),
        ("a.schema.json", "{}"),
    ],
)
async def test_schemas_are_written_with_the_schema_of_schemas(tmp_path: Path, name: str, text: str) -> None:
    schema = Here(tmp_path).ask(text, name)
    assert schema is not None
    assert schema.text == '{"$ref":"http://json-schema.org/draft-07/schema"}'


async def test_what_the_settings_name_and_is_not_there_is_told(tmp_path: Path) -> None:
    here = Here(tmp_path, rule("a.json", url="missing.json"))
    assert here.ask("{}") is None
    (message,) = here.told
    assert "missing.json" in message


async def test_what_the_document_names_and_is_not_there_is_not_told(tmp_path: Path) -> None:
    here = Here(tmp_path)
    assert here.ask('{"$schema": "missing.json"}') is None
    assert (here.told, here.notices) == ([], [])


async def test_what_might_be_fetched_is_told_once_for_ever(tmp_path: Path, web: WebHere) -> None:
    here = Here(tmp_path)
    text = f'{{"$schema": "{web.url("/a.json")}"}}'
    here.ask(text)
    await until(lambda: here.ask(text) is None and here.notices)
    (notice,) = here.notices
    assert notice == f"a schema for a.json is known at {web.url('/a.json')}: set fetchSchemas to true to use it"
    here.ask(text)
    again = Here(tmp_path)
    await until(lambda: again.texts.look_up(web.url("/a.json")))
    again.ask(text)
    assert (len(here.notices), again.notices, web.asked) == (1, [], [])


async def test_a_well_known_file_has_the_published_schema_once_that_was_fetched(tmp_path: Path) -> None:
    here = Here(tmp_path)
    url = known_schema(Path("package.json"))
    assert url is not None
    here.cache.write(url, b'{"const": 4}')
    assert here.ask("{}", "package.json") is None
    await until(lambda: here.ask("{}", "package.json") is not None)
    assert here.ask("{}", "package.json") == Schema(text='{"const": 4}', uri=url)


async def test_all_of_it_is_fetched_before_it_is_used(tmp_path: Path, web: WebHere) -> None:
    here = Here(tmp_path, fetch=True)
    web.pages = {"/a.json": b'{"$ref": "b.json"}', "/b.json": b'{"$ref": "c.json"}', "/c.json": b"true"}
    text = f'{{"$schema": "{web.url("/a.json")}#"}}'
    seen = [here.seek(text)]
    await until(lambda: seen.append(here.seek(text)) or seen[-1].schema)
    assert set(seen[:-1]) == {Sought(None, is_being_found=True)}
    assert not seen[-1].is_being_found
    schema = seen[-1].schema
    assert schema is not None
    assert schema.others == ((web.url("/b.json"), '{"$ref": "c.json"}'), (web.url("/c.json"), "true"))
    assert web.asked == ["/a.json", "/b.json", "/c.json"]


async def test_where_the_named_one_is_not_to_be_had_the_settings_count(tmp_path: Path, web: WebHere) -> None:
    here = Here(tmp_path, rule("a.json", schema=dict(TYPE)))
    text = f'{{"$schema": "{web.url("/a.json")}"}}'
    await until(lambda: here.ask(text) is not None)


async def test_a_circle_of_schemas_ends_and_a_crowd_is_cut_off(tmp_path: Path) -> None:
    here = Here(tmp_path)
    for number in range(100):
        here.write(f"{number}.json", {"anyOf": [{"$ref": f"{number + 1}.json"}, {"$ref": "0.json"}]})
    schema = here.ask('{"$schema": "0.json"}')
    assert schema is not None
    assert len(schema.others) == 64


async def test_of_a_crowd_that_is_missing_few_are_looked_for(tmp_path: Path, web: WebHere) -> None:
    here = Here(tmp_path, fetch=True)
    here.write("a.json", {"anyOf": [{"$ref": web.url(f"/{number}.json")} for number in range(200)]})
    await until(lambda: here.ask('{"$schema": "a.json"}'))
    assert len(web.asked) == MAX_OTHERS


@pytest.mark.parametrize("url", ["http://[x/s.json", "a\0b.json", "\ud800.json", "file://[/a", "http://a:b/c", "~\0/a"])
async def test_a_rule_that_names_nothing_is_told_and_left_out(tmp_path: Path, url: str) -> None:
    here = Here(tmp_path, rule("a.json", url=url), rule("a.json", schema=dict(TYPE)), fetch=True)
    await until(lambda: here.ask("{}"))
    assert here.told
    assert all(message.startswith("schemas: ") for message in here.told)


async def test_two_schemas_in_the_settings_do_not_take_turns(tmp_path: Path) -> None:
    here = Here(tmp_path, rule("a.json", schema={"const": 1}), rule("b.json", schema={"const": 2}))
    a, b = here.ask("{}", "a.json"), here.ask("{}", "b.json")
    assert a is not None
    assert b is not None
    assert a.uri != b.uri
    assert here.ask("{}", "a.json") is a
    assert here.ask("{}", "b.json") is b


async def test_what_is_not_to_be_had_is_not_sought_any_more(tmp_path: Path, web: WebHere) -> None:
    here = Here(tmp_path, fetch=True)
    text = f'{{"$schema": "{web.url("/a.json")}"}}'
    assert here.seek(text).is_being_found
    await until(lambda: not here.seek(text).is_being_found)
    assert here.seek(text) == Sought(None)
    assert Here(tmp_path).seek(text) == Sought(None)
    assert here.seek('{"$schema": "missing.json"}') == here.seek("{}") == Sought(None)
