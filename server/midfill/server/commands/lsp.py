"""`midfill lsp`: the language server."""

import logging
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter


def lsp(
    *,
    tcp: int | None = None,
    script: Path | None = None,
    log_level: Literal["debug", "info", "warning", "error"] = "warning",
    stdio: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Serve the Language Server Protocol.

    Parameters
    ----------
    tcp
        Serve one client on this loopback port instead of stdio, for debugging.
    script
        Rules of a scripted engine to use in place of a model, for tests and demos.
    log_level
        What is written to stderr.
    stdio
        Serve on stdin and stdout, as without it: editors pass it.
    """
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # pygls logs whole messages, and with them the user's text.
    logging.getLogger("pygls").setLevel(logging.CRITICAL)
    from midfill.server.app import make_server

    server = make_server(() if script is None else ("--script", str(script.resolve())))
    if tcp is None:
        server.start_io()
    else:
        server.start_tcp("127.0.0.1", tcp)
