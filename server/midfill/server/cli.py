"""The `midfill` command: which code a command line runs, and what its errors look like."""

import os
import sys

from midfill.engine.errors import MidfillError


def main() -> None:
    """Run the command that `sys.argv` names. What the user can mend: exit code 2, one line on stderr."""
    try:
        try:
            _run()
        finally:
            if not sys.stdout.closed:  # the language server closes it as the last thing it does
                sys.stdout.flush()  # here, where a reader that has gone away is expected, not at Python's exit
    except MidfillError as error:
        sys.exit(_complain(str(error)))
    except BrokenPipeError:  # `midfill fill … | head`: nobody reads on, and Python's own flush at exit would complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except ImportError as error:
        missing = error.__cause__ if isinstance(error.__cause__, ModuleNotFoundError) else error
        if missing.name is None or missing.name.partition(".")[0] == "midfill":
            raise
        sys.exit(_complain(f"this command needs {missing.name}: pip install 'midfill[engine]'"))


def _run() -> None:
    if sys.argv[1:2] == ["lsp"]:  # an editor waits for it: it does without the library of the other commands
        from midfill.server.commands.lsp import main as serve

        serve(sys.argv[2:])
    else:
        from midfill.server.command_tree import app

        app()


def _complain(message: str) -> int:
    sys.stderr.write(f"midfill: {message}\n")
    return 2
