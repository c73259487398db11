import os
import platform
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from midfill.engine.machine import working_dtype
from midfill.engine.memory import Place, find_place, fits, free_bytes, needed_bytes

GB = 1_000_000_000


def test_a_model_needs_its_weights_and_room_to_be_used() -> None:
    assert needed_bytes(8 * GB) == 9 * GB


def test_a_large_model_needs_no_more_room_than_kv_and_logits_take() -> None:
    assert needed_bytes(52 * GB) - 52 * GB == needed_bytes(500 * GB) - 500 * GB == 5 << 30


def test_no_model_fits_without_room_beside_its_weights() -> None:
    assert fits(8 * GB, 9 * GB)
    assert not fits(8 * GB, 9 * GB - 1)
    assert fits(0, 0)


def test_weights_take_two_or_four_bytes() -> None:
    assert Place("H100", 79 * GB, 80 * GB, "bfloat16").weight_bytes(GB) == 2 * GB
    assert Place(None, 20 * GB, 24 * GB, "float32").weight_bytes(GB) == 4 * GB


def test_the_place_is_where_the_loader_puts_models() -> None:
    place = find_place()
    assert (place.card is not None) == torch.cuda.is_available()
    assert 0 < place.free_bytes <= place.total_bytes


def test_the_dtype_is_the_one_that_the_loader_takes() -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    assert find_place().dtype == str(working_dtype(device)).removeprefix("torch.")


def test_free_memory_of_the_cpu_is_the_machines() -> None:
    assert 0 < free_bytes(torch.device("cpu")) <= psutil.virtual_memory().total


@pytest.mark.gpu
def test_free_memory_of_a_card_is_the_cards() -> None:
    device = torch.device("cuda")
    before = free_bytes(device)
    taken = torch.empty(1 << 28, dtype=torch.uint8, device=device)
    assert before - free_bytes(device) >= taken.numel()


@pytest.mark.skipif(any(Path("/dev").glob("nvidia[0-9]*")), reason="there is a card to ask about")
def test_without_a_card_no_torch_is_imported() -> None:
    script = "import sys; from midfill.engine.memory import find_place; find_place(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], env={**os.environ, "PATH": ""}, check=True)


FAULTS = """
import resource, sys, torch
from midfill.engine.memory import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
for _ in range(6):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    pieces = [torch.ones(1 << 18) for _ in range(32)]  # 32 MB
    del pieces
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")
def test_freed_memory_is_used_again_without_asking_the_system() -> None:
    # What glibc begins with; it raises both by itself, at times at once.
    as_it_is = {"MALLOC_MMAP_THRESHOLD_": str(1 << 17), "MALLOC_TRIM_THRESHOLD_": str(1 << 17)}

    def faults(way: str) -> int:
        command, environment = [sys.executable, "-c", FAULTS, way], {**os.environ, **as_it_is}
        return int(subprocess.run(command, check=True, capture_output=True, env=environment).stdout)

    assert faults("kept") < faults("as it is") / 20  # of 8,192 pages, or fewer where the kernel gives larger ones
