"""`midfill.server.session`, with a scripted engine in this process: what depends on who comes first."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.server.engine_here import EngineHere, cursor, edit, engine_here, text_of, until

from midfill.engine.scripted import Rule
from midfill.server.document import Document, Place
from midfill.server.offers import Gap, Offer
from midfill.server.session import Session
from midfill.server.settings import Settings

ANSWER = Rule(after="x = ", text="42")
OTHER = Rule(after="y = ", text="42")
LONG = Rule(after="call(", text="one, two)", drafts=("one",) * 4 + ("one, two)",), steps=5)

pytestmark = pytest.mark.asyncio


def opened(here: EngineHere, text: str, path: Path | None = None) -> Session:
    return Session(Document("file:///a.py", "python", 1, text, "utf-16"), path, here.shared)


def asking(session: Session, gap: Gap, *, automatic: bool = True) -> "asyncio.Task[Sequence[Offer]]":
    return asyncio.create_task(session.suggest(gap, automatic=automatic))


@pytest.mark.parametrize(("most", "text"), [(8, "42"), (7, None)])
async def test_a_files_size_is_that_of_its_utf_8_bytes(most: int, text: str | None) -> None:
    async with engine_here(ANSWER, settings=Settings(debounce_ms=0, speculate=False, max_file_bytes=most)) as here:
        session = opened(here, "🙂x = ")
        assert text_of(await session.suggest(cursor(0, 5), automatic=False)) == text


CHOICE = Rule(after="x = ", text="one()", others=("one() ", "", "other", "two()"))


def texts(offers: Sequence[Offer]) -> list[str]:
    return [offer.text for offer in offers]


async def test_a_fill_that_was_asked_for_comes_with_others_that_look_different() -> None:
    async with engine_here(CHOICE) as here:
        offers = await opened(here, "x = ").suggest(cursor(0, 4), automatic=False)
        assert texts(offers) == ["one()", "other"]  # of four, one is the same on the screen, and one is nothing
        assert len({offer.id for offer in offers}) == 2


async def test_what_appears_by_itself_is_one_fill() -> None:
    async with engine_here(CHOICE) as here:
        assert texts(await opened(here, "x = ").suggest(cursor(0, 4), automatic=True)) == ["one()"]
        (request,) = here.filler.requests
        assert (request.num_candidates, request.scope) == (1, "auto")


async def test_a_choice_is_asked_for_where_one_fill_is_known_and_only_once() -> None:
    async with engine_here(CHOICE) as here:
        session = opened(here, "x = ")
        (alone,) = await session.suggest(cursor(0, 4), automatic=True)
        offers = await session.suggest(cursor(0, 4), automatic=False)
        assert [(offer.text, offer.is_new, offer.source) for offer in (alone, *offers)] == [
            ("one()", True, "engine"),
            ("one()", False, "engine"),
            ("other", True, "engine"),
        ]
        assert texts(await session.suggest(cursor(0, 4), automatic=False)) == ["one()", "other"]
        assert here.scheduler.tally.answered == 2


async def test_a_running_decode_of_one_fill_gives_way_to_one_of_several_but_not_the_other_way_round() -> None:
    async with engine_here(CHOICE) as here:
        session = opened(here, "x = ")
        here.hold()
        older = asking(session, cursor(0, 4), automatic=True)
        await here.begun()
        newer = asking(session, cursor(0, 4), automatic=False)
        await until(lambda: session.live and session.live.request.num_candidates > 1)
        newest = asking(session, cursor(0, 4), automatic=True)
        here.go_on()
        assert texts(await newest) == ["one()", "other"]
        assert not await older
        assert not await newer
        assert (here.scheduler.tally.answered, here.scheduler.tally.dropped) == (1, 1)


async def test_typing_towards_any_of_a_choice_keeps_what_is_left_of_it() -> None:
    async with engine_here(CHOICE) as here:
        session = opened(here, "x = ")
        await session.suggest(cursor(0, 4), automatic=False)
        edit(session, (0, 4), (0, 4), "o")
        both = await session.suggest(cursor(0, 5), automatic=True)
        edit(session, (0, 5), (0, 5), "t")
        one = await session.suggest(cursor(0, 6), automatic=True)
        assert [texts(both), texts(one)] == [["ne()", "ther"], ["her"]]
        assert not any(offer.is_new for offer in (*both, *one))
        assert here.scheduler.tally.answered == 1
        assert here.count("rejected") == 0


async def test_typing_something_else_rejects_a_whole_choice_once() -> None:
    async with engine_here(CHOICE) as here:
        session = opened(here, "x = ")
        await session.suggest(cursor(0, 4), automatic=False)
        edit(session, (0, 4), (0, 4), "seven")
        edit(session, (0, 4), (0, 9), "")
        edit(session, (0, 4), (0, 4), "ot")
        assert not await session.suggest(cursor(0, 6), automatic=True)
        assert here.count("rejected") == 1


async def test_where_one_of_a_choice_was_dismissed_nothing_appears_by_itself() -> None:
    async with engine_here(CHOICE) as here:
        session = opened(here, "x = ")
        _, other = await session.suggest(cursor(0, 4), automatic=False)
        session.reject(other)
        assert not await session.suggest(cursor(0, 4), automatic=True)
        assert texts(await session.suggest(cursor(0, 4), automatic=False)) == ["one()", "other"]


async def test_a_selection_may_be_filled_with_anything() -> None:
    async with engine_here(CHOICE) as here:
        await opened(here, "x = TODO").fill_span(Gap(Place(0, 4), Place(0, 8)), "fast", 64, lambda draft: None)
        (request,) = here.filler.requests
        assert (request.num_candidates, request.scope) == (1, "any")


async def test_an_edit_while_it_waits_for_another_key_ends_the_question() -> None:
    async with engine_here(ANSWER, settings=Settings(debounce_ms=20)) as here:
        session = opened(here, "one\ntwo\nx = \n")
        question = asking(session, cursor(2, 4))
        await asyncio.sleep(0)  # its turn: it waits now
        edit(session, (0, 0), (2, 0), "")
        assert not await question
        assert here.scheduler.tally.answered == 0
        assert text_of(await session.suggest(cursor(0, 4), automatic=False)) == "42"


async def test_an_edit_that_takes_the_line_away_ends_the_question() -> None:
    async with engine_here(ANSWER) as here:
        session = opened(here, "one\ntwo\nx = ")
        here.hold()
        question = asking(session, cursor(2, 4))
        await here.begun()
        edit(session, (0, 0), (2, 4), "")
        here.go_on()
        assert not await question
        assert not session.offers


async def test_what_was_never_shown_is_not_taken_for_rejected() -> None:
    async with engine_here(ANSWER) as here:
        session = opened(here, "x = ")
        here.hold()
        question = asking(session, cursor(0, 4))
        await here.begun()
        edit(session, (0, 4), (0, 4), "s")  # no draft is there yet to disagree
        here.go_on()
        assert not await question
        for column, key in enumerate("even", start=5):
            edit(session, (0, column), (0, column), key)
        assert here.count("rejected") == 0


async def test_the_same_question_right_after_a_cancelled_one_is_answered() -> None:
    async with engine_here(ANSWER) as here:
        session = opened(here, "x = ")
        here.hold()
        cancelled = asking(session, cursor(0, 4))
        await here.begun()
        cancelled.cancel()
        await asyncio.wait([cancelled])
        again = asking(session, cursor(0, 4))
        here.go_on()
        assert text_of(await again) == "42"


async def test_a_cancelled_decode_that_agrees_is_there_for_the_next_question() -> None:
    async with engine_here(LONG) as here:
        session = opened(here, "call(")
        here.hold(after_steps=2)  # the prompt, and a draft
        first = asking(session, cursor(0, 5))
        await until(lambda: session.live and session.live.draft)
        edit(session, (0, 5), (0, 5), "o")
        first.cancel()
        second = asking(session, cursor(0, 6))
        await asyncio.wait([first])
        here.go_on()
        assert text_of(await second) == "ne, two)"
        assert here.scheduler.tally.answered == 1


async def test_a_running_decode_that_agrees_with_what_was_typed_is_kept() -> None:
    async with engine_here(LONG) as here:
        session = opened(here, "call(")
        here.hold(after_steps=2)
        older = asking(session, cursor(0, 5))
        await until(lambda: session.live and session.live.draft)
        edit(session, (0, 5), (0, 5), "one")
        newer = asking(session, cursor(0, 8))
        here.go_on()
        assert text_of(await newer) == ", two)"
        assert not await older
        assert here.scheduler.tally.answered == 1


async def test_a_draft_that_becomes_something_else_is_asked_about_anew() -> None:
    turns = Rule(after="call(", text="other)", drafts=("one", "other)"), steps=2)
    async with engine_here(turns, Rule(after="call(one", text=", two)")) as here:
        session = opened(here, "call(")
        here.hold(after_steps=2)
        older = asking(session, cursor(0, 5))
        await until(lambda: session.live and session.live.draft)
        edit(session, (0, 5), (0, 5), "one")
        newer = asking(session, cursor(0, 8))
        here.go_on()
        assert text_of(await newer) == ", two)"
        assert not await older
        assert here.scheduler.tally.answered == 2


async def test_a_cancelled_decode_that_nobody_claims_is_ended() -> None:
    async with engine_here(LONG) as here:
        session = opened(here, "call(")
        here.hold(after_steps=2)
        question = asking(session, cursor(0, 5))
        await until(lambda: session.live and session.live.draft)
        edit(session, (0, 5), (0, 5), "o")
        decode = session.live
        assert decode is not None
        question.cancel()
        await asyncio.wait([decode.task])
        assert decode.task.cancelled()
        here.go_on()
        await here.idle()
        assert (here.scheduler.tally.answered, here.scheduler.tally.dropped) == (0, 1)


async def test_nothing_unasked_takes_the_place_of_a_command() -> None:
    async with engine_here(Rule(after="total = ", text="sum(values)"), ANSWER) as here:
        session = opened(here, "total = TODO\nx = \n")
        here.hold()
        span = Gap(Place(0, 8), Place(0, 12))
        command = asyncio.create_task(session.fill_span(span, "fast", 64, lambda draft: None))
        await here.begun()
        assert not await session.suggest(cursor(1, 4), automatic=True)
        here.go_on()
        assert (await command).text == "sum(values)"
        assert text_of(await session.suggest(cursor(1, 4), automatic=True)) == "42"


async def test_the_same_text_elsewhere_is_another_suggestion_but_its_rest_is_not() -> None:
    async with engine_here(ANSWER, OTHER) as here:
        session = opened(here, "x = ")
        first = await session.suggest(cursor(0, 4), automatic=True)
        edit(session, (0, 4), (0, 4), "4")
        rest = await session.suggest(cursor(0, 5), automatic=True)
        edit(session, (0, 5), (0, 5), "2")
        edit(session, (0, 6), (0, 6), "\ny = ")
        second = await session.suggest(cursor(1, 4), automatic=True)
        assert [(offer.text, offer.is_new) for offer in (*first, *rest, *second)] == [
            ("42", True),
            ("2", False),
            ("42", True),
        ]


async def test_an_event_without_changes_brings_its_version_and_ends_no_question() -> None:
    async with engine_here(ANSWER) as here:
        session = opened(here, "x = ")
        here.hold()
        question = asking(session, cursor(0, 4))
        await here.begun()
        session.change([], 7)
        assert session.document.version == 7
        here.go_on()
        assert text_of(await question) == "42"


async def test_closing_ends_what_goes_on_and_forgets_the_document() -> None:
    async with engine_here(ANSWER) as here:
        session = opened(here, "x = ")
        here.hold()
        question = asking(session, cursor(0, 4))
        await here.begun()
        session.close()
        here.go_on()
        assert not await question
        await here.idle()
        await until(lambda: not here.filler.documents)


async def test_a_guess_that_is_asked_for_is_gone_on_with() -> None:
    async with engine_here(Rule(after="x = ", text="call("), LONG, settings=Settings(debounce_ms=0)) as here:
        session = opened(here, "x = ")
        (offer,) = await session.suggest(cursor(0, 4), automatic=True)
        here.hold(after_steps=2)
        session.speculate(offer)
        await until(lambda: session.live and session.live.draft)
        edit(session, (0, 4), (0, 4), "call(")
        question = asking(session, cursor(0, 9))
        # The engine is held: a request that it began anew would have no draft.
        await until(lambda: session.live and not session.live.speculative and session.live.draft)
        here.go_on()
        assert text_of(await question) == "one, two)"
        assert (here.scheduler.tally.answered, here.scheduler.tally.dropped) == (2, 1)


async def test_a_guess_is_not_made_while_something_is_asked() -> None:
    async with engine_here(ANSWER, settings=Settings(debounce_ms=0)) as here:
        session = opened(here, "x = ")
        (offer,) = await session.suggest(cursor(0, 4), automatic=True)
        here.hold()
        edit(session, (0, 0), (0, 4), "z = ")
        question = asking(session, cursor(0, 4), automatic=False)
        await here.begun()
        session.speculate(offer)
        here.go_on()
        assert not await question
        assert here.scheduler.tally.answered == 2
