"""What pygls leaves to do between the wire and the handlers: tolerance of clients, and documents of our own.

pygls refuses messages that some clients do send, and then leaves the request without an answer; its documents split
lines at characters that the protocol does not know as line ends, and do so anew at each access.
"""
# pyright: reportUnknownMemberType=false
# (pygls' feature manager has no types)

import inspect
import logging
from collections.abc import Callable, Generator
from typing import Any, ClassVar, cast

import cattrs
from lsprotocol import types
from pygls.exceptions import (
    JsonRpcException,
    JsonRpcInternalError,
    JsonRpcInvalidParams,
    JsonRpcInvalidRequest,
    JsonRpcServerNotInitialized,
)
from pygls.protocol import JsonRPCNotification, LanguageServerProtocol, lsp_method

log = logging.getLogger(__name__)

DID_SHOW = "textDocument/didShowCompletion"
DID_PARTIALLY_ACCEPT = "textDocument/didPartiallyAcceptCompletion"
IGNORED = "midfill/ignored"

Handling = Generator[tuple[Callable[..., Any], tuple[Any, ...], None], Any, Any]
"""How pygls chains handlers: (handler, positional arguments, no keyword arguments)."""


class Protocol(LanguageServerProtocol):
    """LSP as real clients speak it."""

    RAW: ClassVar = {DID_SHOW, DID_PARTIALLY_ACCEPT}
    """Notifications outside the standard; their handlers get the parameters as JSON gave them."""

    def __init__(self, server: Any, converter: cattrs.Converter) -> None:
        self.dialect = Dialect()
        super().__init__(server, converter)

    def structure_message(self, data: dict[str, Any]) -> Any:
        """The message of a JSON object. What cannot be understood is answered here, if it wants an answer."""
        method = data.get("method")
        if "jsonrpc" not in data or method is None:
            return super().structure_message(data)
        if method == types.TEXT_DOCUMENT_INLINE_COMPLETION:
            self._tolerate(data.get("params"))
        if isinstance(method, str) and method in self.RAW and "id" not in data:
            return JsonRPCNotification(method=method, jsonrpc=self.VERSION, params=data.get("params"))
        try:
            if "id" in data and _is_notification(method):
                raise JsonRpcInvalidParams("this is a notification: wanted no id")
            return super().structure_message(data)
        except (JsonRpcInvalidParams, JsonRpcInternalError) as error:
            if "id" in data:
                self._send_response(data["id"], error=JsonRpcInvalidParams(_complaint(error)).to_response_error())
            log.warning("%s: parameters that this server does not understand", method)
            return JsonRPCNotification(method=IGNORED, jsonrpc=self.VERSION, params=None)

    def handle_message(self, message: Any) -> None:
        """Handles a message whose turn it is: between `initialize` and `shutdown`. Refuses other requests."""
        if getattr(message, "jsonrpc", None) != self.VERSION:
            self._refuse(message, JsonRpcInvalidRequest('wanted a message with "jsonrpc": "2.0"'))
        elif error := self._out_of_turn(getattr(message, "method", None)):
            self._refuse(message, error)
        else:
            super().handle_message(message)

    def _refuse(self, message: Any, error: JsonRpcException) -> None:
        """Answers with the error, if `message` is a request."""
        id = _asked(message)
        if id is not None:
            self._send_response(id, error=error.to_response_error())
        else:
            log.warning("passed over a message: %s", error)

    def _out_of_turn(self, method: str | None) -> JsonRpcException | None:
        """Why a message is refused; answers, which have no method, and `exit` never are."""
        is_initialized = self._workspace is not None
        if method is None or method == types.EXIT:
            return None
        if self._shutdown:
            return JsonRpcInvalidRequest("the server was shut down")
        if method == types.INITIALIZE:
            return JsonRpcInvalidRequest("the server was initialized already") if is_initialized else None
        return None if is_initialized else JsonRpcServerNotInitialized("the server was not initialized yet")

    def _execute_handler(
        self,
        msg_id: str | int,
        handler: Callable[..., Any],
        callback: Callable[..., Any],
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
    ) -> None:
        """Lets go of a notification once it is handled: pygls keeps 2 KB of each, one for every key that is typed."""
        super()._execute_handler(msg_id, handler, callback, args, kwargs)
        futures = self._request_futures
        if (future := futures.get(msg_id)) is not None:
            future.add_done_callback(lambda done: futures.pop(msg_id, None) if futures.get(msg_id) is done else None)

    def _tolerate(self, params: Any) -> None:
        """Gives an inline completion's parameters the context that they must have."""
        if isinstance(params, dict):
            given = cast("dict[str, Any]", params)
            found = given.get("context")
            context = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
            given["context"] = {**context, "triggerKind": self.dialect.standard(context.get("triggerKind"))}

    # The generators below stand for pygls' own handlers, which keep a second copy of each document.

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams) -> Handling:
        yield from self._to_user(types.TEXT_DOCUMENT_DID_OPEN, params)

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> Handling:
        yield from self._to_user(types.TEXT_DOCUMENT_DID_CHANGE, params)

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> Handling:
        yield from self._to_user(types.TEXT_DOCUMENT_DID_CLOSE, params)

    @lsp_method(types.WORKSPACE_EXECUTE_COMMAND)
    async def lsp_workspace__execute_command(  # pyright: ignore[reportIncompatibleMethodOverride] (pygls runs either)
        self, params: types.ExecuteCommandParams
    ) -> Any:
        """What the command answers. pygls' own keeps the progress token to itself, and ends no command on request."""
        commands = cast("dict[str, Callable[..., Any]]", self.fm.commands)
        handler = commands.get(params.command)
        if handler is None:
            raise JsonRpcInvalidParams(f"command: wanted one of {sorted(commands)}, got {params.command!r}")
        answer = handler(params)
        return await answer if inspect.isawaitable(answer) else answer

    def _to_user(self, method: str, params: Any) -> Handling:
        features = cast("dict[str, Callable[..., Any]]", self.fm.features)
        yield features[method], (params,), None


class Dialect:
    """The trigger kinds that a client means. vscode-languageclient before version 10 sends 0 and 1 for 1 and 2."""

    def __init__(self) -> None:
        self._is_old = False

    def standard(self, kind: object) -> int:
        """The protocol's trigger kind for what came: 1 is invoked, 2 is automatic, as is whatever is neither.

        A 0 proves the old dialect, in which 1 is automatic from then on; a 2 proves the standard one.
        """
        if kind in (0, 2):
            self._is_old = kind == 0
        automatic = types.InlineCompletionTriggerKind.Automatic.value
        if kind == 0 or (kind == 1 and not self._is_old):
            return types.InlineCompletionTriggerKind.Invoked.value
        return automatic


def _asked(message: Any) -> Any:
    """The id of a request, also of one that was not understood; None for any other message."""
    if isinstance(message, dict):
        fields = cast("dict[str, Any]", message)
        return fields.get("id") if "method" in fields else None
    return getattr(message, "id", None) if hasattr(message, "method") else None


def _is_notification(method: object) -> bool:
    """Whether the standard has no answer for `method`."""
    return isinstance(method, str) and types.METHOD_TO_TYPES.get(method, ("", ""))[1] is None


def _complaint(error: Exception) -> str:
    cause = error.__cause__
    if isinstance(cause, cattrs.ClassValidationError):
        return "; ".join(cattrs.transform_error(cause))
    return str(cause or error)
