"""What a user can set, as editors send it: in initializationOptions or in workspace/didChangeConfiguration."""

import reprlib
from difflib import get_close_matches
from typing import Annotated, Literal, cast, get_args

import msgspec
from msgspec import UNSET, Meta

from midfill.engine.wire import Eagerness

Switch = Annotated[bool, Meta(description="true or false")]
Switches = Annotated[dict[str, Switch], Meta(description="an object of languages, each true or false")]
Glob = Annotated[str, Meta(description="a pattern as in .gitignore")]
Globs = Annotated[list[Glob], Meta(description="a list of patterns as in .gitignore")]
Milliseconds = Annotated[int, Meta(ge=0, le=10_000)]


class SchemaRule(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A JSON Schema, and the files that it is for, as VS Code's `json.schemas` has it."""

    file_match: Annotated[list[str], Meta(min_length=1)]
    url: str = ""
    """Of the web, of a file, or a path in the workspace. Not looked at where there is a `schema`."""
    schema: dict[str, object] | bool | None = None

    def __post_init__(self) -> None:
        if not self.url and self.schema is None:
            raise ValueError("neither url nor schema")


OneSchema = Annotated[SchemaRule, Meta(description="an object with fileMatch, and url or schema")]
ManySchemas = Annotated[list[OneSchema], Meta(description="a list of objects with fileMatch, and url or schema")]


class Settings(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The descriptions complete "wanted …" in a complaint."""

    enabled: Switch = True
    languages: Switches = {}
    """By LSP language identifier; "*" stands for those not named."""
    exclude: Globs = []
    """Files that are neither filled nor shown to the model, besides ignored and secret ones."""
    in_comments: Switch = True
    in_strings: Switch = True
    debounce_ms: Annotated[Milliseconds | None, Meta(description="0 to 10000 milliseconds, or null")] = None
    """None follows the typing rhythm and the engine's speed."""
    max_file_bytes: Annotated[int, Meta(ge=0, description="a number of bytes")] = 4 << 20
    explicit_mode: Annotated[Literal["fast", "best"], Meta(description='"fast" or "best"')] = "fast"
    """For a fill that was asked for, by a key or a command; what appears while typing is always fast."""
    eagerness: Annotated[Eagerness, Meta(description='"low", "balanced" or "high"')] = "balanced"
    """How sure a fill has to be to appear."""
    max_tokens: Annotated[int, Meta(ge=1, le=1024, description="1 to 1024 tokens")] = 64
    model: Annotated[str | None, Meta(description="a model's directory, or null")] = None
    """None is the embedded one. The engine is shared: the first window to start it decides."""
    best_model: Annotated[str | None, Meta(description="a model's directory, or null")] = None
    """What serves best mode; None is the other one. Like that, it is the choice of the first window."""
    other_files: Switch = True
    """Whether pieces of other open files are shown to the model."""
    schemas: ManySchemas = []
    """For JSON files that name none themselves; the first that fits counts."""
    fetch_schemas: Switch = False
    """Whether schemas are fetched from the web. What was fetched once is kept, and used in any case."""
    speculate: Switch = True
    """Whether the next fill is computed before it is asked for."""
    statistics: Switch = True
    """Whether suggestions are counted, on this machine only."""

    def serves(self, language: str) -> bool:
        """Whether fills are wanted in files of this LSP language."""
        return self.enabled and self.languages.get(language, self.languages.get("*", True))


_FIELDS = {field.encode_name: field for field in msgspec.structs.fields(Settings)}
_ITEMS = {"exclude": Glob, "schemas": OneSchema}
"""Of lists."""


def read_settings(raw: object) -> tuple[Settings, list[str]]:
    """The settings in what a client sent, and a complaint for each that is unknown or wrong. Never raises.

    A wrong one keeps its default; of a list or an object only the wrong items go. They may stand under "midfill".
    """
    if _is_unset(raw):
        return Settings(), []
    if not isinstance(raw, dict):
        return Settings(), [_complaint("settings", "an object", raw)]
    sent = cast("dict[str, object]", raw)
    if "midfill" in sent:
        return read_settings(sent["midfill"])
    complaints: list[str] = []
    values: dict[str, object] = {}
    for name, value in sent.items():
        if (field := _FIELDS.get(name)) is None:
            complaints.append(_unknown(str(name)))
        elif not _is_unset(value) and (kept := _kept(name, value, complaints)) is not UNSET:
            values[field.name] = kept
    return Settings(**values), complaints  # pyright: ignore[reportArgumentType] (each value was converted)


def _is_unset(value: object) -> bool:
    """Null is the default. So is an empty text, as VS Code has no null for one, and {} or [], as Lua mixes them up."""
    return value is None or value in ("", {}, [])


def _kept(name: str, value: object, complaints: list[str]) -> object:
    """The value as its setting holds it, UNSET if it is wrong."""
    if name == "languages" and isinstance(value, dict):
        items = cast("dict[str, object]", value).items()
        switches = {key: _converted(f"languages.{_short(key)}", item, Switch, complaints) for key, item in items}
        return {key: switch for key, switch in switches.items() if switch is not UNSET}
    if (wanted := _ITEMS.get(name)) is not None and isinstance(value, list):
        items = [_converted(name, item, wanted, complaints) for item in cast("list[object]", value)]
        return [item for item in items if item is not UNSET]
    return _converted(name, value, _FIELDS[name].type, complaints)


def _converted(name: str, value: object, wanted: object, complaints: list[str]) -> object:
    if isinstance(value, float) and value.is_integer():  # a number is a number to JavaScript and Lua
        value = int(value)
    try:
        return msgspec.convert(value, wanted)
    except msgspec.ValidationError:
        complaints.append(_complaint(name, get_args(wanted)[1].description, value))
        return UNSET


def _unknown(name: str) -> str:
    near = get_close_matches(name, _FIELDS, n=1)
    return f"{_short(name)}: no such setting" + (f", is it {near[0]}?" if near else "")


def _complaint(name: str, wanted: str, got: object) -> str:
    return f"{name}: wanted {wanted}, got {reprlib.repr(got)}"


def _short(name: str) -> str:
    return name if name.isidentifier() and len(name) < 40 else reprlib.repr(name)
