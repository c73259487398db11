"""The real command in a subprocess, and the diagnosis of machines that are not at hand."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec

from midfill.engine.commands.doctor import diagnose
from midfill.engine.machine import Checkpoint, Cpu, Gpu, Machine

BARE = Machine(
    python="3.11.7",
    system="Linux x86_64",
    free_bytes=22_000_000_000,
    total_bytes=24_000_000_000,
    torch=None,
    triton=None,
    cpu=None,
    gpus=(),
    embedded=None,
    pulled=(),
)
LAPTOP = msgspec.structs.replace(
    BARE,
    torch="2.13.0",
    cpu=Cpu(8, 8, 400.0, 410.0, has_bfloat16=False),
    embedded=Checkpoint("/p/embedded", 50_000_000),
)
H100 = Gpu("NVIDIA H100", 79_000_000_000, 80_000_000_000)
SERVER = msgspec.structs.replace(
    LAPTOP, triton="3.4.0", gpus=(H100,), pulled=(Checkpoint("/m/acme--big", 100_000_000_000),)
)


def remedies(machine: Machine) -> dict[str, str]:
    return {finding.subject: finding.remedy for finding in diagnose(machine) if finding.remedy}


def found(machine: Machine, subject: str) -> str:
    return next(finding.found for finding in diagnose(machine) if finding.subject == subject)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [Path(sys.executable).with_name("midfill"), "doctor", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_reports_this_machine() -> None:
    result = run()
    assert (result.returncode, result.stderr) == (0, "")
    assert "DiffusionGemma 26B-A4B" in result.stdout


def test_the_json_holds_findings_and_figures() -> None:
    result = run("--json")
    report = json.loads(result.stdout)
    assert result.returncode == 0
    assert report["machine"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"Python", "torch", "CPU", "memory"} <= {finding["subject"] for finding in report["findings"]}


def test_without_torch_it_still_reports() -> None:
    script = (
        "import sys; sys.modules['torch'] = None; sys.argv = ['midfill', 'doctor']\n"
        "from midfill.server.cli import main; main()"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert "pip install 'midfill[engine]'" in result.stdout


def test_a_bare_install_is_told_what_to_install() -> None:
    assert remedies(BARE)["torch"] == "pip install 'midfill[engine]'"
    assert remedies(BARE)["embedded model"] == "reinstall midfill: its weights ship in the package"


def test_a_laptop_runs_the_embedded_model_and_not_the_large_one() -> None:
    assert set(remedies(LAPTOP)) == {"DiffusionGemma 26B-A4B"}
    assert found(LAPTOP, "CPU").endswith("models on it are float32")


def test_a_card_runs_the_large_model_and_not_one_that_exceeds_it() -> None:
    assert set(remedies(SERVER)) == {"/m/acme--big"}
    assert found(SERVER, "DiffusionGemma 26B-A4B") == "needs 52.0 GB, 79.0 GB free on a card"


def test_a_card_without_triton_is_told() -> None:
    assert remedies(msgspec.structs.replace(SERVER, triton=None))["triton"] == "pip install triton"
