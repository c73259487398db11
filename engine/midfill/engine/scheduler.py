"""Which request takes the next step: one at a time, chosen anew after each.

A decode is a generator and one `next()` is one forward pass, so a newer keystroke waits one step at most and cancelling
is `.close()`. The scheduler knows neither models nor sockets.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol, TypeVar

from midfill.engine.errors import EngineError, MidfillError
from midfill.engine.tally import Tally
from midfill.engine.wire import Infill, InfillRequest

log = logging.getLogger(__name__)

PATIENCE_S = 2.0
"""A request that waited so long for a step goes next, whatever newer ones came; a speculative one waits for all."""

T = TypeVar("T")
Why = Literal["cancelled", "superseded", "busy", "stopping"]
Decode = Generator[str, None, Infill]
Step = Callable[[Callable[[], Any]], Awaitable[Any]]
"""How work is done off the event loop: one piece at a time, and all of it in the same thread."""


@dataclass(frozen=True)
class Failure:
    """What came of work that raised: one line for whoever waits for it."""

    message: str


class Filler(Protocol):
    """What makes fills: a model or a script. All of it is called by `Step`, so never twice at once."""

    def fill(self, request: InfillRequest) -> Decode:
        """Yields the text so far after each step; closing it frees all but the document's cache."""
        ...

    def forget(self, document: str) -> None:
        """Frees a document's cache. Not called while a decode of that document is open."""
        ...

    def works(self) -> bool:
        """Whether it can go on after a failure."""
        ...

    @property
    def documents(self) -> int: ...

    @property
    def kv_bytes(self) -> int: ...

    @property
    def device(self) -> str: ...

    @property
    def dtype(self) -> str: ...

    @property
    def best_model(self) -> str: ...

    @property
    def best_problem(self) -> str: ...


class Listener(Protocol):
    """Whoever made a request; it stands for it. Called on the event loop: drafts, then one of the others, once."""

    def on_draft(self, text: str) -> None: ...
    def on_done(self, infill: Infill) -> None: ...
    def on_dropped(self, why: Why) -> None: ...
    def on_failed(self, message: str) -> None: ...


@dataclass(eq=False, slots=True)
class Job:
    """A request that is not answered yet. Times are of `time.monotonic`."""

    request: InfillRequest
    listener: Listener
    speculative: bool
    arrived: float
    waits_since: float
    decode: Decode | None = None
    text: str = ""
    why: Why | None = None
    """Set once it is let go; its decode is closed before the next step."""


class Scheduler:
    """Runs the decodes of all requests by turns, step by step. Its methods belong to the event loop's thread."""

    def __init__(self, step: Step, max_waiting: int = 64) -> None:
        self.tally = Tally()
        self.documents = self.kv_bytes = 0
        """The filler's, as they were when a decode last ended: between steps only it may be asked."""
        self._step, self._max_waiting = step, max_waiting
        self._jobs: list[Job] = []  # in order of arrival
        self._let_go: list[Job] = []  # begun, and not closed yet
        self._forgotten: set[str] = set()
        self._stopping = False
        self._wake = asyncio.Event()

    @property
    def num_open(self) -> int:
        """Requests begun or waiting."""
        return len(self._jobs) + len(self._let_go)

    def submit(self, request: InfillRequest, listener: Listener, *, speculative: bool = False) -> None:
        """Takes a request; the older one of its document is let go, or gone on with if it guessed this one right.

        Before `run`, requests wait.
        """
        if self._stopping:
            listener.on_dropped("stopping")
            return
        self._forgotten.discard(request.document)
        older = next((job for job in self._jobs if job.request.document == request.document), None)
        if older is not None and older.speculative and not speculative and older.request == request:
            self._hand_over(older, listener)
            return
        if older is not None:
            self._drop(older, "superseded")
        now = time.monotonic()
        self._jobs.append(Job(request, listener, speculative, now, now))
        if len(self._jobs) > self._max_waiting:
            self._drop(next((job for job in self._jobs if job.speculative), self._jobs[0]), "busy")
        self._wake.set()

    def cancel(self, listener: Listener) -> None:
        """Lets a request go: at once if it has not begun, else before the next step. One that is over is no error."""
        for job in [job for job in self._jobs if job.listener is listener]:
            self._drop(job, "cancelled")

    def forget(self, document: str) -> None:
        """Frees a document's cache as soon as none of its decodes is open, unless a new request comes first."""
        self._forgotten.add(document)
        self._wake.set()

    def stop(self) -> None:
        """Lets every request go and takes no more; `run` ends."""
        self._stopping = True
        for job in list(self._jobs):
            self._drop(job, "stopping")
        self._wake.set()

    async def run(self, filler: Filler) -> None:
        """Serves until `stop`; sleeps while there is no work. Raises `EngineError` if `filler` works no more."""
        for job in self._jobs:
            job.waits_since = time.monotonic()  # they waited for the model, not for a step
        while True:
            self._wake.clear()
            await self._settle(filler)
            job = choose(self._jobs, time.monotonic())
            if job is not None:
                await self._advance(job, filler)
            elif self._stopping and not self._let_go:
                return
            else:
                await self._wake.wait()

    def _hand_over(self, guess: Job, listener: Listener) -> None:
        """Makes a speculative job that of a `listener` who waits for it, and who is told its text so far."""
        guessed_by, guess.listener, guess.speculative = guess.listener, listener, False
        guess.arrived = guess.waits_since = time.monotonic()
        self._jobs.remove(guess)
        self._jobs.append(guess)
        self.tally.dropped += 1
        guessed_by.on_dropped("superseded")
        if guess.text:
            listener.on_draft(guess.text)
        self._wake.set()

    def _drop(self, job: Job, why: Why) -> None:
        self._jobs.remove(job)
        if job.decode is None:
            self._end_dropped(job, why)
        else:
            job.why = why
            self._let_go.append(job)

    def _end_dropped(self, job: Job, why: Why) -> None:
        self.tally.dropped += 1
        job.listener.on_dropped(why)

    async def _settle(self, filler: Filler) -> None:
        """Closes what was let go, then frees what was forgotten."""
        for job in list(self._let_go):
            assert job.decode is not None
            assert job.why is not None
            await self._do(job.decode.close, filler)
            self._let_go.remove(job)
            self._end_dropped(job, job.why)
        in_use = {job.request.document for job in self._jobs if job.decode is not None}
        for document in self._forgotten - in_use:
            self._forgotten.discard(document)
            await self._do(partial(filler.forget, document), filler)

    async def _advance(self, job: Job, filler: Filler) -> None:
        """One step of `job`, and what came of it told; not if it was let go meanwhile: `_settle` ends it."""
        if job.decode is None:
            job.decode = filler.fill(job.request)
        outcome = await self._do(partial(_next, job.decode), filler)
        now = time.monotonic()
        job.waits_since = now
        if job.why is not None:
            return
        if isinstance(outcome, str):
            if outcome != job.text:
                job.text = outcome
                job.listener.on_draft(outcome)
            return
        self._jobs.remove(job)
        if isinstance(outcome, Infill):
            self.tally.count(outcome, None if job.speculative else now - job.arrived)
            job.listener.on_done(outcome)
        else:
            self.tally.failed += 1
            job.listener.on_failed(outcome.message)
            if not await self._step(filler.works):
                raise EngineError("the model's device is lost")

    async def _do(self, work: Callable[[], Any], filler: Filler) -> Any:
        """`work` off the event loop: its result, or how it failed."""
        outcome, figures = await self._step(partial(_measured, work, filler))
        if figures is not None:
            self.documents, self.kv_bytes = figures
        return outcome


def choose(jobs: Sequence[Job], now: float) -> Job | None:
    """Whose step is next, of `jobs` in order of arrival: the newest that is not speculative, else the newest. Pure.

    One that has waited for `PATIENCE_S` goes before newer ones, the longest waiting first; a speculative one never
    before one that is not.
    """
    eligible = [job for job in jobs if not job.speculative] or jobs
    if not eligible:
        return None
    most_patient = min(eligible, key=lambda job: job.waits_since)
    return most_patient if now - most_patient.waits_since > PATIENCE_S else eligible[-1]


# What follows runs where `Step` runs it.


def guarded(work: Callable[[], T]) -> T | Failure:
    """What `work` returns. Whatever it raises is logged, and all else goes on."""
    try:
        return work()
    except MidfillError as error:
        log.warning("refused: %s", error)
        return Failure(str(error))
    except Exception:
        log.exception("failed")
        return Failure("internal error, see the log")


def _measured(work: Callable[[], Any], filler: Filler) -> tuple[Any, tuple[int, int] | None]:
    """What came of `work`, and the filler's figures unless a decode goes on."""
    outcome = guarded(work)
    return outcome, None if isinstance(outcome, str) else (filler.documents, filler.kv_bytes)


def _next(decode: Decode) -> str | Infill:
    try:
        return next(decode)
    except StopIteration as end:
        return end.value
