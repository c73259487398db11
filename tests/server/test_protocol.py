import io
from typing import Any

import pytest

from midfill.server.app import make_server
from midfill.server.protocol import Dialect

INVOKED, AUTOMATIC = 1, 2


@pytest.mark.parametrize(
    ("kinds", "meant"),
    [
        ([1, 2, 1], [INVOKED, AUTOMATIC, INVOKED]),  # the standard
        ([0, 1, 0, 1], [INVOKED, AUTOMATIC, INVOKED, AUTOMATIC]),  # vscode-languageclient 9
        ([1, 0, 1], [INVOKED, INVOKED, AUTOMATIC]),  # it shows itself with its first 0
        ([None, "1", 3, 1.5], [AUTOMATIC] * 4),  # neither
    ],
)
def test_trigger_kinds_are_read_in_the_clients_dialect(kinds: list[object], meant: list[int]) -> None:
    dialect = Dialect()
    assert [dialect.standard(kind) for kind in kinds] == meant


def test_nothing_is_kept_of_a_message_that_was_handled() -> None:
    """pygls keeps each notification's future for ever."""
    server = make_server()
    protocol: Any = server.protocol
    protocol.set_writer(io.BytesIO())

    def handle(message: dict[str, Any]) -> None:
        protocol.handle_message(protocol.structure_message({"jsonrpc": "2.0", **message}))

    empty = {"processId": None, "rootUri": None, "capabilities": {}}
    handle({"id": 1, "method": "initialize", "params": empty})
    document = {"uri": "file:///a.py", "languageId": "python", "version": 1, "text": ""}
    handle({"method": "textDocument/didOpen", "params": {"textDocument": document}})
    change = {"textDocument": {"uri": "file:///a.py", "version": 2}, "contentChanges": [{"text": "x = "}]}
    handle({"method": "textDocument/didChange", "params": change})
    assert server.sessions["file:///a.py"].document.text() == "x = "
    assert protocol._request_futures == {}
