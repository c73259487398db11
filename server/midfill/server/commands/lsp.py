"""`midfill lsp`: the language server.

It parses its own arguments: the library of the other commands takes 0.1 s to import.
"""

import argparse
import functools
import importlib
import logging
from collections.abc import Sequence
from pathlib import Path

import attrs


def main(arguments: Sequence[str]) -> None:
    """Serves one client until it goes."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=options.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # pygls logs whole messages, and with them the user's text.
    logging.getLogger("pygls").setLevel(logging.CRITICAL)
    _import_types()
    from midfill.server.app import make_server

    server = make_server(() if options.script is None else ("--script", str(options.script.resolve())))
    if options.tcp is None:
        server.start_io()
    else:
        server.start_tcp("127.0.0.1", options.tcp)


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
