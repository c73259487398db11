"""What the hash of sources counts, and what not."""

from pathlib import Path

import pytest
from tests.benchmarks.eval.identity import meaning, model_hash, sources

CODE = '"""Says."""\n\n\ndef f(x):\n    """Gives x."""\n    return [x, "y"]\n'


@pytest.mark.parametrize("change", [("Says", "Tells"), ("Gives", "Makes"), ("    return", "    # x\n    return")])
def test_words_about_code_do_not_count(change: tuple[str, str]) -> None:
    assert meaning(CODE.replace(*change)) == meaning(CODE)


@pytest.mark.parametrize("change", [("[x", "[2 * x"), ('"y"', '"z"'), ("(x)", "(x, y=1)")])
def test_what_code_does_counts(change: tuple[str, str]) -> None:
    assert meaning(CODE.replace(*change)) != meaning(CODE)


def test_names_of_files_and_weights_count(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(CODE, encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"1")
    before = sources(tmp_path), model_hash(tmp_path)
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    (tmp_path / "model.safetensors").write_bytes(b"2")
    assert all(one != other for one, other in zip(before, (sources(tmp_path), model_hash(tmp_path)), strict=True))
