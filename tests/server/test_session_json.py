"""`midfill.server.session` with JSON: the engine is sent the whole text and its schema, and what it found valid counts.

The engine is a scripted one, which says of each fill what the script says: whether it is valid, nothing checks.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from tests.server.engine_here import PATIENCE_S, EngineHere, cursor, edit, engine_here, text_of, until
from tests.server.web_here import WebHere, web_here

from midfill.engine.errors import RequestFailed
from midfill.engine.scripted import Rule
from midfill.engine.wire import Schema
from midfill.server import session as session_module
from midfill.server.checked import MAX_CHECKED_BYTES
from midfill.server.document import PREFIX_CHARS, SUFFIX_CHARS, Document, Place
from midfill.server.offers import Gap
from midfill.server.schema_texts import AT_ONCE_BYTES
from midfill.server.selection import Point, SelectionArguments, SelectionError, Span, fill_selection
from midfill.server.session import Session
from midfill.server.settings import SchemaRule, Settings

VALUE = Rule(after='"a": ', text="1", valid=True)
UNCHECKED = Rule(after='"a": ', text="12")
OBJECT = Rule(text='{"a": 1}', valid=True)
LINES = Rule(after='"a": ', text="[\n    1\n  ]", valid=True)
TYPE: dict[str, object] = {"type": "object"}

pytestmark = pytest.mark.asyncio


def settings(**given: object) -> Settings:
    rules = [SchemaRule(file_match=["a.json"], schema=TYPE)]
    return Settings(debounce_ms=0, speculate=False, schemas=rules, **given)  # pyright: ignore[reportArgumentType]


def opened(here: EngineHere, text: str, language: str = "json") -> Session:
    path = Path("/work/a.json")
    return Session(Document(path.as_uri(), language, 1, text, "utf-16"), path, here.shared)


async def test_the_request_has_the_whole_text_and_the_schema() -> None:
    async with engine_here(VALUE, settings=settings()) as here:
        before, after = "\n" * (2 * PREFIX_CHARS) + '{"a": ', "}" + "\n" * (2 * SUFFIX_CHARS)
        session = opened(here, before + after)
        await session.suggest(cursor(2 * PREFIX_CHARS, 6), automatic=True)
        (request,) = here.filler.requests
        assert (request.prefix, request.suffix) == (before, after)
        assert request.schema is not None
        assert request.schema.text == '{"type":"object"}'


async def test_a_request_of_another_language_has_neither() -> None:
    async with engine_here(VALUE, settings=settings()) as here:
        session = opened(here, "\n" * (2 * PREFIX_CHARS) + '{"a": }', language="python")
        await session.suggest(cursor(2 * PREFIX_CHARS, 6), automatic=True)
        (request,) = here.filler.requests
        assert len(request.prefix) < PREFIX_CHARS + 6
        assert request.schema is None


async def test_what_is_too_large_to_be_checked_is_not_filled_unasked() -> None:
    async with engine_here(VALUE) as here:
        session = opened(here, "\n" * MAX_CHECKED_BYTES + '{"a": }')
        assert not await session.suggest(cursor(MAX_CHECKED_BYTES, 6), automatic=False)
        assert session.reason_for_silence() == "the file is too large to be checked"
        assert here.filler.requests == []


async def test_strings_of_json_are_filled_whatever_is_set_for_strings() -> None:
    async with engine_here(Rule(text='a"', valid=True), settings=settings(in_strings=False)) as here:
        assert text_of(await opened(here, '{"').suggest(cursor(0, 2), automatic=True)) == 'a"'


async def test_typing_along_keeps_the_rest_even_where_the_editor_closes_brackets() -> None:
    async with engine_here(OBJECT, settings=settings()) as here:
        session = opened(here, "")
        await session.suggest(cursor(0, 0), automatic=True)
        edit(session, (0, 0), (0, 0), "{}")
        (offer,) = await session.suggest(cursor(0, 1), automatic=True)
        assert (offer.text, offer.ghost.replaced) == ('"a": 1}', 1)
        edit(session, (0, 1), (0, 1), '""')
        (offer,) = await session.suggest(cursor(0, 2), automatic=True)
        assert (offer.text, offer.ghost.replaced) == ('a": 1}', 2)
        assert len(here.filler.requests) == 1


async def test_a_quote_that_the_editor_added_may_be_replaced() -> None:
    rule = Rule(after='{"po', before="}", text='rt": 80', valid=True)
    async with engine_here(rule, settings=settings()) as here:
        session = opened(here, "{}")
        edit(session, (0, 1), (0, 1), '""')
        for column, key in enumerate("pok", start=2):
            edit(session, (0, column), (0, column), key)
        edit(session, (0, 4), (0, 5), "")
        (offer,) = await session.suggest(cursor(0, 4), automatic=False)
        assert (offer.text, offer.ghost.replaced) == ('rt": 80', 1)
        (request,) = here.filler.requests
        assert (request.prefix, request.suffix) == ('{"po', "}")


async def test_a_quote_that_the_person_typed_stays() -> None:
    async with engine_here(settings=settings()) as here:
        session = opened(here, "{}")
        for column in (1, 2):
            edit(session, (0, column), (0, column), '"')
        await session.suggest(cursor(0, 2), automatic=False)
        (request,) = here.filler.requests
        assert (request.prefix, request.suffix) == ('{"', '"}')


async def test_a_change_far_away_makes_what_was_proposed_unknown() -> None:
    async with engine_here(VALUE, settings=settings()) as here:
        session = opened(here, "[{}," + " " * 5000 + '\n{"a": }]')
        assert text_of(await session.suggest(cursor(1, 6), automatic=True)) == "1"
        edit(session, (0, 1), (0, 3), "{},{}")
        assert text_of(await session.suggest(cursor(1, 6), automatic=True)) == "1"
        assert len(here.filler.requests) == 2
        assert text_of(await session.suggest(cursor(1, 6), automatic=True)) == "1"
        assert len(here.filler.requests) == 2


@pytest.mark.parametrize("language", ["json", "jsonc"])
async def test_what_was_not_checked_is_not_recalled_once_a_far_error_is_mended(language: str) -> None:
    async with engine_here(UNCHECKED, settings=settings()) as here:
        session = opened(here, "[{]," + " " * 5000 + '\n{"a": }]', language=language)
        for _ in range(2):
            assert text_of(await session.suggest(cursor(1, 6), automatic=True)) == "12"
        edit(session, (1, 6), (1, 6), "1")
        assert text_of(await session.suggest(cursor(1, 7), automatic=True)) == "2"
        assert len(here.filler.requests) == 1
        edit(session, (0, 2), (0, 2), "}")
        await session.suggest(cursor(1, 7), automatic=True)
        assert len(here.filler.requests) == 2


async def test_a_value_of_several_lines_pushes_the_comma_down() -> None:
    async with engine_here(LINES, settings=settings()) as here:
        session = opened(here, '{\n  "a": ,\n  "b": 2\n}')
        (offer,) = await session.suggest(cursor(1, 7), automatic=True)
        assert (offer.ghost.text, offer.ghost.replaced) == (LINES.text, 0)


async def test_another_schema_is_another_question() -> None:
    async with engine_here(VALUE, settings=settings()) as here:
        session = opened(here, '{"a": }')
        assert text_of(await session.suggest(cursor(0, 6), automatic=True)) == "1"
        here.shared.use(Settings(debounce_ms=0, speculate=False))
        assert text_of(await session.suggest(cursor(0, 6), automatic=True)) == "1"
        assert [request.schema is None for request in here.filler.requests] == [False, True]


async def test_while_the_schema_is_read_nothing_is_shown_unasked(tmp_path: Path) -> None:
    file = tmp_path / "s.json"
    file.write_bytes(b'{"type": "object"}' + b" " * AT_ONCE_BYTES)
    rules = [SchemaRule(file_match=["a.json"], url=str(file))]
    async with engine_here(VALUE, settings=Settings(debounce_ms=0, speculate=False, schemas=rules)) as here:
        session = opened(here, '{"a": }')
        assert not await session.suggest(cursor(0, 6), automatic=True)
        assert here.filler.requests == []
        schemas = here.shared.schemas
        await until(lambda: schemas.schema_for(session.document, session.path, Place(0, 6)).schema)
        assert text_of(await session.suggest(cursor(0, 6), automatic=True)) == "1"
        (request,) = here.filler.requests
        assert request.schema is not None


class SlowSchema:
    """A schema of the web that comes when the test says so, and what the person is shown meanwhile."""

    def __init__(self, web: WebHere) -> None:
        self.settings = Settings(
            debounce_ms=0,
            speculate=False,
            fetch_schemas=True,
            schemas=[SchemaRule(file_match=["a.json"], url=web.url("/s.json"))],
        )
        self._comes = threading.Event()
        self.shown: list[str] = []
        self.cancel: Callable[[], object] | None = None
        web.pages["/s.json"] = self._answer

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        assert self._comes.wait(PATIENCE_S)
        request.send_response(200)
        request.end_headers()
        request.wfile.write(b'{"type": "object"}')

    def come(self) -> None:
        self._comes.set()

    def show(self, title: str, cancel: Callable[[], object]) -> Callable[[], None]:
        self.shown.append(title)
        self.cancel = cancel
        return lambda: self.shown.append("")


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[SlowSchema]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with web_here() as web:
        schema = SlowSchema(web)
        yield schema
        schema.come()


async def test_what_is_asked_for_by_hand_waits_for_the_schema(slow: SlowSchema) -> None:
    async with engine_here(VALUE, settings=slow.settings) as here:
        here.shared.show = slow.show
        session = opened(here, '{"a": }')
        asking = asyncio.create_task(session.suggest(cursor(0, 6), automatic=False))
        await until(lambda: slow.shown)
        assert here.filler.requests == []
        slow.come()
        assert text_of(await asking) == "1"
        assert slow.shown == ["Waiting for the schema", ""]
        (request,) = here.filler.requests
        assert request.schema is not None


async def test_a_key_while_it_waits_for_the_schema_ends_the_question(slow: SlowSchema) -> None:
    async with engine_here(VALUE, settings=slow.settings) as here:
        here.shared.show = slow.show
        session = opened(here, '{"a": }')
        asking = asyncio.create_task(session.suggest(cursor(0, 6), automatic=False))
        await until(lambda: slow.shown)
        edit(session, (0, 6), (0, 6), "1")
        slow.come()
        assert not await asking
        assert here.filler.requests == []


async def test_waiting_for_the_schema_can_be_cancelled(slow: SlowSchema) -> None:
    async with engine_here(VALUE, settings=slow.settings) as here:
        here.shared.show = slow.show
        asking = asyncio.create_task(opened(here, '{"a": }').suggest(cursor(0, 6), automatic=False))
        await until(lambda: slow.cancel)
        assert slow.cancel is not None
        slow.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        assert slow.shown[-1] == ""


async def test_the_schema_is_not_waited_for_longer_than_one_may_take(
    slow: SlowSchema, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "TIMEOUT_S", 0.01)
    async with engine_here(VALUE, settings=slow.settings) as here:
        session = opened(here, '{"a": }')
        assert text_of(await session.suggest(cursor(0, 6), automatic=False)) == "1"
        (request,) = here.filler.requests
        assert request.schema is None


async def test_a_selection_is_filled_by_the_schema_that_came(slow: SlowSchema) -> None:
    async with engine_here(VALUE, settings=slow.settings) as here:
        here.shared.show = slow.show
        session = opened(here, '{"a": 0}')
        span = Span(Point(0, 6), Point(0, 7))
        filling = asyncio.create_task(fill_selection(session, SelectionArguments("", span), lambda draft: None))
        await until(lambda: slow.shown)
        slow.come()
        await filling
        (request,) = here.filler.requests
        assert request.schema is not None


async def test_a_selection_is_not_filled_in_a_text_that_changed_while_its_schema_came(slow: SlowSchema) -> None:
    async with engine_here(VALUE, settings=slow.settings) as here:
        here.shared.show = slow.show
        session = opened(here, '{"a": 0}')
        span = Span(Point(0, 6), Point(0, 7))
        filling = asyncio.create_task(fill_selection(session, SelectionArguments("", span), lambda draft: None))
        await until(lambda: slow.shown)
        edit(session, (0, 0), (0, 0), "\n")
        slow.come()
        with pytest.raises(SelectionError, match="has changed while its schema was fetched"):
            await filling


async def test_a_schema_that_the_engine_cannot_use_is_told_once_and_then_left_out() -> None:
    rules = [SchemaRule(file_match=["a.json"], schema={})]
    async with engine_here(VALUE, settings=Settings(debounce_ms=0, speculate=False, schemas=rules)) as here:
        told: list[str] = []
        here.shared.tell = told.append
        session = opened(here, '{"a": }')
        assert not await session.suggest(cursor(0, 6), automatic=True)
        assert told == ["schema: wanted a type, got none; files are filled without it"]
        assert text_of(await session.suggest(cursor(0, 6), automatic=True)) == "1"
        assert [request.schema is None for request in here.filler.requests] == [False, True]


async def test_a_command_that_fails_by_a_schema_succeeds_without_it() -> None:
    rules = [SchemaRule(file_match=["a.json"], schema={})]
    async with engine_here(VALUE, settings=Settings(debounce_ms=0, speculate=False, schemas=rules)) as here:
        session = opened(here, '{"a": 0}')
        gap = Gap(Place(0, 6), Place(0, 7))
        with pytest.raises(RequestFailed, match="schema: wanted a type"):
            await session.fill_span(gap, "fast", 64, lambda draft: None)
        assert (await session.fill_span(gap, "fast", 64, lambda draft: None)).text == "1"


async def test_a_command_is_answered_by_the_same_rules() -> None:
    async with engine_here(LINES, settings=settings()) as here:
        session = opened(here, '{"a": 0, "b": 1}')
        gap = Gap(Place(0, 6), Place(0, 7))
        infill = await session.fill_span(gap, "fast", 64, lambda draft: None)
        (request,) = here.filler.requests
        assert request.schema == Schema(text='{"type":"object"}', uri=request.schema.uri if request.schema else "")
        shown = session.ghost(infill.text, gap)
        assert shown is not None
        assert shown.text == LINES.text
        assert session.ghost("2", gap) is None


async def test_an_engine_that_does_not_check_is_answered_for_as_ever() -> None:
    async with engine_here(Rule(after='"a": ', text="1}")) as here:
        (offer,) = await opened(here, '{"a": }').suggest(cursor(0, 6), automatic=True)
        assert (offer.ghost.text, offer.ghost.replaced) == ("1", 0)
