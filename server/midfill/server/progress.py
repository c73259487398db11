"""Progress in the editor: LSP's work-done progress, or nothing where the client has none."""
# pyright: reportUnknownMemberType=false
# (pygls types its futures loosely)

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

log = logging.getLogger(__name__)
_tokens = count(1)


class WorkDone:
    """One progress. It is shown with what was reported before, and not at all if it had ended before."""

    def __init__(self, server: LanguageServer, title: str, *, token: types.ProgressToken | None = None) -> None:
        """With a `token` the client has asked for the progress itself, and needs none to be created."""
        self._server, self._title, self._token = server, title, token
        self._last = types.WorkDoneProgressReport()
        self._is_shown = self._has_ended = False

    async def begin(self, on_cancel: Callable[[], object] | None = None) -> None:
        """Shows it, with a way to cancel if `on_cancel` is given. Waits for a client that has to create it first."""
        if self._token is None and not await self._create():
            return
        assert self._token is not None
        progress = self._server.work_done_progress
        if self._has_ended:  # while the client created it: nobody would take it away again
            progress.tokens.pop(self._token, None)
            return
        begin = types.WorkDoneProgressBegin(
            title=self._title,
            cancellable=on_cancel is not None,
            message=self._last.message,
            percentage=self._last.percentage,  # clients show none later that do not see one here
        )
        progress.begin(self._token, begin)
        self._is_shown = True
        if on_cancel is not None:
            loop = asyncio.get_running_loop()

            def cancelled(future: Future[Any]) -> None:
                if future.cancelled():
                    loop.call_soon_threadsafe(on_cancel)

            progress.tokens[self._token].add_done_callback(cancelled)

    async def _create(self) -> bool:
        window = self._server.client_capabilities.window
        if window is None or not window.work_done_progress:
            return False
        token = f"midfill-{next(_tokens)}"
        try:
            await self._server.work_done_progress.create_async(token)
        except JsonRpcException as error:
            log.info("the client refuses a progress: %s", error)
            return False
        self._token = token
        return True

    def report(self, message: str, share: float | None = None) -> None:
        """Tells how far it is: `share` of the work, 0 to 1."""
        percentage = None if share is None else round(100 * share)
        self._last = types.WorkDoneProgressReport(message=message, percentage=percentage)
        if self._is_shown and self._token is not None:
            self._server.work_done_progress.report(self._token, self._last)

    def end(self, message: str) -> None:
        """Takes it away."""
        self._has_ended = True
        if self._is_shown and self._token is not None:
            self._is_shown = False
            self._server.work_done_progress.end(self._token, types.WorkDoneProgressEnd(message=message))
            self._server.work_done_progress.tokens.pop(self._token, None)
