"""Trains nano's drafter on nano's own greedy text: `python engine/nano/train_drafter.py --seconds 600`.

Needs the packed corpus and nano's weights where they are shipped, and leaves the drafter beside them. One that is there
already is trained on, which after a change of nano's weights takes minutes; `--fresh` starts anew. Time drives the
learning rate, as in `train.py`; with `--steps`, their number does, and the same seed gives the same weights.
On a busy machine set `OMP_WAIT_POLICY=passive`: threads that spin for each other took four times as long.
"""

import argparse
import logging
import time
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from contamination import WORK
from drafter_lessons import Lesson, LessonShape, draw_lessons
from drafter_rounds import accepted, loss_of
from drafter_shape import drafter_json, new_drafter, save
from examples import Corpus
from schedule import rate_scale
from tokenizers import Tokenizer
from torch import nn

from midfill.engine.causal_gemma import CausalGemma
from midfill.engine.checkpoint import load
from midfill.engine.drafter import Drafter
from midfill.engine.gemma4_checkpoint import load_drafter
from midfill.engine.installed import embedded_model
from midfill.engine.json_files import read_json

log = logging.getLogger("nano.drafter")
STEPS_A_LESSON = 6
"""As much work as one lesson is. Later steps come back to earlier lessons."""
ROWS = 8
"""Texts of a lesson in a step."""
NUM_LESSONS = 100
"""The last so many are kept: 1 GB."""
EXAM_LESSONS = 2


class Optimizer:
    """Muon for the matrices of layers and projections, AdamW for the rest."""

    def __init__(self, drafter: Drafter) -> None:
        named = list(drafter.named_parameters())
        matrices = [parameter for name, parameter in named if parameter.dim() == 2 and "embed" not in name]
        rest = [parameter for name, parameter in named if parameter.dim() != 2 or "embed" in name]
        self.parameters = matrices + rest
        self.parts = (
            torch.optim.Muon(matrices, lr=0.02, momentum=0.95, weight_decay=0.01, adjust_lr_fn="original"),
            torch.optim.AdamW(rest, lr=0.004, betas=(0.9, 0.95), weight_decay=0.0),
        )
        self.rates = [part.param_groups[0]["lr"] for part in self.parts]

    def step(self, scale: float) -> None:
        """Takes a step at `scale` times the learning rates, and forgets the gradients."""
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for part, rate in zip(self.parts, self.rates, strict=True):
            part.param_groups[0]["lr"] = rate * scale
            part.step()
            part.zero_grad()


class Clock:
    """Shares of a run that are done: of its seconds, or of its steps where their number is given."""

    def __init__(self, seconds: float, steps: int | None) -> None:
        self.seconds, self.steps = seconds, steps
        self.started, self.taken = time.monotonic(), 0

    def __iter__(self) -> Iterator[float]:
        while (share := self._share()) < 1:
            yield share
            self.taken += 1

    def _share(self) -> float:
        if self.steps is not None:
            return self.taken / self.steps
        return (time.monotonic() - self.started) / self.seconds


def train(drafter: Drafter, teacher: CausalGemma, lessons: Iterator[Lesson], clock: Clock, seed: int) -> None:
    """Steps until the clock has run down, each on some rows of one of the last lessons drawn."""
    optimizer, drawn = Optimizer(drafter), deque[Lesson](maxlen=NUM_LESSONS)
    generator = torch.Generator().manual_seed(seed)
    smooth: float | None = None
    for share in clock:
        if clock.taken % STEPS_A_LESSON == 0:
            drawn.append(next(lessons))
        lesson = drawn[int(torch.randint(len(drawn), (), generator=generator))]
        loss = loss_of(drafter, teacher, lesson.some(torch.randperm(len(lesson.tokens), generator=generator)[:ROWS]))
        loss.backward()
        optimizer.step(rate_scale(share))
        smooth = loss.item() if smooth is None else smooth * 0.97 + loss.item() * 0.03
        if clock.taken % 20 == 0:
            log.info("step %d, %.0f %%: loss %.3f", clock.taken, 100 * share, smooth)


def open_drafter(directory: Path, config: dict[str, Any], teacher: CausalGemma, is_fresh: bool) -> Drafter:
    """To be trained: the drafter that is there, or a new one, as for a target of another shape."""
    if is_fresh or not directory.exists() or read_json(directory / "config.json", dict[str, Any]) != config:
        return new_drafter(config, teacher)
    drafter = load_drafter(directory, teacher.config, torch.device("cpu"), torch.float32)
    return drafter.train().requires_grad_()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="wall time of the training")
    parser.add_argument("--steps", type=int, help="in place of seconds")
    parser.add_argument("--fresh", action="store_true", help="do not go on from the drafter that is there")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=WORK)
    parser.add_argument("--model", type=Path, default=embedded_model())
    parser.add_argument("--out", type=Path, help="by default `drafter` in the model's directory")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.manual_seed(arguments.seed)
    clock = Clock(arguments.seconds, arguments.steps)
    teacher = load(arguments.model, torch.device("cpu"), torch.bfloat16).model
    newline = Tokenizer.from_file(str(arguments.model / "tokenizer.json")).encode("\n").ids[0]
    config = drafter_json(read_json(arguments.model / "config.json", dict[str, Any]))
    out = arguments.out or arguments.model / "drafter"
    drafter = open_drafter(out, config, teacher, arguments.fresh)
    lessons = draw_lessons(teacher, Corpus(arguments.work, "train", newline), arguments.seed)
    train(drafter, teacher, lessons, clock, arguments.seed)
    save(drafter, config, out)
    exam = list(islice(draw_lessons(teacher, Corpus(arguments.work, "val", newline), 1), EXAM_LESSONS))
    log.info("held out, the first drafts all right: %s", accepted(drafter, teacher, exam, LessonShape().read))


if __name__ == "__main__":
    main()
