"""Kernels for a model, and their CUDA graphs: made once, when it is loaded, so that no keystroke waits for them."""

import logging
from functools import partial

import torch
from rich.console import Console
from rich.progress import track

from midfill.engine.causal_gemma import CausalGemma
from midfill.engine.device_canvas import DeviceCanvas
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.graphs import GraphPool
from midfill.engine.kernel_passes import MOST_GRAPHED, KernelPasses
from midfill.engine.packed_layers import can_pack
from midfill.engine.settings import CANVAS_SIZES, InfillSettings

log = logging.getLogger(__name__)


def give_kernels(model: CausalGemma, settings: InfillSettings) -> None:
    """From now on the passes of `model` run on kernels, on a card as graphs; if there are kernels for all its layers.

    Takes seconds, longer where Triton has not yet compiled them, and shows that on a terminal.
    """
    if not can_pack(model.config):
        log.info("this model runs without kernels")
        return
    graphs = GraphPool() if model.norm.weight.is_cuda else None
    passes = model.kernels = KernelPasses(model, graphs)
    if isinstance(model, DiffusionGemma):
        model.device_canvas = DeviceCanvas(passes, graphs)
    if graphs is not None:
        _warm_up(model, passes, settings)


@torch.inference_mode()
def _warm_up(model: CausalGemma, passes: KernelPasses, settings: InfillSettings) -> None:
    """Compiles what is not in Triton's cache, and records the graphs."""
    works = [partial(passes.warm_up, count) for count in range(1, MOST_GRAPHED + 1)]
    if isinstance(model, DiffusionGemma) and model.device_canvas is not None:
        warm_up = model.device_canvas.warm_up
        works += [partial(warm_up, *shape, settings.denoise) for shape in canvas_shapes(settings)]
    console = Console(stderr=True)
    for work in track(works, "warming up", console=console, disable=not console.is_terminal, transient=True):
        work()


def canvas_shapes(settings: InfillSettings) -> list[tuple[int, int]]:
    """Numbers and sizes of the canvases that fills come with, the smallest first."""
    numbers = {1, settings.num_finalists * settings.num_draws, settings.num_lengths}
    sizes = [size for size in CANVAS_SIZES if size <= settings.longest_canvas]
    return [(number, size) for size in sizes for number in sorted(numbers)]
