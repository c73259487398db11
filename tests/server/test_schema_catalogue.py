"""`midfill.server.schema_catalogue`: names that everybody knows."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from midfill.server.schema_catalogue import CATALOGUE, known_schema


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("package.json", "/package.json"),
        ("packages/a/package.json", "/package.json"),
        ("tsconfig.build.json", "/tsconfig.json"),
        ("web/.babelrc", "/babelrc.json"),
        ("Properties/launchSettings.json", "/launchsettings.json"),
        ("a.avsc", "/avro-avsc.json"),
    ],
)
def test_a_well_known_name_has_a_schema(name: str, end: str) -> None:
    assert (known_schema(Path("/work") / name) or "").endswith(end)


@pytest.mark.parametrize(
    "name", ["a.json", "package-lock.json", "package.json.bak", "my.package.json", "settings.json"]
)
def test_any_other_name_has_none(name: str) -> None:
    assert known_schema(Path("/work") / name) is None


def test_every_address_is_one_over_https() -> None:
    for url in CATALOGUE:
        parts = urlsplit(url)
        assert (parts.scheme, parts.query, parts.fragment) == ("https", "", "")
        assert parts.hostname
        assert parts.path.endswith("json")


def test_no_name_belongs_to_two() -> None:
    patterns = [pattern for own in CATALOGUE.values() for pattern in own]
    assert len(patterns) == len(set(patterns))
