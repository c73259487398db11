"""`midfill pull`: a checkpoint from the hub into the user's data directory."""

import sys

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from midfill.engine import hub
from midfill.engine.installed import models_dir


def pull(repo: str, /, *, revision: str | None = None) -> None:
    """Download a checkpoint, verify every file, and print the directory to give to --model.

    Only safetensors, JSON, tokenizer and licence files are fetched. An interrupted download goes on where it
    stopped when the command is run again. HF_ENDPOINT names another hub, HF_TOKEN opens gated repositories.

    Parameters
    ----------
    repo
        The repository, as ORG/NAME.
    revision
        A branch, tag or commit; the newest if none is given.
    """
    snapshot = hub.find(repo, revision)
    directory = models_dir() / repo.replace("/", "--")
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(f"verifying {directory.name}", total=snapshot.num_bytes)
        hub.fetch(
            snapshot,
            directory,
            lambda name, count: progress.update(task, description=name, advance=count),
        )
    sys.stdout.write(f"{directory}\n")
