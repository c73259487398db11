"""Settings with fields replaced by name: how a developer measures what each of them does."""

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from midfill.engine.errors import InputError
from midfill.engine.settings import InfillSettings

SomeStruct = TypeVar("SomeStruct", bound=msgspec.Struct)


def changed(settings: InfillSettings, changes: Iterable[str]) -> InfillSettings:
    """`settings` after changes such as `num_lengths=8`, `denoise.max_steps=4` or `search=none`, in their order. Pure.

    A value is JSON; `none` is None, and other words stand for themselves. Raises `InputError` for a name that there is
    not and a value of another type.
    """
    for change in changes:
        path, sign, value = change.partition("=")
        if not sign:
            raise InputError("--set", "NAME=VALUE, such as num_lengths=8", repr(change))
        settings = _replaced(settings, path.split("."), value, f"--set {path}")
    return settings


def _replaced(settings: SomeStruct, path: list[str], value: str, option: str) -> SomeStruct:
    """`settings` with the field at `path` made from `value`; `option` is how errors call it."""
    name, *deeper = path
    types = {field.name: field.type for field in msgspec.structs.fields(settings)}
    if name not in types:
        raise InputError(option, f"one of {', '.join(types)}", repr(name))
    if not deeper:
        return msgspec.structs.replace(settings, **{name: _read(value, types[name], option)})
    inner = getattr(settings, name)
    if not isinstance(inner, msgspec.Struct):
        raise InputError(option, f"fields in {name}", f"{inner}, which has none")
    return msgspec.structs.replace(settings, **{name: _replaced(inner, deeper, value, option)})


def _read(value: str, kind: Any, option: str) -> Any:
    """What `value` stands for, as a `kind`."""
    try:
        if value == "none":
            return msgspec.convert(None, kind)
        try:
            found = msgspec.json.decode(value)
        except msgspec.DecodeError:  # a word: a string, or inf
            return msgspec.convert(value, kind, strict=False)
        return msgspec.convert(found, kind)
    except msgspec.ValidationError as error:
        raise InputError(option, f"a value that fits ({error})", repr(value)) from None
