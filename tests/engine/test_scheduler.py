"""`midfill.engine.scheduler`: which step is next, and that nothing is left behind, in any order of events."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.small_model import small_model

from midfill.engine.canvas import DenoiseSettings
from midfill.engine.errors import EngineError, InputError
from midfill.engine.infill import Infiller
from midfill.engine.installed import embedded_model
from midfill.engine.prompt import PromptLimits
from midfill.engine.scheduler import PATIENCE_S, Decode, Filler, Job, Scheduler, Why, choose
from midfill.engine.scripted import Crash, Rule, ScriptedFiller
from midfill.engine.settings import InfillSettings
from midfill.engine.tokenizer import Tokenizer
from midfill.engine.wire import Infill, InfillRequest

FOUR_STEPS = Rule(text="abcd", steps=4, prefill_steps=0)


class Asker:
    """A request and all that was told about it."""

    def __init__(self, document: str = "a", prefix: str = "", *, speculative: bool = False) -> None:
        self.request = InfillRequest(document=document, prefix=prefix, suffix="")
        self.speculative = speculative
        self.drafts: list[str] = []
        self.ends: list[Infill | Why | Exception] = []

    def on_draft(self, text: str) -> None:
        assert not self.ends
        self.drafts.append(text)

    def on_done(self, infill: Infill) -> None:
        self.ends.append(infill)

    def on_dropped(self, why: Why) -> None:
        self.ends.append(why)

    def on_failed(self, message: str) -> None:
        self.ends.append(Exception(message))

    @property
    def end(self) -> Infill | Why | Exception:
        [end] = self.ends
        return end

    @property
    def answer(self) -> str:
        assert isinstance(self.end, Infill)
        return self.end.text


class Watched(ScriptedFiller):
    """A scripted filler that knows its open decodes, and insists on one a document."""

    def __init__(self, rules: Sequence[Rule] = (FOUR_STEPS,)) -> None:
        super().__init__(rules)
        self.open: list[str] = []
        self.steps: list[str] = []

    def fill(self, request: InfillRequest) -> Generator[str, None, Infill]:
        assert request.document not in self.open
        self.open.append(request.document)
        try:
            decode = super().fill(request)
            while True:
                self.steps.append(request.document)
                try:
                    text = next(decode)
                except StopIteration as end:
                    return end.value
                yield text
        finally:
            self.open.remove(request.document)

    def forget(self, document: str) -> None:
        assert document not in self.open
        super().forget(document)


class Gate:
    """Runs a piece of work when the test says so: what happens before, happens while a step runs."""

    def __init__(self) -> None:
        self.work: Callable[[], Any] | None = None
        self._done: asyncio.Future[Any] | None = None

    async def __call__(self, work: Callable[[], Any]) -> Any:
        assert self.work is None, "one step at a time"
        self.work, self._done = work, asyncio.get_running_loop().create_future()
        return await self._done

    async def turn(self) -> bool:
        """One piece of work, and all that the scheduler does until the next; false if it waits for nothing."""
        await self.rest()
        if self.work is None:
            return False
        work, done, self.work = self.work, self._done, None
        assert done is not None
        done.set_result(work())
        await self.rest()
        return True

    async def rest(self) -> None:
        """Lets the scheduler go on until it waits."""
        for _ in range(8):
            await asyncio.sleep(0)


class Bench:
    """A scheduler at work, its steps in the test's hands."""

    def __init__(self, filler: Filler, max_waiting: int = 64) -> None:
        self.filler, self.gate = filler, Gate()
        self.scheduler = Scheduler(self.gate, max_waiting)

    def submit(self, asker: Asker) -> Asker:
        self.scheduler.submit(asker.request, asker, speculative=asker.speculative)
        return asker

    async def turns(self, count: int) -> None:
        for _ in range(count):
            assert await self.gate.turn()

    async def drain(self) -> None:
        while await self.gate.turn():
            pass


@asynccontextmanager
async def bench(filler: Filler | None = None, max_waiting: int = 64) -> AsyncIterator[Bench]:
    """A bench whose scheduler must be empty at the end and stop."""
    made = Bench(filler or Watched(), max_waiting)
    running = asyncio.create_task(made.scheduler.run(made.filler))
    yield made
    await made.drain()
    assert made.scheduler.num_open == 0
    made.scheduler.stop()
    await asyncio.wait_for(running, 5)


def test_an_answer_comes_after_its_drafts() -> None:
    async def scenario() -> None:
        async with bench() as on:
            asker = on.submit(Asker())
            await on.drain()
            assert asker.drafts == ["a", "ab", "abc", "abcd"]
            assert asker.answer == "abcd"

    asyncio.run(scenario())


def test_only_a_changed_text_is_a_draft() -> None:
    rule = Rule(text="b", drafts=("", "a", "a", "b"), steps=4)

    async def scenario() -> None:
        async with bench(Watched([rule])) as on:
            asker = on.submit(Asker())
            await on.drain()
            assert asker.drafts == ["a", "b"]

    asyncio.run(scenario())


def test_a_newer_request_of_a_document_supersedes_the_older_between_two_steps() -> None:
    async def scenario() -> None:
        filler = Watched()
        async with bench(filler) as on:
            older = on.submit(Asker())
            await on.turns(2)
            newer = on.submit(Asker())
            assert older.ends == []  # its step runs
            await on.turns(2)  # that step, and the close
            assert older.end == "superseded"
            assert filler.open == []
            await on.drain()
            assert newer.answer == "abcd"

    asyncio.run(scenario())


def test_a_newer_keystroke_waits_one_step_at_most() -> None:
    async def scenario() -> None:
        filler = Watched()
        async with bench(filler) as on:
            on.submit(Asker("long"))
            await on.turns(2)
            on.submit(Asker("new"))
            await on.turns(2)
            assert filler.steps == ["long", "long", "long", "new"]

    asyncio.run(scenario())


def test_a_cancelled_request_frees_the_engine_within_a_step() -> None:
    async def scenario() -> None:
        filler = Watched()
        async with bench(filler) as on:
            asker = on.submit(Asker())
            await on.turns(2)
            on.scheduler.cancel(asker)
            on.scheduler.cancel(asker)
            steps = len(filler.steps) + 1  # the one that is running
            await on.turns(2)
            assert asker.end == "cancelled"
            assert (filler.open, len(filler.steps)) == ([], steps)
            assert not await on.gate.turn()

    asyncio.run(scenario())


def test_a_request_that_has_not_begun_is_cancelled_at_once() -> None:
    async def scenario() -> None:
        async with bench() as on:
            on.submit(Asker("a"))
            await on.turns(1)
            waiting = on.submit(Asker("b", speculative=True))
            on.scheduler.cancel(waiting)
            assert waiting.end == "cancelled"

    asyncio.run(scenario())


def test_cancelling_what_is_over_is_no_error() -> None:
    async def scenario() -> None:
        async with bench() as on:
            asker = on.submit(Asker())
            await on.drain()
            on.scheduler.cancel(asker)
            on.scheduler.cancel(Asker())
            await on.drain()
            assert asker.answer == "abcd"

    asyncio.run(scenario())


def test_a_speculative_request_yields_to_any_other() -> None:
    async def scenario() -> None:
        filler = Watched()
        async with bench(filler) as on:
            on.submit(Asker("guess", speculative=True))
            await on.turns(1)
            on.submit(Asker("asked"))
            await on.drain()
            assert filler.steps == ["guess"] * 2 + ["asked"] * 5 + ["guess"] * 3

    asyncio.run(scenario())


def job(*, waited_s: float = 0.0, speculative: bool = False) -> Job:
    asker = Asker()
    return Job(asker.request, asker, speculative, arrived=100.0 - waited_s, waits_since=100.0 - waited_s)


def test_the_newest_that_somebody_waits_for_is_chosen() -> None:
    jobs = [job(), job(), job(speculative=True)]
    assert choose(jobs, 100.0) is jobs[1]
    assert choose(jobs[2:], 100.0) is jobs[2]
    assert choose([], 100.0) is None


@pytest.mark.parametrize("speculative", [False, True])
def test_one_that_waited_long_goes_before_newer_ones(speculative: bool) -> None:
    waits = [PATIENCE_S + 1, PATIENCE_S + 2, 0]
    jobs = [job(waited_s=waited_s, speculative=speculative) for waited_s in waits]
    assert choose(jobs, 100.0) is jobs[1]


@given(st.lists(st.tuples(st.floats(0, 10), st.booleans()), min_size=1, max_size=9))
def test_a_guess_never_precedes_what_somebody_waits_for(waits: list[tuple[float, bool]]) -> None:
    jobs = [job(waited_s=wait, speculative=speculative) for wait, speculative in waits]
    chosen = choose(jobs, 100.0)
    assert chosen is not None
    assert chosen.speculative == all(job.speculative for job in jobs)


@given(st.lists(st.tuples(st.floats(0, 10), st.booleans()), min_size=1, max_size=9))
def test_nothing_that_somebody_waits_for_starves(waits: list[tuple[float, bool]]) -> None:
    """However many newer ones come with every step: each gets a step in the end."""
    jobs = [job(waited_s=wait, speculative=speculative) for wait, speculative in waits]
    old, now = {id(job) for job in jobs if not job.speculative}, 100.0
    for _ in range(100):
        jobs.append(Job(Asker().request, Asker(), False, arrived=now, waits_since=now))
        now += 0.3
        chosen = choose(jobs, now)
        assert chosen is not None
        chosen.waits_since = now
        old.discard(id(chosen))
    assert not old


def test_a_guess_that_was_right_is_gone_on_with() -> None:
    async def scenario() -> None:
        filler = Watched()
        async with bench(filler) as on:
            guess = on.submit(Asker(speculative=True))
            await on.turns(2)
            asker = on.submit(Asker())
            assert guess.end == "superseded"
            assert (guess.drafts, asker.drafts) == (["a", "ab"], ["ab"])
            await on.drain()
            assert asker.drafts == ["ab", "abc", "abcd"]
            assert asker.answer == "abcd"
            assert len(filler.steps) == 5
            assert on.scheduler.tally.latency_ms(0.5) is not None

    asyncio.run(scenario())


def test_a_guess_that_was_right_precedes_other_guesses_and_older_requests() -> None:
    async def scenario() -> None:
        filler = Watched()
        async with bench(filler) as on:
            on.submit(Asker("guess", speculative=True))
            await on.turns(1)
            on.submit(Asker("older"))
            on.submit(Asker("other", speculative=True))
            on.submit(Asker("guess"))
            await on.drain()
            assert filler.steps == ["guess"] * 5 + ["older"] * 5 + ["other"] * 5

    asyncio.run(scenario())


@pytest.mark.parametrize(("prefix", "speculative"), [("other", False), ("", True)])
def test_a_guess_that_was_wrong_or_is_guessed_again_begins_anew(prefix: str, speculative: bool) -> None:
    async def scenario() -> None:
        filler = Watched()
        async with bench(filler) as on:
            guess = on.submit(Asker(speculative=True))
            await on.turns(2)
            asker = on.submit(Asker(prefix=prefix, speculative=speculative))
            await on.drain()
            assert (guess.end, asker.answer) == ("superseded", "abcd")
            assert len(filler.steps) == 8

    asyncio.run(scenario())


def test_of_too_many_the_oldest_guess_goes_then_the_oldest() -> None:
    async def scenario() -> None:
        async with bench(max_waiting=3) as on:
            first, guess, second = (
                on.submit(Asker("a")),
                on.submit(Asker("b", speculative=True)),
                on.submit(Asker("c")),
            )
            third, fourth = on.submit(Asker("d")), on.submit(Asker("e"))
            assert (guess.end, first.end) == ("busy", "busy")
            hopeless = on.submit(Asker("f", speculative=True))
            assert hopeless.end == "busy"
            await on.drain()
            assert [asker.answer for asker in (second, third, fourth)] == ["abcd"] * 3

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("secret"), "internal error, see the log"),
        (MemoryError(), "internal error, see the log"),
        (RecursionError(), "internal error, see the log"),
        (InputError("max_tokens", "at most 3", 4), "max_tokens: wanted at most 3, got 4"),
    ],
)
def test_a_failure_ends_its_own_request_only(error: Exception, message: str, caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Watched):
        def fill(self, request: InfillRequest) -> Decode:
            if request.document == "bad":
                yield "so far"
                raise error
            return (yield from super().fill(request))

    async def scenario() -> None:
        async with bench(Failing()) as on:
            good, bad = on.submit(Asker("good")), on.submit(Asker("bad"))
            await on.drain()
            assert good.answer == "abcd"
            assert str(bad.end) == message
            assert on.scheduler.tally.failed == 1

    asyncio.run(scenario())
    assert caplog.records[-1].levelno >= logging.WARNING


@pytest.mark.parametrize("crash", ["raise", "lose"])
def test_after_a_failure_it_goes_on_unless_the_device_is_lost(crash: Crash) -> None:
    async def scenario() -> None:
        filler, gate = ScriptedFiller([Rule(after="!", text="abcd", crash=crash), FOUR_STEPS]), Gate()
        scheduler = Scheduler(gate)
        running = asyncio.create_task(scheduler.run(filler))
        bad, good = Asker("bad", prefix="!"), Asker("good")
        scheduler.submit(bad.request, bad)
        while await gate.turn():
            pass
        assert isinstance(bad.end, Exception)
        assert running.done() == (crash == "lose")
        if running.done():
            with pytest.raises(EngineError, match="lost"):
                running.result()
            return
        scheduler.submit(good.request, good)
        while await gate.turn():
            pass
        assert good.answer == "abcd"
        scheduler.stop()
        await running

    asyncio.run(scenario())


def test_a_decode_that_cannot_be_closed_is_gone_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    class Stubborn(Watched):
        def fill(self, request: InfillRequest) -> Decode:
            try:
                yield from super().fill(request)
            finally:
                raise RuntimeError

    async def scenario() -> None:
        async with bench(Stubborn()) as on:
            asker = on.submit(Asker())
            await on.turns(1)
            on.scheduler.cancel(asker)
            await on.drain()
            assert asker.end == "cancelled"

    asyncio.run(scenario())
    assert "RuntimeError" in caplog.text


def test_a_forgotten_document_is_freed_once_its_request_is_over() -> None:
    async def scenario() -> None:
        filler = Watched()
        async with bench(filler) as on:
            asker = on.submit(Asker())
            await on.turns(2)
            on.scheduler.forget("a")
            await on.turns(1)
            assert filler.documents == 1
            await on.drain()
            assert asker.answer == "abcd"
            assert (filler.documents, on.scheduler.documents) == (0, 0)

    asyncio.run(scenario())


def test_a_document_that_is_asked_for_again_is_not_forgotten() -> None:
    async def scenario() -> None:
        filler = Watched()
        async with bench(filler) as on:
            on.submit(Asker(prefix="x" * 40))
            await on.turns(2)
            on.scheduler.forget("a")
            again = on.submit(Asker(prefix="x" * 40))
            await on.drain()
            assert isinstance(again.end, Infill)
            assert again.end.cached_tokens == 10

    asyncio.run(scenario())


def test_stopping_drops_everything_and_takes_no_more() -> None:
    async def scenario() -> None:
        filler = Watched()
        async with bench(filler) as on:
            begun = on.submit(Asker("a"))
            await on.turns(2)
            waiting = on.submit(Asker("b", speculative=True))
            on.scheduler.stop()
            late = on.submit(Asker("c"))
            assert (waiting.end, late.end) == ("stopping", "stopping")
            await on.drain()
            assert begun.end == "stopping"
            assert filler.open == []

    asyncio.run(scenario())


def test_requests_wait_for_the_filler_and_the_newest_is_first_then() -> None:
    async def scenario() -> None:
        on, filler = Bench(Watched()), Watched()
        older, gone, newer = (on.submit(Asker(document)) for document in "abc")
        on.scheduler.cancel(gone)
        assert gone.end == "cancelled"
        running = asyncio.create_task(on.scheduler.run(filler))
        await on.drain()
        assert filler.steps == ["c"] * 5 + ["a"] * 5
        assert older.answer == newer.answer == "abcd"
        on.scheduler.stop()
        await running

    asyncio.run(scenario())


def test_stopping_before_the_filler_came_drops_what_waits() -> None:
    async def scenario() -> None:
        scheduler, asker = Scheduler(Gate()), Asker()
        scheduler.submit(asker.request, asker)
        scheduler.stop()
        assert asker.end == "stopping"
        assert scheduler.num_open == 0

    asyncio.run(scenario())


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.sampled_from("abc"), st.booleans()),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("forget"), st.sampled_from("abc")),
        st.tuples(st.just("turns"), st.integers(1, 7)),
    ),
    max_size=40,
)


@settings(max_examples=150)
@given(EVENTS)
def test_no_order_of_events_leaves_anything_behind(events: list[tuple[Any, ...]]) -> None:
    rules = [Rule(after="!", text="abcd", crash="raise"), FOUR_STEPS]

    async def scenario() -> None:
        filler, askers, cancelled = Watched(rules), list[Asker](), set[Asker]()
        async with bench(filler, max_waiting=4) as on:
            for name, *arguments in events:
                if name == "submit":
                    document, speculative = arguments
                    prefix = "!" if len(askers) % 5 == 4 else ""
                    askers.append(on.submit(Asker(document, prefix, speculative=speculative)))
                elif name == "cancel":
                    if arguments[0] < len(askers):
                        on.scheduler.cancel(askers[arguments[0]])
                        cancelled.add(askers[arguments[0]])
                elif name == "forget":
                    on.scheduler.forget(arguments[0])
                else:
                    for _ in range(arguments[0]):
                        await on.gate.turn()
                assert len(set(filler.open)) == len(filler.open)
                assert sum(not asker.ends for asker in askers) == on.scheduler.num_open
            await on.drain()
            tally = on.scheduler.tally
            assert filler.open == []
            assert tally.answered == sum(isinstance(asker.end, Infill) for asker in askers)
            assert tally.dropped == sum(isinstance(asker.end, str) for asker in askers)
            assert tally.failed == sum(isinstance(asker.end, Exception) for asker in askers)
            assert (on.scheduler.documents, on.scheduler.kv_bytes) == (filler.documents, filler.kv_bytes)
            newest = {asker.request.document: asker for asker in askers}.values()
            for asker in askers:
                if asker.end == "superseded":
                    assert asker not in newest
                if asker.end == "cancelled":
                    assert asker in cancelled

    asyncio.run(scenario())


def in_a_thread(executor: ThreadPoolExecutor) -> Callable[[Callable[[], Any]], Awaitable[Any]]:
    return lambda work: asyncio.get_running_loop().run_in_executor(executor, work)


def test_a_models_cache_is_released_whenever_its_decode_is_cancelled() -> None:
    """The real model, its steps in a thread, cancelled after each number of drafts."""
    infiller = Infiller(
        small_model(vocab_size=8192, canvas_length=32),
        Tokenizer(embedded_model() / "tokenizer.json"),
        InfillSettings(
            limits=PromptLimits(prefix_tokens=48, suffix_tokens=24, quantum_tokens=16),
            denoise=DenoiseSettings(max_steps=3, mark_pins_from_step=0),
            longest_canvas=32,
            longest_candidate=16,
            num_lengths=4,
            num_finalists=2,
            num_draws=1,
            suffix_head=8,
            scored_suffix=8,
        ),
    )
    source = Path(__file__).read_text(encoding="utf-8")

    class CancelsAfter(Asker):
        def __init__(self, drafts: int, over: asyncio.Event) -> None:
            super().__init__()
            self.request = InfillRequest(document="a", prefix=source[:300], suffix=source[340:], max_tokens=16)
            self.left, self.over = drafts, over

        def on_draft(self, text: str) -> None:
            super().on_draft(text)
            self.left -= 1
            if self.left == 0:
                scheduler.cancel(self)

        def on_dropped(self, why: Why) -> None:
            super().on_dropped(why)
            self.over.set()

    async def scenario() -> None:
        running = asyncio.create_task(scheduler.run(infiller))
        for drafts in (1, 2, 3):
            over = asyncio.Event()
            asker = CancelsAfter(drafts, over)
            scheduler.submit(asker.request, asker)
            await asyncio.wait_for(over.wait(), 60)
            assert asker.end == "cancelled"
            assert not infiller.cache._in_use
            assert scheduler.kv_bytes == infiller.kv_bytes > 0
        scheduler.forget("a")
        scheduler.stop()
        await running
        assert infiller.kv_bytes == 0

    with ThreadPoolExecutor(1) as executor:
        scheduler = Scheduler(in_a_thread(executor))
        asyncio.run(scenario())
