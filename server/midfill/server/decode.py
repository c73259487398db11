"""One fill under way in the engine, as the language server sees it."""

import asyncio
import logging

from midfill.engine.client import EngineClient
from midfill.engine.wire import Infill, InfillRequest, Mode
from midfill.server.reuse import Situation, agrees

log = logging.getLogger(__name__)


class Decode:
    """Starts the fill of `request`, which was asked for in `situation`. Runs until it ends or is cancelled."""

    def __init__(
        self, engine: EngineClient, request: InfillRequest, situation: Situation, *, speculative: bool = False
    ) -> None:
        self.request, self.situation, self.speculative = request, situation, speculative
        self.draft: str | None = None
        """The text so far; None before the first."""
        fill = engine.fill(request, speculative=speculative, on_draft=self._see)
        self.task: asyncio.Task[Infill] = asyncio.create_task(fill)
        self.task.add_done_callback(_retrieve)

    @property
    def mode(self) -> Mode:
        """How it was asked for."""
        return self.request.mode

    def answers(self, mode: Mode, num_candidates: int) -> bool:
        """Whether that was asked for, and as many."""
        return self.mode == mode and self.request.num_candidates >= num_candidates

    def _see(self, text: str) -> None:
        self.draft = text

    def serves(self, now: Situation) -> bool:
        """Whether its answer is worth waiting for: nothing was typed since, or its draft agrees with what was."""
        return now == self.situation or bool(self.draft and agrees(self.draft, self.situation, now) is not None)

    def may_serve(self, now: Situation) -> bool:
        """Whether it is not known yet to be in vain."""
        return not self.draft or self.serves(now)

    @property
    def error(self) -> BaseException | None:
        """What it ended with, if it failed."""
        return None if self.task.cancelled() or not self.task.done() else self.task.exception()

    def cancel(self) -> None:
        """Frees the engine at its next step. A task that waits for the answer sees it cancelled."""
        self.task.cancel()


def _retrieve(task: asyncio.Task[Infill]) -> None:
    """Takes note of an error that nobody may wait for any more: asyncio complains about those that are never seen."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.info("no fill: %s", error)
