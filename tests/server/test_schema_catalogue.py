"""`midfill.server.schema_catalogue`: names that everybody knows."""

import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from midfill.server.schema_catalogue import CATALOGUE, known_schema

WRITER = Path(__file__).parents[2] / "server" / "schemastore" / "write_catalogue.py"


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("package.json", "/package.json"),
        ("packages/a/package.json", "/package.json"),
        ("tsconfig.build.json", "/tsconfig.json"),
        ("web/.babelrc", "/babelrc.json"),
        ("Properties/launchSettings.json", "/launchsettings.json"),
        ("a.avsc", "/avro-avsc.json"),
        ("web/.claude/settings.json", "/claude-code-settings.json"),
        ("pack/data/mine/tags/a/b.json", "/minecraft-tag.json"),
        (".GitHub/workflow-templates/ci.properties.json", "/github-workflow-template-properties.json"),
        ("a.schema.json", "/draft-07/schema"),
    ],
)
def test_a_well_known_name_has_a_schema(name: str, end: str) -> None:
    assert (known_schema(Path("/work") / name) or "").endswith(end)


@pytest.mark.parametrize(
    "name", ["a.json", "package-lock.json", "package.json.bak", "my.package.json", "settings.json", "tags/a.json"]
)
def test_any_other_name_has_none(name: str) -> None:
    assert known_schema(Path("/work") / name) is None


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("appsettings.StormPetrel.json", "/appsettings.StormPetrel.Schema.json"),
        ("appsettings.Test.json", "/appsettings.json"),
        ("kya-manifest.schema.json", "/kya.json"),
        ("data/mine/recipes/a.json", "/minecraft-recipe.json"),
        ("data/mine/recipes/b/a.json", "/custom_machinery_recipe.json"),
    ],
)
def test_of_several_patterns_the_one_that_says_most_counts(name: str, end: str) -> None:
    assert (known_schema(Path("/work") / name) or "").endswith(end)


def test_a_name_that_several_schemas_claim_has_none() -> None:
    assert known_schema(Path("/work/manifest.json")) is None


def lines() -> list[list[str]]:
    text = CATALOGUE.read_text(encoding="utf-8")
    return [line.split("\t") for line in text.splitlines() if not line.startswith("#")]


def test_the_catalogue_is_whole_sorted_and_over_https() -> None:
    urls = [url for url, *_ in lines()]
    names = [name for _, *own in lines() for name in own]
    assert len(urls) > 600
    assert urls == sorted(set(urls))
    assert len(names) == len(set(names))
    for url in urls:
        parts = urlsplit(url)
        assert (parts.scheme, parts.query, parts.fragment) == ("https", "", "")
        assert parts.hostname


def test_each_name_is_known_by_itself() -> None:
    plain = [(url, name) for url, *own in lines() for name in own if "*" not in name]
    assert [name for url, name in plain if known_schema(Path("/work") / name) != url] == []


def test_the_catalogue_is_written_from_schemastores(tmp_path: Path) -> None:
    schemas = [
        {"url": "https://b.c/2", "fileMatch": ["**/B.json", "b.json", "b.yml", "both.json"]},
        {"url": "https://b.c/1", "fileMatch": ["*.a", "both.json"]},
        {"url": "https://b.c/3", "fileMatch": ["c.toml"]},
        {"url": "https://b.c/4"},
    ]
    source = tmp_path / "catalog.json"
    source.write_text(json.dumps({"schemas": schemas}), encoding="utf-8")
    subprocess.run([sys.executable, WRITER, source, "0123abc", tmp_path / "written.txt"], check=True)
    header, written = (tmp_path / "written.txt").read_text(encoding="utf-8").split("https", 1)
    assert f"https{written}" == "https://b.c/1\t*.a\nhttps://b.c/2\tb.json\n"
    assert "commit 0123abc" in header
    assert "Apache License" in header
