"""Results outlive the process, and count only where they still hold."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.benchmarks.gpu.results import Results, told_error

CARD: dict[str, Any] = {"device": "a card", "torch": "2", "date": "2026-01-01"}


def test_what_was_measured_is_not_measured_again(tmp_path: Path) -> None:
    before = Results("engine", CARD, folder=tmp_path)
    before.note(copy_gb_s=1.0)
    before.add({"what": "step", "canvas": 64, "ms": 1.5})
    after = Results("engine", CARD | {"date": "2026-01-02"}, folder=tmp_path)
    assert after.has(what="step", canvas=64)
    assert not after.has(what="step", canvas=32)
    assert after.head["copy_gb_s"] == 1.0


@pytest.mark.parametrize(("card", "force"), [(CARD | {"device": "another"}, False), (CARD, True)])
def test_another_card_or_force_begins_anew(card: dict[str, Any], force: bool, tmp_path: Path) -> None:
    Results("engine", CARD, folder=tmp_path).add({"ms": 1})
    assert not Results("engine", card, force, tmp_path).records


def test_other_sources_begin_anew(tmp_path: Path) -> None:
    Results("engine", CARD, folder=tmp_path).add({"ms": 1})
    path = tmp_path / "gpu_engine.json"
    path.write_text(path.read_text().replace(json.loads(path.read_text())["sources"], "0" * 16))
    assert not Results("engine", CARD, folder=tmp_path).records


def test_each_figure_is_copied_out_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.setenv("OUT", str(out))
    Results("kernels", CARD, folder=tmp_path / "results").add({"us": 2})
    assert json.loads((out / "gpu_kernels.json").read_text())["records"] == [{"us": 2}]


def test_an_error_is_one_line_here_and_whole_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert told_error(ValueError("first\nsecond")) == "ValueError: first"
    assert "second" in capsys.readouterr().err
