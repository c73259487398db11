"""`midfill models`: which models are on this machine or could be, and which fit its memory. It imports no torch."""

import asyncio
import logging
import shutil
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Literal

import msgspec
from cyclopts import App
from rich.console import Console
from rich.prompt import Confirm
from rich.table import Table
from rich.text import Text

from midfill.engine.client import EngineClient
from midfill.engine.errors import EngineError, InputError
from midfill.engine.google_models import GOOGLE_MODELS, GoogleModel
from midfill.engine.installed import embedded_model, models_dir
from midfill.engine.memory import Place, find_place, fits, needed_bytes
from midfill.engine.stored_models import StoredModel, Use, readable, size_on_disk, stored_models

ANSWER_S = 1.0
"""How long a running engine is waited for, which is only asked what it has loaded."""

HERE, HALF, AWAY, BROKEN = "●", "◐", "○", "✗"
_FITS = {True: Text("yes", "green"), False: Text("no", "yellow"), None: Text("")}

app = App(name="models")
app.command("midfill.engine.commands.pull:pull", help="Download a checkpoint.")


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A model in the listing; None stands for what is not known."""

    name: str
    state: Literal["embedded", "pulled", "half-fetched", "to pull"]
    kind: str | None
    uses: tuple[Use, ...]
    path: Path | None = None
    disk_bytes: int | None = None
    needed_bytes: int | None = None
    fits: bool | None = None
    is_loaded: bool = False
    """Whether the running engine has it."""
    problem: str | None = None


class Listing(msgspec.Struct, frozen=True):
    """`to_pull` are Google's models that are not on the disk."""

    place: Place
    on_disk: list[Line]
    to_pull: list[Line]


@app.default
def models(*, json: bool = False) -> None:
    """Show the models on this machine, what each is good for, and whether it fits the memory that is free now.

    Parameters
    ----------
    json
        Print it as JSON.
    """
    listing = list_models(find_place(), stored_models(), asyncio.run(_loaded()))
    if json:
        text = msgspec.json.format(msgspec.json.encode(listing, enc_hook=readable)).decode()
        sys.stdout.write(text + "\n")
    else:
        _show(listing, Console())


@app.command
def remove(name: str, /, *, yes: bool = False) -> None:
    """Delete a model that was pulled, or the part of one.

    Parameters
    ----------
    name
        Of its directory, as `midfill models` shows it.
    yes
        Do not ask.
    """
    directory = _find_pulled(name)
    num_bytes = 0 if directory.is_symlink() else size_on_disk(directory)
    if yes or _confirm(f"Delete {directory}, {_gb(num_bytes)}?"):
        _delete(directory)
        sys.stdout.write(f"removed {name}: {_gb(num_bytes)} freed\n")
    else:
        sys.stdout.write(f"kept {name}\n")


def list_models(place: Place, stored: list[StoredModel], loaded: frozenset[str]) -> Listing:
    """The lines of the listing, in reading order; `loaded` names the running engine's models. Pure."""
    here = {model.name for model in stored}
    return Listing(
        place,
        [_stored_line(model, place, loaded) for model in stored],
        [_google_line(model, place) for model in GOOGLE_MODELS if _directory_name(model.repo) not in here],
    )


def _stored_line(model: StoredModel, place: Place, loaded: frozenset[str]) -> Line:
    weight_bytes = None if model.num_weights is None else place.weight_bytes(model.num_weights)
    return Line(
        name=model.name,
        state="embedded" if model.is_embedded else "pulled" if model.is_whole else "half-fetched",
        path=model.path,
        kind=model.kind,
        uses=model.uses,
        disk_bytes=model.disk_bytes,
        needed_bytes=None if weight_bytes is None else needed_bytes(weight_bytes),
        fits=None if weight_bytes is None else fits(weight_bytes, place.free_bytes),
        is_loaded=model.name in loaded,
        problem=model.problem,
    )


def _google_line(model: GoogleModel, place: Place) -> Line:
    weight_bytes = place.weight_bytes(model.num_weights)
    return Line(
        name=model.repo,
        state="to pull",
        kind=model.kind,
        uses=model.uses,
        needed_bytes=needed_bytes(weight_bytes),
        fits=fits(weight_bytes, place.free_bytes),
    )


async def _loaded() -> frozenset[str]:
    """The names of the running engine's models; none if there is no engine, or one too busy to say."""
    logging.getLogger("midfill").addHandler(logging.NullHandler())  # that there is no engine is no trouble
    async with aclosing(EngineClient(name="midfill models", launches=False)) as client:
        try:
            told = await asyncio.wait_for(client.status(), ANSWER_S)
        except (EngineError, TimeoutError):
            return frozenset()
    return frozenset({told.model, told.best_model})


def _directory_name(repo: str) -> str:
    """Where `midfill pull` puts a repository."""
    return repo.replace("/", "--")


def _find_pulled(name: str) -> Path:
    """The directory of that name among those of pulled models. Raises `InputError`: no other is ever removed."""
    pulled = {path.name: path for path in models_dir().glob("*/")}
    if name in pulled:
        return pulled[name]
    if name.split("/")[0] == embedded_model().name:
        raise InputError("NAME", "a model that was pulled", f"{name!r}, which ships in the package")
    if _directory_name(name) in pulled:
        raise InputError("NAME", f"the name of its directory, {_directory_name(name)}", repr(name))
    raise InputError("NAME", " or ".join(sorted(pulled)) or "a model that was pulled, and there is none", repr(name))


def _confirm(question: str) -> bool:
    try:
        return Confirm.ask(Text(question), default=False, console=Console(stderr=True))
    except EOFError:
        raise InputError("--yes", "it, where nobody answers", "no answer") from None


def _delete(directory: Path) -> None:
    """Removes a pulled model; of a link to one, the link. What an interruption leaves counts as half-fetched."""
    try:
        if directory.is_symlink():
            directory.unlink()
        else:
            (directory / "config.json").unlink(missing_ok=True)
            shutil.rmtree(directory)
    except OSError as error:
        raise InputError(error.filename or directory, "a file that may be removed", error.strerror) from None


def _show(listing: Listing, console: Console) -> None:
    place = listing.place
    where = f"on {place.card}" if place.card else "in memory"
    free = f"{_gb(place.free_bytes)} free of {_gb(place.total_bytes)}"
    console.print(Text(f"Models run {where} here, in {place.dtype}: {free}.\n"))
    console.print(_table(listing))
    console.print()
    for remark in describe(listing):
        console.print(Text(remark), soft_wrap=True)


def _table(listing: Listing) -> Table:
    lines = [*listing.on_disk, *listing.to_pull]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    # A name is to be typed, so it is never cut; where the terminal is narrow, the kind is.
    table.add_column("  model", min_width=max(len(line.name) + 2 for line in lines))
    table.add_column("for", min_width=len("fast, best"))
    for column in ("on disk", "needs"):
        table.add_column(column, justify="right", min_width=len("99.9 GB"))
    table.add_column("fits", min_width=len("fits"))
    table.add_column("kind", no_wrap=True)
    for line in lines:
        cells = f"{_mark(line)} {line.name}", ", ".join(line.uses), _gb(line.disk_bytes), _gb(line.needed_bytes)
        table.add_row(*map(Text, cells), _FITS[line.fits], Text(line.kind or ""))
    return table


def describe(listing: Listing) -> list[str]:
    """What the table has no room for. Pure."""
    loaded = [f"{line.name} is loaded by the running engine." for line in listing.on_disk if line.is_loaded]
    broken = [f"{BROKEN} {line.name} cannot be used: {line.problem}" for line in listing.on_disk if line.problem]
    half = any(line.state == "half-fetched" for line in listing.on_disk)
    return [
        *loaded,
        *broken,
        *([f"{HALF} came in half: midfill models pull ORG/NAME goes on where it stopped"] if half else []),
        *([f"{AWAY} is not here yet: midfill models pull ORG/NAME"] if listing.to_pull else []),
    ]


def _mark(line: Line) -> str:
    if line.problem is not None:
        return BROKEN
    return {"half-fetched": HALF, "to pull": AWAY}.get(line.state, HERE)


def _gb(num_bytes: int | None) -> str:
    if num_bytes is None:
        return ""
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:.1f} MB"
