"""One open document: what it asks the engine, what it offers the editor, and what became of that."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import msgspec
from lsprotocol import types

from midfill.engine.errors import RequestFailed
from midfill.engine.wire import Infill, InfillRequest, Mode
from midfill.server.checked import MAX_CHECKED_BYTES, Checked
from midfill.server.decode import Decode
from midfill.server.document import Document, Place, Window
from midfill.server.edits import Edit, applied
from midfill.server.ghost import Ghost, ghost
from midfill.server.json_text import JSON_LANGUAGES
from midfill.server.offers import Gap, Offer, goes_along, goes_on, look
from midfill.server.quiet import Rhythm, reason_for_quiet
from midfill.server.reuse import SITUATION_CHARS, Situation, typed_since
from midfill.server.schema_download import TIMEOUT_S
from midfill.server.schemas import Sought
from midfill.server.secret_files import secret_pattern
from midfill.server.settings import Settings
from midfill.server.shared import Shared
from midfill.server.statistics import Source
from midfill.server.views import situation_at, surroundings_at, whole_text

log = logging.getLogger(__name__)

CLAIM_S = 0.25
"""How long a decode that agrees with what was typed runs on after its request was cancelled: the next is on its way."""
SNIPPET_CHARS = 8192
"""Of other files, in one request: what does not fit the prompt may be recalled.

With eight other files of a package open, what the embedded model recalls in 326 held-out gaps saves 1,355 nats of their
text, 1,100 with a quarter of these characters, 1,323 with three times as many.
"""
SLIP_CHARS = 2
"""So much typed against an offer may be a slip of the fingers; more rejects it."""
NUM_CHOICES = 4
"""Fills to choose from, where they were asked for by hand."""


class _Question(NamedTuple):
    """A call of `suggest`."""

    gap: Gap
    situation: Situation
    automatic: bool
    turn: int
    num_edits: int

    @property
    def num_candidates(self) -> int:
        """What appears by itself is one fill."""
        return 1 if self.automatic else NUM_CHOICES


class Session:
    """State of one open document. At most one of its requests is live in the engine."""

    def __init__(self, document: Document, path: Path | None, shared: Shared) -> None:
        self.document, self.path, self.shared = document, path, shared
        self.rhythm = Rhythm()
        self.live: Decode | None = None
        self.offers: Sequence[Offer] = ()
        """What was offered last, the best first: a person may choose."""
        self.last_edit: Edit | None = None
        self.num_edits = 0
        """Unlike a client's versions they always grow, and only when the text changes."""
        self._nothing_at: tuple[Situation, Settings] | None = None
        """Where the engine's last answer was not worth showing: it would be the same again."""
        self._turn = 0
        self._num_spans = 0
        """Commands that wait for the engine."""
        self.checked = Checked()
        self._is_json = document.language in JSON_LANGUAGES
        self.show_to_neighbours()
        if self.reason_for_silence() is None:
            self._follow_schema(Place(0, 0))  # so that it is there by the first key

    # What the editor tells

    def change(self, changes: Sequence[types.TextDocumentContentChangeEvent], version: int) -> None:
        """Applies an edit, and ends the live decode if that shows it to be in vain."""
        for change in changes:
            self.last_edit = applied(change, self.document, version, self.last_edit)
        self.document.version = version  # of an event without changes too
        if not changes:
            return
        self.num_edits += 1
        self.rhythm.typed(time.monotonic() * 1e3)
        self.show_to_neighbours()
        if self.last_edit is None:
            return
        now = situation_at(self.document, Gap(self.last_edit.end, self.last_edit.end))
        if self.live and not self.live.speculative and not self.live.may_serve(now):
            self._end_live()
        self._notice_rejection(now)

    def show_to_neighbours(self) -> None:
        """Lets fills in other files look at this one."""
        line = self.last_edit.end.line if self.last_edit else 0
        self.shared.neighbours.update(self.document.uri, self.path, self.document.lines, line)

    def close(self) -> None:
        """Ends all that goes on for the document."""
        self._turn += 1
        self._end_live()
        self.shared.reuse.forget(self.document.uri)
        self.shared.engine.forget(self.document.uri)

    # Suggestions

    def reason_for_silence(self) -> str | None:
        """Why nothing is suggested in this document at all; None if it is served. A command may fill it still."""
        settings = self.shared.settings
        if not settings.serves(self.document.language):
            return "switched off"
        if self.document.num_bytes > settings.max_file_bytes:
            return "the file is too large"
        if self._is_json and self.document.num_bytes > MAX_CHECKED_BYTES:
            return "the file is too large to be checked"
        return self.reason_to_refuse()

    def reason_to_refuse(self) -> str | None:
        """Why not even a command may show this document to the model: it is secret or ignored. None if it may."""
        if self.path is not None:
            return self.shared.ignored.reason(self.path)
        return secret_pattern(PurePosixPath(unquote(urlsplit(self.document.uri).path)))

    async def suggest(self, gap: Gap, *, automatic: bool) -> Sequence[Offer]:
        """The suggestions for a cursor at `gap`, the best first; several where they were asked for by hand.

        A newer call or an edit makes older ones return none.

        While a command waits for the engine, nothing is suggested unasked: it would take the command's place there.
        Neither while the document's schema is being found: nothing could say whether it is met. What was asked for by
        hand waits for it.
        """
        self._turn += 1
        if self.reason_for_silence() is not None or (automatic and self._num_spans):
            return ()
        if self._follow_schema(gap.start).is_being_found:
            asked = (self._turn, self.num_edits)
            if automatic:
                log.debug("quiet: the schema is being found")
                return ()
            await self.wait_for_schema(gap.start)
            if asked != (self._turn, self.num_edits):
                return ()
        situation = situation_at(self.document, gap)
        question = _Question(gap, situation, automatic, self._turn, self.num_edits)
        wants_best = not automatic and self.shared.settings.explicit_mode == "best"
        texts = [] if wants_best else self._proposed_here(question)
        source: Source = "memory" if texts else "engine"
        if not texts:
            if automatic and (reason := self._reason_for_quiet(gap, situation)) is not None:
                log.debug("quiet: %s", reason)
                return ()
            texts = await self._ask(question)
        if not texts or (automatic and self._is_any_rejected(situation, texts)):
            return ()
        self.offers = self._offers(question, texts, source)
        return self.offers

    def _is_any_rejected(self, situation: Situation, texts: Sequence[str]) -> bool:
        return any(self.shared.reuse.is_rejected(self.document.uri, situation, text) for text in texts)

    def _offers(self, question: _Question, texts: Sequence[str], source: Source) -> Sequence[Offer]:
        """The texts that may be shown, but for those that would look like one before."""
        offers: dict[str, Offer] = {}
        gap, situation = question.gap, question.situation
        after = surroundings_at(self.document, gap).line_after
        for text in texts:
            suggestion = self.ghost(text, gap, may_split=not question.automatic)
            if suggestion is not None and (seen := look(suggestion, after)) not in offers:
                is_new = not any(goes_on(offer, situation, text) for offer in self.offers)
                offers[seen] = Offer(next(self.shared.ids), gap, suggestion, situation, text, source, is_new)
        return tuple(offers.values())

    def ghost(self, text: str, gap: Gap, *, may_split: bool = True) -> Ghost | None:
        """The fill as it may be shown, or None if it may not."""
        around = surroundings_at(self.document, gap)
        if self.checked.is_in_force:
            return self.checked.ghost(text, whole_text(self.document, gap), around, may_split=may_split)
        return ghost(text, around, may_split=may_split)

    def _proposed_here(self, question: _Question) -> list[str]:
        """What was proposed here, the best first. In JSON no change farther away may have made it wrong.

        Not even where nothing was checked: in a text that was broken elsewhere that says nothing of one that is mended.
        """
        texts = self.shared.reuse.left(self.document.uri, question.situation, question.num_candidates)
        if not texts or not self._is_json:
            return texts
        whole = whole_text(self.document, question.gap)
        return [text for text in texts if self.checked.num_replaced(text, whole) is not None]

    def _follow_schema(self, cursor: Place) -> Sought:
        """Lets go of all that was found for the schema that the document had to meet before."""
        sought = self.shared.schemas.schema_for(self.document, self.path, cursor)
        if self.checked.follow(sought.schema):
            self._end_live()
            self._nothing_at = None
            self.shared.reuse.forget(self.document.uri)
        return sought

    async def wait_for_schema(self, cursor: Place) -> None:
        """Waits while the document's schema is being found, no longer than one may take; the person sees it.

        Where that was too long, and where there is none after all, what follows is held to plain JSON.
        """
        if not self._follow_schema(cursor).is_being_found:
            return
        work = asyncio.current_task()
        assert work is not None
        hide = self.shared.show("Waiting for the schema", work.cancel)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                while self._follow_schema(cursor).is_being_found:
                    await self.shared.schemas.news()
        except TimeoutError:
            log.info("the schema is not waited for any longer")
        finally:
            hide()

    def _is_current(self, question: _Question) -> bool:
        """Whether the answer still has its place: nothing was asked and nothing was changed since."""
        return (question.turn, question.num_edits) == (self._turn, self.num_edits)

    async def _ask(self, question: _Question) -> list[str]:
        """The engine's texts for the situation; none if they are not worth showing, or the question is out of date."""
        situation = question.situation
        mode: Mode = "fast" if question.automatic else self.shared.settings.explicit_mode
        while True:
            decode = self.live
            if decode is None or not decode.answers(mode, question.num_candidates) or not decode.serves(situation):
                self._end_live()
                if question.automatic:
                    await asyncio.sleep(self._delay_ms() / 1e3)
                    if not self._is_current(question):
                        return []
                decode = self._begin(self._request_of(question, mode), situation)
            elif decode.speculative and not decode.task.done():
                decode = self._begin(decode.request, decode.situation)  # which the engine goes on with, as no guess now
            try:
                await asyncio.wait([decode.task])
            except asyncio.CancelledError:  # $/cancelRequest
                if question.turn == self._turn:
                    self._let_go(decode)
                raise
            if not self._is_current(question):
                return []
            if isinstance(error := decode.error, RequestFailed) and error.is_mode_missing:
                self.shared.tell(f"{error}; fast is used instead")
                mode = "fast"
                continue
            texts = self._proposed_here(question)
            if texts or decode.situation == situation:
                return texts
            # An older decode's draft agreed with what was typed since, and then became something else.

    async def fill_span(self, gap: Gap, mode: Mode, max_tokens: int, on_draft: Callable[[str], None]) -> Infill:
        """A fill that was asked for by a command: always new, shown or not. Raises `EngineError`."""
        self._turn += 1
        self._end_live()
        self._follow_schema(gap.start)
        request = msgspec.structs.replace(self._request(gap, mode), max_tokens=max_tokens, scope="any")
        self._num_spans += 1
        try:
            infill = await self.shared.engine.fill(request, on_draft=on_draft)
        except RequestFailed as error:
            self._note_failure(request, error)
            raise
        finally:
            self._num_spans -= 1
        self.checked.note(request, infill)
        return infill

    def _delay_ms(self) -> float:
        """How long to wait for another key before the engine is asked."""
        if (fixed := self.shared.settings.debounce_ms) is not None:
            return fixed
        return self.rhythm.delay_ms(self.shared.engine_ms, time.monotonic() * 1e3)

    def _request_of(self, question: _Question, mode: Mode) -> InfillRequest:
        """What the engine is asked. Who asks by hand wants to see what there is, and to choose."""
        request = self._request(question.gap, mode)
        if question.automatic:
            return request
        return msgspec.structs.replace(request, eagerness="high", num_candidates=question.num_candidates)

    def _request(self, gap: Gap, mode: Mode) -> InfillRequest:
        settings, document = self.shared.settings, self.document
        window = self._window(gap)
        situation = situation_at(self.document, gap)
        neighbours = self.shared.neighbours if settings.other_files else None
        return InfillRequest(
            document=document.uri,
            prefix=window.prefix,
            suffix=window.suffix,
            language=document.language or None,
            snippets=neighbours.snippets(document.uri, *situation, SNIPPET_CHARS) if neighbours else (),
            max_tokens=settings.max_tokens,
            mode=mode,
            eagerness=settings.eagerness,
            schema=self.checked.schema,
        )

    def _begin(self, request: InfillRequest, situation: Situation, *, speculative: bool = False) -> Decode:
        decode = Decode(self.shared.engine, request, situation, speculative=speculative)

        def remember(task: asyncio.Task[Infill]) -> None:
            if self.live is decode:
                self.live = None
            if task.cancelled():
                return
            if (error := task.exception()) is not None:
                self._note_failure(request, error)
                return
            infill = task.result()
            self.checked.note(request, infill)
            if not speculative and request.mode == "fast" and request.num_candidates == 1:
                self.shared.engine_ms = infill.prefill_ms + infill.decode_ms
            if infill.shown:
                texts = (infill.text, *(other.text for other in infill.others))
                self.shared.reuse.remember(self.document.uri, situation, *texts, num_asked=request.num_candidates)
            else:
                self._nothing_at = (situation, self.shared.settings)

        decode.task.add_done_callback(remember)
        self.live = decode
        return decode

    def _note_failure(self, request: InfillRequest, error: BaseException) -> None:
        if request.schema is not None and isinstance(error, RequestFailed):
            self.shared.schemas.note_failure(request.schema, error)

    def _let_go(self, decode: Decode) -> None:
        """After a cancelled request: ends its decode, at once or, if it may still serve, soon unless it is claimed."""
        now = situation_at(self.document, Gap(self.last_edit.end, self.last_edit.end)) if self.last_edit else None
        if now is None or now == decode.situation or not decode.serves(now):
            self._end(decode)
            return
        turn = self._turn

        def end() -> None:
            if turn == self._turn:
                self._end(decode)

        asyncio.get_running_loop().call_later(CLAIM_S, end)

    def _end_live(self) -> None:
        if self.live is not None:
            self._end(self.live)

    def _end(self, decode: Decode) -> None:
        """Ends a decode, for which nobody waits from now on: its task takes a few turns of the loop to see it."""
        decode.cancel()
        if self.live is decode:
            self.live = None

    def speculate(self, offer: Offer) -> None:
        """Asks, when the engine has nothing better to do, for what comes after `offer` is accepted."""
        if not self.shared.settings.speculate or self.live is not None or offer.ghost.replaced or offer.gap.typed:
            return
        added = offer.ghost.text[offer.ghost.back :]
        after = Situation((offer.situation.before + added)[-SITUATION_CHARS:], offer.situation.after)
        if offer in self.offers and not self.shared.reuse.left(self.document.uri, after):
            request = self._request(offer.gap._replace(typed=added), "fast")
            self._begin(request, after, speculative=True)

    def _notice_rejection(self, now: Situation) -> None:
        """Takes the offers for rejected once something else was typed in their place."""
        if not self.offers or any(goes_along(offer, now) for offer in self.offers):
            return
        typed = typed_since(self.offers[0].situation, now)
        if typed is not None and len(typed) <= SLIP_CHARS:
            return
        if typed:
            self.reject(*self.offers)
        self.offers = ()

    def reject(self, *offers: Offer) -> None:
        """Never offers these again at their place; they were one suggestion."""
        for offer in offers:
            self.shared.reuse.reject(self.document.uri, offer.situation, offer.text)
        self.shared.count("rejected", self.document.language)

    def _window(self, gap: Gap) -> Window:
        """What the engine is sent: of JSON all, as the whole of it is checked.

        But for the quote that an editor has put behind a key that is typed: if it had to stay, a fill would have to end
        in a string.
        """
        if self._is_json and self.document.num_bytes <= MAX_CHECKED_BYTES:
            window = whole_text(self.document, gap)
            is_closed = self.last_edit is not None and self.last_edit.has_closed_string_at(gap)
            return window._replace(suffix=window.suffix[1:]) if is_closed else window
        window = self.document.window(gap.start, gap.end)
        return window._replace(prefix=window.prefix + gap.typed)

    def _reason_for_quiet(self, gap: Gap, situation: Situation) -> str | None:
        edit, settings = self.last_edit, self.shared.settings
        if self._nothing_at == (situation, settings):
            return "nothing was found here"
        return reason_for_quiet(
            *situation,
            deleted=edit is not None and edit.is_delete and edit.end == gap.start,
            language=self.document.language,
            in_comments=settings.in_comments,
            in_strings=settings.in_strings or self._is_json,  # there, all but numbers is in strings
        )
