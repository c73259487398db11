"""The server object: the state of one editor's connection, and how a person is spoken to over it."""
# pyright: reportUnknownMemberType=false
# (pygls has few types)

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Coroutine, Sequence
from importlib.metadata import version
from typing import Any

from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.protocol import default_converter

from midfill.server.offers import Offer
from midfill.server.progress import WorkDone
from midfill.server.protocol import Protocol
from midfill.server.session import Session
from midfill.server.shared import Shared

log = logging.getLogger(__name__)

STATUS = "midfill/status"


class Server(LanguageServer):
    """The state of one editor's connection."""

    shared: Shared

    def __init__(self, engine_arguments: Sequence[str]) -> None:
        super().__init__("midfill", version("midfill"), protocol_cls=Protocol, converter_factory=default_converter)
        self.engine_arguments = tuple(engine_arguments)
        self.sessions: dict[str, Session] = {}
        self.offers: OrderedDict[int, tuple[Session, Offer]] = OrderedDict()
        self.loading: WorkDone | None = None
        self.told: set[str] = set()
        self.untold: list[str] = []
        """Complaints from before the client could be spoken to."""
        self._tasks: set[asyncio.Task[None]] = set()

    def report_server_error(self, error: Exception, source: Any) -> None:
        """To the log. Never a pop-up, as pygls' own would be."""
        log.error("%s: %s", source.__name__, type(error).__name__, exc_info=error)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs `work` beside the handlers."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def tell_status(self) -> None:
        """Tells the editor's status bar how the engine is."""
        state = self.shared.engine.state
        status = {
            "phase": state.phase if self.shared.settings.enabled else "paused",
            "model": state.model,
            "device": state.device,
            "message": state.message,
            "latencyMs": self.shared.engine_ms,
        }
        self.protocol.notify(STATUS, status)

    def complain(self, complaints: Sequence[str]) -> None:
        """Says all that was not said before, in one message."""
        fresh = [complaint for complaint in complaints if complaint not in self.told]
        self.told.update(fresh)
        if fresh:
            self.say("; ".join(fresh), types.MessageType.Warning)

    def say(self, message: str, kind: types.MessageType) -> None:
        """A message to the person."""
        self.window_show_message(types.ShowMessageParams(kind, f"midfill: {message}"))
