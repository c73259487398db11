"""`midfill lsp`: the language server.

It parses its own arguments: the library of the other commands takes 0.1 s to import.
"""

import argparse
import functools
import gc
import importlib
import io
import logging
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs

_LENGTH = re.compile(rb"content-length: *(\d+)\s*$", re.IGNORECASE)


def main(arguments: Sequence[str]) -> None:
    """Serves one client until it goes."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=options.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # pygls logs whole messages, and with them the user's text.
    logging.getLogger("pygls").setLevel(logging.CRITICAL)
    gc.disable()  # what is imported stays: to look for garbage in it took a fifth of the start
    _import_types()
    from midfill.server.app import make_server

    gc.freeze()
    gc.enable()
    server = make_server(() if options.script is None else ("--script", str(options.script.resolve())))
    if options.tcp is None:
        server.start_io(Stdin(io.FileIO(sys.stdin.fileno(), closefd=False)))
    else:
        server.start_tcp("127.0.0.1", options.tcp)


class Stdin(io.BufferedReader):
    """What the client sends. After a message whose length was wrong, the next header is found in the midst of a line.

    pygls would read on for ever without finding one, and ends by a length that no memory holds.
    """

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        found = _LENGTH.search(line)
        if found is None:
            return line
        return b"Content-Length: %s\r\n" % (found[1] if len(found[1]) < 10 else b"0")  # pygls passes a 0 over


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="midfill lsp", description="Serve the Language Server Protocol.")
    parser.add_argument("--stdio", action="store_true", help="on stdin and stdout, as is the default: editors pass it")
    parser.add_argument("--tcp", type=int, metavar="PORT", help="one client on a loopback port, for debugging")
    parser.add_argument("--script", type=Path, metavar="FILE", help="a scripted engine in place of a model")
    levels = ("debug", "info", "warning", "error")
    parser.add_argument("--log-level", choices=levels, default="warning", help="what is written to stderr")
    return parser


def _import_types() -> None:
    """Imports lsprotocol without the `__repr__`s of its 570 classes, which nobody prints: 0.31 s become 0.21."""
    define = attrs.define
    attrs.define = functools.partial(define, repr=False)
    try:
        importlib.import_module("lsprotocol.types")
    finally:
        attrs.define = define
