"""Trains nano: `torchrun --standalone --nproc-per-node=2 engine/nano/train.py --seconds 7200`, one process a core.

Resumes from its last checkpoint after an interruption, or after a piece of the run, where a machine is lent for minutes
only (`--piece-s`). Where there is none, `--weights` starts from an exported model. Time, not steps, drives the learning
rate, so the run ends when its seconds are used up, on whatever machine it is.
"""

import argparse
import json
import logging
import math
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from contamination import WORK
from examples import Corpus, Examples
from export import exported_weights, write_weights
from losses import losses
from mixture import Feed, batches, fed
from muon import Muon
from safetensors import safe_open
from safetensors.torch import save_file
from schedule import Schedule, rate_scale
from shapes import config_json
from tokenizers import Tokenizer
from torch import Tensor, nn
from train_tokenizer import DEFAULT_OUT

from midfill.engine.config import parse_config
from midfill.engine.diffusion_gemma import DiffusionGemma
from midfill.engine.gemma4 import DecoderLayer
from midfill.engine.machine import working_dtype

log = logging.getLogger("nano")
WARM_UP_STEPS = 100
"""A run's first, at a rate that rises. Not by time: on a card, layers are compiled during the first two."""


def new_model(shape: str, vocab_size: int) -> DiffusionGemma:
    """A nano of `shape` with fresh weights, float32."""
    model = DiffusionGemma(parse_config(config_json(shape, vocab_size), Path("config.json")))
    for name, parameter in model.named_parameters():
        if "q_norm" in name or "k_norm" in name:
            # Scores are not divided by sqrt(head size): unit norms would start with a softmax that is one-hot.
            nn.init.constant_(parameter, 0.42)
        elif "post_attention_layernorm" in name or name.endswith("post_feedforward_layernorm.weight"):
            nn.init.constant_(parameter, 0.5)
        elif parameter.dim() >= 2:
            nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
    return model


def compile_layers(model: DiffusionGemma) -> None:
    """Fuses the element-wise work of the layers where a compiler is at hand.

    Six steps of S8 then take 20.7 s, and 22.1 s without (float32, a core of an EPYC), after two minutes of compiling.
    """
    if shutil.which("g++") is None:
        log.warning("no g++: training runs uncompiled, and more slowly")
        return
    # What cannot be compiled runs as it is: a card is lent for too few minutes to end there. Streams have two lengths,
    # so sizes are symbols; layers of a kind share what is compiled.
    torch._dynamo.config.suppress_errors = True
    torch._dynamo.config.recompile_limit = 64
    for layer in model.layers:
        assert isinstance(layer, DecoderLayer)
        layer.feed_forward = torch.compile(layer.feed_forward, dynamic=True)
        layer.self_attn.project = torch.compile(layer.self_attn.project, dynamic=True)


class Optimizer:
    """Muon for the matrices of layers and experts, AdamW for the rest, on float32 masters of a model of any dtype."""

    def __init__(self, model: DiffusionGemma) -> None:
        self.working = dict(model.named_parameters())
        self.masters = {name: p.detach().clone().float().requires_grad_() for name, p in self.working.items()}
        muon = [p for name, p in self.masters.items() if p.dim() >= 2 and "embed" not in name and "router" not in name]
        rest = [p for p in self.masters.values() if all(p is not other for other in muon)]
        self.parts: dict[str, torch.optim.Optimizer] = {
            "muon": Muon(muon, lr=0.02, momentum=0.95, weight_decay=0.03, dtype=next(model.parameters()).dtype),
            "adamw": torch.optim.AdamW(rest, lr=0.003, betas=(0.9, 0.95), weight_decay=0.0),
        }
        self.rates = {name: part.param_groups[0]["lr"] for name, part in self.parts.items()}

    def step(self, scale: float, workers: int) -> None:
        """Averages the gradients over `workers`, clips them, steps at `scale` times the learning rates."""
        for name, parameter in self.working.items():
            grad = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
            self.masters[name].grad = grad.float()
            parameter.grad = None
        if workers > 1:
            flat = torch.cat([master.grad.flatten() for master in self.masters.values()])  # type: ignore[union-attr]
            dist.all_reduce(flat)
            pieces = (flat / workers).split([master.numel() for master in self.masters.values()])
            for master, piece in zip(self.masters.values(), pieces, strict=True):
                master.grad = piece.view_as(master)
        nn.utils.clip_grad_norm_(self.masters.values(), 1.0)
        for name, part in self.parts.items():
            part.param_groups[0]["lr"] = self.rates[name] * scale
            part.step()
        self.publish()

    @torch.no_grad()
    def publish(self) -> None:
        """Copies the masters into the model."""
        for name, parameter in self.working.items():
            parameter.copy_(self.masters[name])

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Everything that a resumed run needs, by name."""
        for name, master in self.masters.items():
            yield f"master.{name}", master.detach()
        for part, optimizer in self.parts.items():
            for index, state in optimizer.state_dict()["state"].items():
                for key, value in state.items():
                    yield f"{part}.{index}.{key}", value

    def weights(self) -> dict[str, Tensor]:
        """The masters, on the CPU."""
        return {name: master.detach().cpu() for name, master in self.masters.items()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, master in self.masters.items():
                master.copy_(tensors[f"master.{name}"])
        for part, optimizer in self.parts.items():
            state: dict[int, dict[str, Tensor]] = {}
            for name, tensor in tensors.items():
                if name.startswith(f"{part}."):
                    _, index, key = name.split(".", 2)
                    state.setdefault(int(index), {})[key] = tensor
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        self.publish()


def start_from(directory: Path, optimizer: Optimizer) -> None:
    """Gives the masters the weights of an exported model of the same shape; the optimizer's moments stay fresh."""
    weights = exported_weights(directory)
    if {name: w.shape for name, w in weights.items()} != {name: m.shape for name, m in optimizer.masters.items()}:
        raise ValueError(f"a model of the shape to be trained is wanted, the one in {directory} has another")
    with torch.no_grad():
        for name, master in optimizer.masters.items():
            master.copy_(weights[name])
    optimizer.publish()


def validate(model: DiffusionGemma, corpus: Corpus, pairs: int = 2) -> tuple[float, float]:
    """Mean (denoising, causal) loss over the same held-out batches each time.

    Of each pair, one conditions on a first prediction.
    """
    examples, device = Examples(corpus, np.random.default_rng(1)), model.norm.weight.device
    generator = torch.Generator(device).manual_seed(1)
    with torch.no_grad():
        found = [
            losses(model, batches(examples, 16, 256).to(device), generator, temperature)
            for temperature in [None, 0.7] * pairs
        ]
    return tuple(float(torch.stack(column).mean()) for column in zip(*found, strict=True))  # type: ignore[return-value]


class Run:
    """A run, or a piece of one that goes on from the checkpoint of the last: what is trained, and how far it is.

    `arguments` are those of `main`; `rank` of `workers` processes train together.
    """

    def __init__(self, arguments: argparse.Namespace, rank: int, workers: int) -> None:
        self.arguments, self.rank, self.workers = arguments, rank, workers
        self.began = time.monotonic()
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        tokenizer = Tokenizer.from_file(str(arguments.tokenizer))
        newline = tokenizer.encode("\n").ids
        assert len(newline) == 1, "the tokenizer must have a token for one newline"
        torch.manual_seed(arguments.seed)
        self.model = new_model(arguments.shape, tokenizer.get_vocab_size()).to(device).to(working_dtype(device))
        self.optimizer = Optimizer(self.model)
        compile_layers(self.model)
        if arguments.weights is not None:
            start_from(arguments.weights, self.optimizer)
        self.checkpoint = arguments.work / f"{arguments.shape}.checkpoint.safetensors"
        self.curve = Curve(arguments.work / f"{arguments.shape}.curve.jsonl")
        self.step, spent_s, self.tokens = _resume(self.checkpoint, self.optimizer)
        self.schedule = Schedule(arguments.seconds, spent_s, time.monotonic())
        self.held_out = Corpus(arguments.work, "val", newline[0])
        seed = [arguments.seed, self.step, rank]
        feed = Feed(arguments.work, newline[0], arguments.documents, self.schedule, [*seed, 0], workers)
        self.batches = fed(feed, arguments.readers, pinned=device.type == "cuda")
        self.coin = np.random.default_rng([*seed, 1])
        self.generator = torch.Generator(device).manual_seed(int(self.coin.integers(1 << 62)))
        self.smooth: Tensor | None = None
        """Both losses, [2]; on the device until they are logged, or each step would wait for a card."""

    def train(self) -> None:
        """Ends with the run, or with what of it fits into `piece_s`, and leaves a checkpoint.

        Raises FloatingPointError where the loss is no longer finite; the checkpoint is then the last one's.
        """
        if self.rank == 0:
            self.curve.cut_after(self.step)
        saved = time.monotonic()
        while True:
            elapsed_s = self.schedule.elapsed_s()
            is_over = time.monotonic() - self.began > self.arguments.piece_s
            share = _agree(1.0 if is_over else self.schedule.share(), self.workers)
            if self.rank == 0 and (share >= 1 or time.monotonic() - saved > self.arguments.save_every_s):
                self.save(elapsed_s)
                saved = time.monotonic()
            if share >= 1:
                return
            self.learn(share)
            if self.rank == 0 and self.step % 20 == 0:
                denoising, causal = self.last_losses()
                self.curve.add(self.step, elapsed_s, self.tokens, denoising=denoising, causal=causal)

    def learn(self, share: float) -> None:
        """A step on the next batch, after `share` of the run."""
        batch = next(self.batches).to(self.generator.device)
        temperature = self.coin.uniform(0.4, 1.0) if self.coin.random() < 0.5 else None
        denoising, causal = losses(self.model, batch, self.generator, temperature)
        (denoising + causal).backward()
        warm = min(1.0, (self.step + 1) / WARM_UP_STEPS)
        self.optimizer.step(self.arguments.rate * rate_scale(share) * warm, self.workers)
        self.step += 1
        self.tokens += self.workers * (batch.stream.numel() + batch.canvas.numel())
        now = torch.stack((denoising.detach(), causal.detach()))
        self.smooth = now if self.smooth is None else self.smooth * 0.97 + now * 0.03

    def last_losses(self) -> list[float]:
        """[denoising, causal], smoothed; empty before the first step."""
        found = [] if self.smooth is None else self.smooth.tolist()
        if not all(map(math.isfinite, found)):
            raise FloatingPointError(f"finite losses are wanted, at step {self.step} they are {found}")
        return found

    def save(self, elapsed_s: float) -> None:
        """Leaves a checkpoint, and weights and loss curve in `out`: all that is left of a machine that goes back."""
        self.last_losses()  # raises
        _save(self.checkpoint, self.optimizer, self.step, elapsed_s, self.tokens)
        denoising, causal = validate(self.model, self.held_out)
        self.curve.add(self.step, elapsed_s, self.tokens, val_denoising=denoising, val_causal=causal)
        if (out := self.arguments.out) is not None:
            out.mkdir(parents=True, exist_ok=True)
            write_weights(self.optimizer.weights(), self.arguments.shape, out)
            shutil.copy(self.curve.path, out)


class Curve:
    """The loss curve, a JSON line an entry, in the log as well."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, step: int, elapsed_s: float, tokens: int, **losses: float) -> None:
        """Appends the losses [nats] after `step`."""
        entry = {"step": step, "seconds": round(elapsed_s), "tokens": tokens}
        entry |= {name: round(value, 4) for name, value in losses.items()}
        log.info("%s", entry)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def cut_after(self, step: int) -> None:
        """Drops what a run wrote after `step`, its last checkpoint: the resumed run writes it again."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        kept = [line for line in lines if json.loads(line)["step"] <= step]
        self.path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


def _agree(share: float, workers: int) -> float:
    """Worker 0's share, so that all take the same branch."""
    value = torch.tensor(share)
    if workers > 1:
        dist.broadcast(value, 0)
    return float(value)


def _save(path: Path, optimizer: Optimizer, step: int, spent_s: float, tokens: int) -> None:
    """Atomic: an interruption leaves the older checkpoint."""
    fresh = path.with_suffix(".new")
    metadata = {"step": str(step), "seconds": str(spent_s), "tokens": str(tokens)}
    save_file({name: tensor.contiguous() for name, tensor in optimizer.tensors()}, fresh, metadata)
    fresh.replace(path)


def _resume(path: Path, optimizer: Optimizer) -> tuple[int, float, int]:
    """(steps, seconds, tokens) done by the run that left a checkpoint at `path`; zeros without one."""
    if not path.exists():
        return 0, 0.0, 0
    with safe_open(path, "pt") as file:
        optimizer.restore({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 (not a dict)
        metadata = file.metadata()
    log.info("resuming after step %s", metadata["step"])
    return int(metadata["step"]), float(metadata["seconds"]), int(metadata["tokens"])


def main() -> None:
    has_card = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", default="M24" if has_card else "S8")
    parser.add_argument(
        "--seconds", type=float, default=7200, help="wall time of the whole run, resumed parts included"
    )
    parser.add_argument("--piece-s", type=float, default=math.inf, help="wall time of this piece of it")
    parser.add_argument(
        "--documents", type=int, default=240 if has_card else 8, help="streams of 256 tokens a worker and step"
    )  # not 256: sizes that are equal by chance would be one symbol to the compiler, and streams of 512 compile anew
    readers = max(1, min(6, (os.cpu_count() or 1) - 2)) if has_card else 0
    parser.add_argument("--readers", type=int, default=readers, help="processes that make batches ahead")
    parser.add_argument("--rate", type=float, default=1.0, help="factor of all learning rates")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where weights and loss curve go at each checkpoint, too")
    parser.add_argument("--weights", type=Path, help="an exported model to start from, without a checkpoint")
    parser.add_argument("--save-every-s", type=float, default=150 if has_card else 300, help="between checkpoints")
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--tokenizer", type=Path, default=DEFAULT_OUT)
    arguments = parser.parse_args()
    rank, workers = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    logging.basicConfig(level=logging.INFO if rank == 0 else logging.WARNING, format="%(asctime)s %(message)s")
    if workers > 1 and has_card:
        parser.error("one process is wanted where there is a card, each would take all of it")
    if workers > 1:
        torch.set_num_threads(1)
        dist.init_process_group("gloo")
    Run(arguments, rank, workers).train()
    if workers > 1:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
