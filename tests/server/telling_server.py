"""`midfill lsp` that answers one question more, `test/text`: the text that it holds of a document."""

import argparse
from pathlib import Path
from typing import Any

from midfill.server.app import make_server
from midfill.server.connection import Server


def text(ls: Server, params: Any) -> str:
    return ls.sessions[params.uri].document.text()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--script", type=Path)
    script = parser.parse_args().script
    server = make_server(("--script", str(script)) if script else ())
    server.feature("test/text")(text)
    server.start_io()


if __name__ == "__main__":
    main()
