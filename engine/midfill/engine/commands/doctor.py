"""`midfill doctor`: what this machine can run and what is missing."""

import sys

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from midfill.engine.machine import Checkpoint, Cpu, Machine, examine

LARGE_MODEL = Checkpoint("DiffusionGemma 26B-A4B", 52_000_000_000)  # in bfloat16
INSTALL_ENGINE = "pip install 'midfill[engine]'"


class Finding(msgspec.Struct, frozen=True):
    """One line of the report. `remedy` says what would mend it; None where nothing needs mending."""

    subject: str
    found: str
    remedy: str | None = None


class Report(msgspec.Struct, frozen=True):
    findings: list[Finding]
    machine: Machine


def doctor(*, json: bool = False) -> None:
    """Say what this machine can run and what is missing.

    Parameters
    ----------
    json
        Print the findings and the figures behind them as JSON.
    """
    machine = examine()
    findings = diagnose(machine)
    if json:
        report = msgspec.json.encode(Report(findings, machine))
        sys.stdout.write(msgspec.json.format(report).decode() + "\n")
    else:
        Console().print(_table(findings))


def diagnose(machine: Machine) -> list[Finding]:
    """The lines of the report, in reading order. Pure."""
    return [
        Finding("Python", f"{machine.python} on {machine.system}"),
        Finding("torch", machine.torch or "none", None if machine.torch else INSTALL_ENGINE),
        *([_cpu(machine.cpu)] if machine.cpu else []),
        Finding("memory", f"{_gb(machine.free_bytes)} free of {_gb(machine.total_bytes)}"),
        *_gpus(machine),
        _embedded(machine),
        *(_fits(checkpoint, machine) for checkpoint in machine.pulled),
        _fits(LARGE_MODEL, machine),
    ]


def _cpu(cpu: Cpu) -> Finding:
    speed = f"float32 {cpu.float32_gflops:.0f}, bfloat16 {cpu.bfloat16_gflops:.0f} GFLOP/s"
    advice = "models on it are bfloat16" if cpu.has_bfloat16 else "models on it are float32"
    return Finding("CPU", f"{cpu.num_cores} cores, {cpu.num_threads} threads; {speed} a thread: {advice}")


def _gpus(machine: Machine) -> list[Finding]:
    if not machine.gpus:
        return [Finding("CUDA", "no card: models run on the CPU")]
    cards = [
        Finding("CUDA", f"{gpu.name}, {_gb(gpu.free_bytes)} free of {_gb(gpu.total_bytes)}") for gpu in machine.gpus
    ]
    remedy = None if machine.triton else "pip install triton"
    return [*cards, Finding("triton", machine.triton or "none", remedy)]


def _embedded(machine: Machine) -> Finding:
    if machine.embedded is None:
        return Finding("embedded model", "none", "reinstall midfill: its weights ship in the package")
    return _fits(Checkpoint("embedded model", machine.embedded.num_bytes), machine)


def _fits(checkpoint: Checkpoint, machine: Machine) -> Finding:
    """Whether the weights fit on the largest card, or in memory where there is none."""
    free_bytes = max((gpu.free_bytes for gpu in machine.gpus), default=machine.free_bytes)
    place = "on a card" if machine.gpus else "in memory"
    needed = _gb(checkpoint.num_bytes)
    remedy = f"a card or memory with {needed} free" if checkpoint.num_bytes > free_bytes else None
    return Finding(checkpoint.path, f"needs {needed}, {_gb(free_bytes)} free {place}", remedy)


def _gb(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB"


def _table(findings: list[Finding]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 1))
    for finding in findings:
        mark = Text("✗", "yellow") if finding.remedy else Text("✓", "green")
        advice = f"\n→ {finding.remedy}" if finding.remedy else ""
        table.add_row(mark, Text(finding.subject), Text(finding.found + advice))
    return table
