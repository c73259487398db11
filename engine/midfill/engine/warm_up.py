"""Kernels for a model, and their CUDA graphs: made once, when it is loaded, so that no keystroke waits for them."""

import logging
from functools import partial
from subprocess import CalledProcessError

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from midfill.engine.causal_gemma import CausalGemma
from midfill.engine.device_canvas import ROWS, DeviceCanvas, rows_for
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.drafter import Drafter
from midfill.engine.graphs import GraphPool
from midfill.engine.infill import MOST_DRAFTS
from midfill.engine.kernel_drafter import KernelDrafter
from midfill.engine.kernel_passes import MOST_GRAPHED, KernelPasses
from midfill.engine.kv import KVSlot
from midfill.engine.packed_layers import can_pack
from midfill.engine.settings import InfillSettings
from midfill.kernels.rms_norm import rms_norm

log = logging.getLogger(__name__)

PREFILLS = (9, 13, 17, 33, 53, 97, 171, 177, 342, 683)
"""Tokens of prompts that between them want the kernels of all reads of up to 1,024, by 26B-A4B: a kernel is built for
its tile and for a power of two of splits."""
SCORINGS = ((2, 1), (3, 3))
"""What fills that are compared want beside them: how many, and their tokens."""


def give_kernels(model: CausalGemma, settings: InfillSettings, drafter: Drafter | None = None) -> None:
    """From now on the passes of `model` run on kernels, on a card as graphs; if there are kernels for all its layers.

    So do the drafts of its `drafter`. Takes seconds, longer where Triton has not yet compiled them, and shows that on
    a terminal.
    """
    if not can_pack(model.config):
        log.info("this model runs without kernels")
        return
    if not _can_build(model.norm.weight.detach()):
        return
    graphs = GraphPool() if model.norm.weight.is_cuda else None
    passes = model.kernels = KernelPasses(model, graphs)
    if isinstance(model, DiffusionGemma):
        model.device_canvas = DeviceCanvas(passes, graphs)
    drafts = KernelDrafter(drafter, model) if drafter is not None and can_pack(drafter.config) else None
    if drafter is not None:
        drafter.kernels = drafts
    if graphs is not None:
        _warm_up(model, passes, settings, drafts)


def _can_build(weight: Tensor) -> bool:
    """Whether kernels start here: to build what starts them, Triton needs a C compiler and Python's headers."""
    try:
        rms_norm(weight[None], None, 1e-6)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, OSError, CalledProcessError) as error:
        log.warning("models run without kernels, more slowly: Triton cannot build them: %s", error)
        return False
    return True


@torch.inference_mode()
def _warm_up(model: CausalGemma, passes: KernelPasses, settings: InfillSettings, drafts: KernelDrafter | None) -> None:
    """Compiles what is not in Triton's cache, and records the graphs."""
    works = [partial(passes.warm_up, count) for count in (*range(1, MOST_GRAPHED + 1), *PREFILLS)]
    works += [partial(_read_rows, passes, *shape) for shape in SCORINGS]
    if isinstance(model, DiffusionGemma) and model.device_canvas is not None:
        warm_up = model.device_canvas.warm_up
        works += [partial(warm_up, *shape, settings.denoise) for shape in canvas_shapes(settings)]
    if drafts is not None:
        works += [partial(drafts.warm_up, count) for count in range(MOST_DRAFTS, 0, -1)]
    console = Console(stderr=True)
    for work in track(works, "warming up", console=console, disable=not console.is_terminal, transient=True):
        work()


def _read_rows(passes: KernelPasses, num_rows: int, num_tokens: int) -> None:
    slot = KVSlot(passes.config, passes.weight.device, passes.weight.dtype)
    passes.read_rows(slot, torch.zeros(num_rows, num_tokens, dtype=torch.int64, device=slot.device))


def canvas_shapes(settings: InfillSettings) -> list[tuple[int, int]]:
    """Numbers and sizes of the canvases that fills come with, those of most positions first.

    So graphs of fewer work in the memory of the first: in the other order, each has to add to it.
    """
    most = min(ROWS[-1], max(settings.num_lengths, settings.num_finalists * settings.num_draws))
    numbers = {rows_for(number) for number in range(1, most + 1)}
    sizes = {settings.canvas_size(hole) for hole in range(1, settings.longest_hole + 1)}
    shapes = [(number, size) for number in numbers for size in sizes]
    return sorted(shapes, key=lambda shape: (shape[0] * shape[1], shape), reverse=True)
