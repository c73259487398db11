"""The commands of `midfill`, for cyclopts.

The one place that knows both sides: it names the engine's commands by string, and cyclopts imports the one
that is called. So `midfill --help` costs no torch, and an install without the engine extra still starts.
"""

from importlib.metadata import version

from cyclopts import App, CycloptsError, UnknownCommandError
from rich.text import Text


def _one_line(error: CycloptsError) -> Text:
    # cyclopts' own message about an unknown command imports every command to list them, and with them torch.
    unknown = isinstance(error, UnknownCommandError) and error.unused_tokens
    message = f"no command {unknown[0]!r}, see midfill --help" if unknown else str(error)
    return Text(f"midfill: {message}", no_wrap=True, overflow="ignore")


app = App(
    name="midfill",
    help="Fills the gap at the cursor, on this machine.",
    version=lambda: version("midfill"),
    help_format="plaintext",  # markdown costs 50 ms of imports
    error_formatter=_one_line,
)
app.command("midfill.server.commands.lsp:main", name="lsp", help="Serve the Language Server Protocol.")
app.command("midfill.engine.commands.fill:fill", help="Fill a gap in a file.")
app.command("midfill.engine.commands.evaluate:evaluate", name="eval", help="Fill every record of a file.")
app.command("midfill.engine.commands.pull:pull", help="Download a checkpoint.")
app.command("midfill.engine.commands.models:app", name="models", help="Show, fetch or remove models.")
app.command("midfill.engine.commands.doctor:doctor", help="Say what this machine can run and what is missing.")
app.command("midfill.server.commands.stats:stats", help="Show or delete the local statistics.")
engine = App(name="engine", help="Run, look at or stop the process that all editor windows share.")
engine.command("midfill.engine.worker:run", help="Run it in the foreground.")
engine.command("midfill.engine.commands.engine:status", help="Say how it is doing.")
engine.command("midfill.engine.commands.engine:stop", help="End it, for all windows.")
engine.command("midfill.engine.commands.engine:logs", help="Print the end of its log.")
app.command(engine)
