"""The loop that trains every network here: optimiser, schedule, several devices, checkpoints, early stop.

What a training learns from is maps and a loss. The loss is a module called with the network and a `Batch` of cubes
cut from the maps; it returns one number, the mean over the cubes. All random numbers of a training come from
`Plan.seed` and the number of the step, so that a training resumed from a checkpoint, on the same device, ends in
the same bits as one that was never interrupted. That holds on processors; on CUDA devices some of cuDNN's
convolutions add in an order that changes from run to run, unless `torch.use_deterministic_algorithms(True)` is
set, at a cost in speed.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from blake3 import blake3
from torch import Tensor, nn

from mpop.errors import InputError, RefinementError, StateError
from mpop.formats.files import replacing
from mpop.networks.cubes import Places, Split
from mpop.networks.devices import Arithmetic
from mpop.networks.replicas import Portion, Replicas
from mpop.run import Progress, silent
from mpop_store.durable import fsync

HELD_OUT_PORTIONS = 8
"""Micro-batches on which a network is judged; always the same ones."""
RISE = 0.3
"""Part of the steps in which the learning rate rises to its highest; after that it falls to nothing."""


@dataclass(frozen=True)
class Plan:
    """How long and how fast to learn.

    batch: cubes per step, of which at most micro_batch are in memory at once on each device. learning_rate: of
    AdamW at its highest, after `RISE` of the steps (one-cycle schedule). longest_gradient: longer ones are
    shortened to this. check_every: steps from one checkpoint, and one judgement by the held-out cubes, to the
    next. patience: judgements without improvement after which training stops; those made while the learning rate
    rises do not count, as a rate that rises makes any network worse before it can make it better.
    """

    steps: int = 1000
    batch: int = 4
    micro_batch: int = 2
    learning_rate: float = 1e-3
    longest_gradient: float = 1.0
    check_every: int = 100
    patience: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises InputError for a number that no training can have."""
        for name in ("steps", "batch", "micro_batch", "check_every", "patience"):
            if getattr(self, name) < 1:
                raise InputError(f"{name.replace('_', '-')} {getattr(self, name)}: it must be at least 1")
        for name in ("learning_rate", "longest_gradient"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name.replace('_', '-')} {getattr(self, name):g}: it must be above 0")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"seed {self.seed}: it must be a whole number from 0 to 2^63 - 1")


@dataclass
class Course:
    """How a training went: at each check, the step and the mean loss since the check before.

    held_out: the loss on cubes that training never saw, at the same steps; empty when there were none. best_step:
    the step whose network was kept, from the highest learning rate on. stopped_early: the held-out cubes got no
    better.
    """

    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    held_out: list[float] = field(default_factory=list)
    best_step: int = 0
    stopped_early: bool = False


def train(
    network: nn.Module,
    loss: nn.Module,
    maps: Tensor,
    cubes: Split,
    plan: Plan,
    arithmetics: Sequence[Arithmetic],
    checkpoint: Path | None = None,
    resume: bool = False,
    progress: Progress = silent,
) -> Course:
    """Train a network, which is left on the first device in the state that did best on the held-out cubes.

    loss: called with a function that applies the network to (batch, 1, z, y, x) and a Batch of cubes of the maps
    (maps, z, y, x). checkpoint: a file, replaced at every check; an interruption leaves the last one. resume: go
    on from that file if there is one.

    Raises StateError for a checkpoint of another training, RefinementError when the loss is not finite.
    """
    return _Training(network, loss, maps, cubes, plan, arithmetics, checkpoint).run(resume, progress)


class _Training:
    def __init__(
        self,
        network: nn.Module,
        loss: nn.Module,
        maps: Tensor,
        cubes: Split,
        plan: Plan,
        arithmetics: Sequence[Arithmetic],
        checkpoint: Path | None,
    ) -> None:
        self.name = _name(network, loss, maps, cubes, plan)
        self.cubes, self.plan, self.checkpoint = cubes, plan, checkpoint
        self.replicas = Replicas(network, loss, maps, arithmetics)
        self.network = self.replicas.first.network
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=plan.learning_rate)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, plan.learning_rate, total_steps=plan.steps, pct_start=RISE
        )
        half = arithmetics[0].multiply == torch.float16
        self.scaler = torch.amp.GradScaler(arithmetics[0].device.type, enabled=half)
        self.course = Course()
        self.step = 0
        self.losses: list[float] = []
        self.best = math.inf
        self.best_state: dict[str, Tensor] = {}

    def run(self, resume: bool, progress: Progress) -> Course:
        if resume and self.checkpoint is not None and self.checkpoint.is_file():
            self._load(self.checkpoint)
        plan = self.plan
        self.network.train()
        while self.step < plan.steps and not self.course.stopped_early:
            progress("train", self.step, plan.steps)
            self._advance()
            if self.step % plan.check_every == 0 or self.step == plan.steps:
                self._check()
        progress("train", plan.steps, plan.steps)
        if self.best_state:
            self.network.load_state_dict(self.best_state)
        self.network.eval()
        return self.course

    def _advance(self) -> None:
        loss = self.replicas.gradients(self._portions(), self.scaler.get_scale())
        if not math.isfinite(loss):
            raise RefinementError(f"training: the loss is {loss} at step {self.step}; try a lower learning rate")
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.network.parameters(), self.plan.longest_gradient)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.schedule.step()
        self.losses.append(loss)
        self.step += 1

    def _portions(self) -> list[Portion]:
        plan, places = self.plan, self.cubes.training
        draw = np.random.default_rng((plan.seed, 0, self.step))
        chosen = places.centres[draw.integers(len(places.centres), size=plan.batch)]
        parts = [chosen[first : first + plan.micro_batch] for first in range(0, plan.batch, plan.micro_batch)]
        return [
            Portion(part, places.edge, (plan.seed, 0, self.step, number), len(part) / plan.batch)
            for number, part in enumerate(parts)
        ]

    def _check(self) -> None:
        course = self.course
        course.steps.append(self.step)
        course.losses.append(float(np.mean(self.losses)))
        self.losses = []
        if self.cubes.held_out is None:
            course.best_step = self.step
        else:
            course.held_out.append(self._judge(self.cubes.held_out))
            self._keep_best(course.held_out[-1])
        if self.checkpoint is not None:
            self._save(self.checkpoint)

    def _judge(self, places: Places) -> float:
        plan = self.plan
        draw = np.random.default_rng((plan.seed, 1))
        self.network.eval()
        total = 0.0
        with torch.no_grad():
            for number in range(HELD_OUT_PORTIONS):
                chosen = places.centres[draw.integers(len(places.centres), size=plan.micro_batch)]
                portion = Portion(chosen, places.edge, (plan.seed, 1, number), 1 / HELD_OUT_PORTIONS)
                total += self.replicas.first.value(portion).item()
        self.network.train()
        return total

    def _keep_best(self, held_out: float) -> None:
        course = self.course
        if self.step < RISE * self.plan.steps:  # a network that has hardly moved yet is not to be the best
            return
        if held_out < self.best:
            self.best, course.best_step = held_out, self.step
            self.best_state = {key: value.cpu().clone() for key, value in self.network.state_dict().items()}
        course.stopped_early = self.step - course.best_step >= self.plan.patience * self.plan.check_every

    def _save(self, path: Path) -> None:
        state = {
            "training": self.name,
            "step": self.step,
            "best": self.best,
            "best_state": self.best_state,
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "course": asdict(self.course),
        }
        content = io.BytesIO()
        torch.save(state, content)  # not into the file: of a full disk torch makes an error without a name
        with replacing(path) as new:
            new.write_bytes(content.getbuffer())
            fsync(new)
        fsync(path.parent)

    def _load(self, path: Path) -> None:
        state = _read(path)
        if state["training"] != self.name:
            raise StateError(
                f"{path}: a checkpoint of another training (other maps or settings); remove {path.parent}"
            )
        self.step, self.best, self.best_state = state["step"], state["best"], state["best_state"]
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])
        self.course = Course(**state["course"])


def _read(path: Path) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch names no type for what a damaged file makes it raise
        raise InputError(f"{path}: not a checkpoint ({str(error).splitlines()[0]})") from error
    if not isinstance(state, dict) or "training" not in state:
        raise InputError(f"{path}: not a checkpoint of a training")
    return state


def _name(network: nn.Module, loss: nn.Module, maps: Tensor, cubes: Split, plan: Plan) -> str:
    """Of a training, from all that its result depends on except the device."""
    digest = blake3(repr((plan, network, loss, tuple(maps.shape))).encode())
    held_out = [] if cubes.held_out is None else [cubes.held_out.centres]
    tensors = [maps, *network.state_dict().values(), *loss.state_dict().values()]
    for array in (cubes.training.centres, *held_out, *(tensor.detach().cpu().numpy() for tensor in tensors)):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
