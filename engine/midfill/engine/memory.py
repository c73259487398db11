"""Whether a model fits where models run here. Says so without torch, unless there is a card to ask about."""

import ctypes
import platform
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec
import psutil

from midfill.engine.machine import Gpu, gpus, has_bfloat16

if TYPE_CHECKING:
    import torch

ROOM_SHARE = 8
MOST_ROOM_BYTES = 5 << 30
"""A large model's room, by Google's 26B-A4B:

    2.0 GiB  K and V of all documents, `infill.KV_BYTES`
    1.5      what graphs work in: logits of 2,048 canvas positions are 1.0, their experts' results and attention's
             parts most of the rest
    0.8      scoring, which has 256 positions' logits three times over; a prompt's passes work in the same memory
    0.2      canvases' states, 0.1, and the workspaces of the library's products, 32 MiB a stream

are 4.5, and some is lost between pieces.
"""

DEVICES = ("nvidia[0-9]*", "kfd", "dxg")
"""What the drivers of cards that torch can use put into /dev: NVIDIA's, AMD's and that of Windows under Linux."""

KEPT_BYTES = 256 << 20
"""Freed memory that stays with the process."""
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's `mallopt`."""
LARGEST_KEPT_BYTES = 32 << 20
"""Of one piece: glibc takes no more."""


class Place(msgspec.Struct, frozen=True):
    """Where the engine loads models: the first card, or memory where there is none. `dtype` is that of the weights."""

    card: str | None
    free_bytes: int
    total_bytes: int
    dtype: Literal["bfloat16", "float32"]

    def weight_bytes(self, num_weights: int) -> int:
        return num_weights * (2 if self.dtype == "bfloat16" else 4)


def find_place() -> Place:
    """This machine's, with what is free now. Where it has a card, that takes as long as importing torch."""
    if cards := _cards():
        return Place(cards[0].name, cards[0].free_bytes, cards[0].total_bytes, "bfloat16")
    memory = psutil.virtual_memory()
    return Place(None, memory.available, memory.total, "bfloat16" if has_bfloat16() else "float32")


def free_bytes(device: "torch.device") -> int:
    """What is free now on a card, or in memory for the CPU."""
    if device.type != "cuda":
        return psutil.virtual_memory().available
    import torch

    return torch.cuda.mem_get_info(device)[0]


def keep_freed_memory() -> None:
    """Has the C library keep what is freed, for what is next wanted.

    glibc gives larger pieces back to the system, and then takes each page anew: 1,500 to 2,600 of them a fill of the
    embedded model, 4 ms of 100. Other libraries have no such setting.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        library.mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT_BYTES)


def needed_bytes(weight_bytes: int) -> int:
    """What a model takes while it is used: its weights, and room for KV and logits. Pure."""
    return weight_bytes + min(weight_bytes // ROOM_SHARE, MOST_ROOM_BYTES)


def fits(weight_bytes: int, free_bytes: int) -> bool:
    """Whether a model of so many bytes of weights can be loaded and used there. Pure."""
    return needed_bytes(weight_bytes) <= free_bytes


def _cards() -> tuple[Gpu, ...]:
    has_driver = shutil.which("nvidia-smi") or any(any(Path("/dev").glob(name)) for name in DEVICES)
    return gpus() if has_driver and find_spec("torch") else ()
