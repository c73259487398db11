"""The models on this machine's disk: what each is, what it can be used for, how large it is. Needs no torch."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from midfill.engine.config import parse_config
from midfill.engine.errors import CheckpointError
from midfill.engine.gemma4_config import DRAFTERS, TARGETS, parse_drafter_config, parse_gemma4_config
from midfill.engine.installed import embedded_drafter, embedded_model, half_pulled_models, pulled_models
from midfill.engine.json_files import read_json
from midfill.engine.stored_weights import count_weights

Use = Literal["fast", "best", "drafting"]


class StoredModel(msgspec.Struct, frozen=True, kw_only=True):
    """A directory of a model. What could not be found out is None, and `problem` says why it cannot be used."""

    name: str
    path: Path
    is_embedded: bool = False
    is_whole: bool = True
    """False while `midfill pull` has not come to the end."""
    kind: str | None = None
    """`model_type` of its config."""
    uses: tuple[Use, ...] = ()
    disk_bytes: int
    num_weights: int | None = None
    """Those that the engine loads: not the towers for images and sound."""
    problem: str | None = None


class _Kind(NamedTuple):
    uses: tuple[Use, ...]
    parse: Callable[[dict[str, Any], Path], object]
    """Raises `CheckpointError` for a config that the engine cannot run."""
    prefixes: tuple[str, ...]
    """How the tensors are called that the engine loads; the first that there is."""


GEMMA4 = _Kind(("best",), parse_gemma4_config, ("model.language_model.", "model."))
KINDS = {
    "diffusion_gemma": _Kind(("fast", "best"), parse_config, ("model.decoder.",)),
    **dict.fromkeys(TARGETS, GEMMA4),
    **dict.fromkeys(DRAFTERS, _Kind(("drafting",), parse_drafter_config, ("",))),
}


def stored_models() -> list[StoredModel]:
    """The embedded ones, those that were pulled, and those whose pull was interrupted."""
    drafter = embedded_drafter()
    embedded = [look_at(embedded_model(), is_embedded=True)]
    if drafter is not None:
        embedded.append(look_at(drafter, f"{embedded[0].name}/{drafter.name}", is_embedded=True))
    return [*embedded, *map(look_at, pulled_models()), *map(_look_at_half, half_pulled_models())]


def look_at(path: Path, name: str | None = None, *, is_embedded: bool = False) -> StoredModel:
    """What there is to know of the model in directory `path` without reading a weight."""
    size = _size(path.glob("*"))
    found = StoredModel(name=name or readable(path.name), path=path, is_embedded=is_embedded, disk_bytes=size)
    config = path / "config.json"
    try:
        raw = read_json(config, dict[str, Any])
        found = msgspec.structs.replace(found, kind=str(raw.get("model_type")))
        kind = _kind(raw, config)
        kind.parse(raw, config)
        num_weights = count_weights(path, kind.prefixes)
    except CheckpointError as error:
        return msgspec.structs.replace(found, problem=str(error))
    return msgspec.structs.replace(found, uses=kind.uses, num_weights=num_weights)


def _kind(raw: dict[str, Any], config: Path) -> _Kind:
    name = raw.get("model_type")
    if not isinstance(name, str) or name not in KINDS:
        raise CheckpointError(config, "a DiffusionGemma, a Gemma 4 or a drafter", f"model_type {name!r}")
    return KINDS[name]


def readable(path: Path | str) -> str:
    """A path as text that can be written in UTF-8, whatever its bytes are."""
    return os.fsencode(path).decode(errors="replace")


def size_on_disk(directory: Path) -> int:
    """Bytes of all that is in `directory`; what links in it lead to is not."""
    return _size(directory.rglob("*"))


def _look_at_half(path: Path) -> StoredModel:
    return StoredModel(name=readable(path.name), path=path, is_whole=False, disk_bytes=_size(path.glob("*")))


def _size(paths: Iterable[Path]) -> int:
    return sum(path.lstat().st_size for path in paths if path.is_symlink() or path.is_file())
