"""The real command in a subprocess, with a data directory of its own, and the listing for machines not at hand."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest

from midfill.engine.commands.models import Line, Listing, describe, list_models, remove
from midfill.engine.errors import InputError
from midfill.engine.installed import embedded_model
from midfill.engine.memory import Place
from midfill.engine.stored_models import StoredModel

LAPTOP = Place(None, 22_000_000_000, 24_000_000_000, "float32")
SERVER = Place("NVIDIA H100", 79_000_000_000, 80_000_000_000, "bfloat16")
NANO = StoredModel(
    name="nano",
    path=Path("/p/nano"),
    is_embedded=True,
    kind="diffusion_gemma",
    uses=("fast", "best"),
    disk_bytes=17_000_000,
    num_weights=8_000_000,
)
BIG = msgspec.structs.replace(
    NANO, name="acme--big", path=Path("/m/acme--big"), is_embedded=False, num_weights=25_000_000_000
)
HALF = StoredModel(name="acme--half", path=Path("/m/acme--half"), is_whole=False, disk_bytes=3_000_000_000)


@pytest.fixture
def models_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    directory = tmp_path / "midfill" / "models"
    directory.mkdir(parents=True)
    return directory


@pytest.fixture
def half(models_dir: Path) -> Path:
    (models_dir / "acme--half").mkdir()
    (models_dir / "acme--half" / "model.safetensors.0123456789abcdef.part").write_bytes(bytes(5_000_000))
    return models_dir / "acme--half"


def run(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`midfill models` where nothing but `data` holds models and no engine runs."""
    command = [Path(sys.executable).with_name("midfill"), "models", *arguments]
    places = {"XDG_DATA_HOME": str(data), "XDG_RUNTIME_DIR": str(data), "XDG_CACHE_HOME": str(data)}
    environment = {**os.environ, **places, "COLUMNS": "80"}
    return subprocess.run(command, env=environment, input="", capture_output=True, text=True, check=False)


def on_disk(data: Path) -> dict[str, dict[str, Any]]:
    return {line["name"]: line for line in json.loads(run(data, "--json").stdout)["on_disk"]}


def line(listing: Listing, name: str) -> Line:
    return next(line for line in (*listing.on_disk, *listing.to_pull) if line.name == name)


def test_the_listing_names_what_is_here_and_what_could_be(tmp_path: Path, half: Path) -> None:
    result = run(tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    for name in ("● nano", f"◐ {half.name}", "○ google/gemma-4-26B-A4B-it-assistant"):
        assert name in result.stdout


def test_the_json_holds_the_figures(tmp_path: Path, half: Path, tiny_gemma4: Callable[[str], Path]) -> None:
    shutil.copytree(tiny_gemma4("31B"), half.parent / "acme--tiny")
    lines = on_disk(tmp_path)
    nano, tiny, part = lines["nano"], lines["acme--tiny"], lines["acme--half"]
    assert (nano["state"], nano["uses"], nano["path"]) == ("embedded", ["fast", "best"], str(embedded_model()))
    assert (tiny["state"], tiny["kind"], tiny["uses"], tiny["fits"]) == ("pulled", "gemma4", ["best"], True)
    assert (part["state"], part["disk_bytes"], part["fits"]) == ("half-fetched", 5_000_000, None)


def test_without_torch_it_lists_all_the_same(tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['midfill', 'models', '--json']\n"
        "from midfill.server.cli import main; main()"
    )
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path)}
    command = [sys.executable, "-c", script]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(result.stdout)["on_disk"][0]["name"] == "nano"


def test_what_fits_depends_on_the_machine_and_its_dtype() -> None:
    on_laptop, on_server = (list_models(place, [NANO, BIG], frozenset()) for place in (LAPTOP, SERVER))
    assert [line(on_laptop, name).fits for name in ("nano", "acme--big")] == [True, False]
    assert [line(on_server, name).fits for name in ("nano", "acme--big")] == [True, True]
    assert line(on_laptop, "nano").needed_bytes == 36_000_000
    assert line(on_server, "nano").needed_bytes == 18_000_000


def test_googles_models_are_told_to_fit_or_not() -> None:
    fitting = {found.name for found in list_models(LAPTOP, [], frozenset()).to_pull if found.fits}
    assert "google/gemma-4-E2B-it" in fitting
    assert "google/diffusiongemma-26B-A4B-it" not in fitting


def test_what_was_pulled_is_not_offered_again() -> None:
    pulled = msgspec.structs.replace(BIG, name="google--gemma-4-31B-it")
    listing = list_models(SERVER, [pulled], frozenset())
    assert "google/gemma-4-31B-it" not in {found.name for found in listing.to_pull}


def test_the_running_engines_model_is_named() -> None:
    assert (
        describe(list_models(LAPTOP, [NANO, BIG], frozenset({"nano", "gemma"})))[0]
        == "nano is loaded by the running engine."
    )
    assert not any("is loaded" in remark for remark in describe(list_models(LAPTOP, [NANO, BIG], frozenset())))


def test_a_model_that_cannot_be_used_is_told_why() -> None:
    broken = msgspec.structs.replace(BIG, uses=(), num_weights=None, problem="config.json: wanted x, got y")
    assert "✗ acme--big cannot be used: config.json: wanted x, got y" in describe(
        list_models(LAPTOP, [broken], frozenset())
    )


def test_a_half_fetched_model_says_how_to_go_on() -> None:
    remarks = describe(list_models(LAPTOP, [HALF], frozenset()))
    assert any("midfill models pull ORG/NAME goes on where it stopped" in remark for remark in remarks)


def test_removing_frees_the_space_and_says_how_much(tmp_path: Path, half: Path) -> None:
    result = run(tmp_path, "remove", half.name, "--yes")
    assert (result.returncode, result.stdout) == (0, "removed acme--half: 5.0 MB freed\n")
    assert not half.exists()


@pytest.mark.parametrize(("answer", "is_kept"), [("y\n", False), ("n\n", True), ("\n", True)])
def test_removing_asks(monkeypatch: pytest.MonkeyPatch, half: Path, answer: str, is_kept: bool) -> None:
    monkeypatch.setattr("sys.stdin", StringIO(answer))
    remove(half.name)
    assert half.exists() == is_kept


def test_where_nobody_answers_nothing_is_removed(tmp_path: Path, half: Path) -> None:
    result = run(tmp_path, "remove", half.name)
    assert (result.returncode, result.stdout) == (2, "")
    assert "--yes" in result.stderr
    assert half.exists()


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("nano", "which ships in the package"),
        ("nano/drafter", "which ships in the package"),
        ("acme--none", "wanted acme--half, got 'acme--none'"),
        ("acme/half", "wanted the name of its directory, acme--half"),
        ("../models/acme--half", "wanted acme--half"),
        (".", "wanted acme--half"),
        ("..", "wanted acme--half"),
        ("acme--half/", "wanted acme--half"),
        ("", "wanted acme--half"),
    ],
)
def test_only_a_pulled_model_is_removed(half: Path, name: str, complaint: str) -> None:
    with pytest.raises(InputError, match=f"NAME: .*{complaint}"):
        remove(name, yes=True)
    assert half.exists()


def test_where_nothing_was_pulled_there_is_nothing_to_remove(models_dir: Path) -> None:
    with pytest.raises(InputError, match="wanted a model that was pulled, and there is none, got 'acme--half'"):
        remove("acme--half", yes=True)


def test_of_a_linked_model_the_link_goes(tmp_path: Path, models_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "config.json").write_text("{}")
    (models_dir / "acme--linked").symlink_to(elsewhere)
    remove("acme--linked", yes=True)
    assert capsys.readouterr().out == "removed acme--linked: 0.0 MB freed\n"
    assert (elsewhere / "config.json").exists()
    assert not (models_dir / "acme--linked").is_symlink()


def test_what_cannot_be_removed_is_told(monkeypatch: pytest.MonkeyPatch, half: Path) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(shutil, "rmtree", refuse)
    with pytest.raises(InputError, match="acme--half: wanted a file that may be removed, got Permission denied"):
        remove(half.name, yes=True)
