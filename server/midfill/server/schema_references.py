"""Which other schemas a JSON Schema refers to."""

from collections.abc import Iterator
from typing import NamedTuple, cast
from urllib.parse import urldefrag, urljoin, urlsplit

_REFERRING = ("$ref", "$dynamicRef", "$recursiveRef")  # what $schema names, validators have
_DATA = frozenset({"const", "default", "enum", "examples"})
_BY_NAME = frozenset({"$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"})
"""What these hold is schemas by names that may be any, those of keywords too."""


class Reference(NamedTuple):
    """Another schema."""

    uri: str
    """By the names that the schema gives itself and its parts, as a validator asks for it."""
    file_uri: str
    """By the place where the schema was found: the same, unless it says that it stands elsewhere."""


class _Part(NamedTuple):
    value: object
    base: str
    file_base: str
    is_by_name: bool = False


def references(schema: object, uri: str) -> list[Reference]:
    """The schemas outside of `schema` that it refers to, each once, in order. `uri` is where it was found. Pure."""
    found: dict[str, Reference] = {}
    own = {urldefrag(uri).url}
    for part in _parts(schema, uri):
        own.add(part.base)
        for name in _REFERRING:
            value = cast("dict[str, object]", part.value).get(name)
            if isinstance(value, str) and not value.startswith("#"):
                reference = Reference(_resolved(part.base, value), _resolved(part.file_base, value))
                found.setdefault(reference.uri, reference)
    return [reference for uri, reference in found.items() if uri not in own and urlsplit(uri).scheme]


def _parts(schema: object, uri: str) -> Iterator[_Part]:
    """Every object in the schema that may be one itself, with what its references start from."""
    start = urldefrag(uri).url
    waiting = [_Part(schema, start, start)]
    while waiting:
        part = waiting.pop()
        if isinstance(part.value, dict):
            members = cast("dict[str, object]", part.value)
            if not part.is_by_name:
                part = part._replace(base=_base(members, part.base))
                yield part
            inner = [
                part._replace(value=value, is_by_name=key in _BY_NAME and not part.is_by_name)
                for key, value in members.items()
                if part.is_by_name or key not in _DATA
            ]
        elif isinstance(part.value, list):
            inner = [part._replace(value=value, is_by_name=False) for value in cast("list[object]", part.value)]
        else:
            continue
        waiting += reversed(inner)


def _base(members: dict[str, object], base: str) -> str:
    name = members.get("$id", members.get("id"))
    return _resolved(base, name) if isinstance(name, str) and not name.startswith("#") else base


def _resolved(base: str, reference: str) -> str:
    """Without its fragment; empty where it cannot be read."""
    try:
        uri = urldefrag(urljoin(base, reference)).url
        urlsplit(uri)  # without a base, urljoin does not look
        return uri
    except ValueError:  # of a bracket where an address is expected
        return ""
