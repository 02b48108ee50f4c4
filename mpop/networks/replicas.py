"""Gradients of one step, from micro-batches shared out among devices."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mpop.networks.cubes import Centres, cut
from mpop.networks.devices import Arithmetic


@dataclass(frozen=True)
class Batch:
    """What a loss is computed on: cubes (cubes, maps, z, y, x), on the device, and where to draw chance from.

    draw gives the same numbers whenever the same step of the same training is made, on any device.
    """

    cubes: Tensor
    draw: np.random.Generator


@dataclass(frozen=True)
class Portion:
    """A micro-batch: cubes that are in memory together, and the part of the step's gradient that they make."""

    centres: Centres
    edge: int
    seed: tuple[int, ...]
    weight: float


class Replica:
    """A network, a loss and the maps on one device."""

    def __init__(self, network: nn.Module, loss: nn.Module, maps: Tensor, arithmetic: Arithmetic) -> None:
        self.arithmetic = arithmetic
        self.network = arithmetic.place(network)
        self.loss = loss.to(arithmetic.device)
        self.maps = maps.to(arithmetic.device)

    def apply(self, maps: Tensor) -> Tensor:
        """The network on (batch, 1, z, y, x)."""
        return self.arithmetic.apply(self.network, maps)

    def value(self, portion: Portion) -> Tensor:
        """The loss on a micro-batch, times its weight."""
        batch = Batch(cut(self.maps, portion.centres, portion.edge), np.random.default_rng(portion.seed))
        return portion.weight * self.loss(self.apply, batch)

    def accumulate(self, portions: Sequence[Portion], scale: float) -> float:
        """Add the gradients of scale times the loss; returns the loss."""
        total = torch.zeros((), device=self.arithmetic.device)
        for portion in portions:
            value = self.value(portion)
            (scale * value).backward()
            total += value.detach()
        return total.item()  # once: a number that leaves a device makes it wait


class Replicas:
    """Copies of a network on several devices, which share the micro-batches of each step.

    Threads, not processes: convolutions run outside of Python's lock, memory is shared, and no library for
    communication is needed. The first replica holds the network itself. Which device works on a micro-batch
    changes neither its cubes nor its gradient, only the order in which gradients are added.
    """

    def __init__(
        self, network: nn.Module, loss: nn.Module, maps: Tensor, arithmetics: Sequence[Arithmetic]
    ) -> None:
        first, *others = arithmetics
        self.first = Replica(network, loss, maps, first)
        self.others = [Replica(deepcopy(network), deepcopy(loss), maps, other) for other in others]

    def gradients(self, portions: Sequence[Portion], scale: float = 1.0) -> float:
        """Set the gradients of the network to those of scale times the loss of a step; returns the loss."""
        replicas = [self.first, *self.others]
        for replica in replicas:
            replica.network.zero_grad(set_to_none=True)
        if not self.others:
            return self.first.accumulate(portions, scale)
        for other in self.others:
            other.network.load_state_dict(self.first.network.state_dict())
        shares = [portions[number :: len(replicas)] for number in range(len(replicas))]
        with ThreadPoolExecutor(len(replicas)) as pool:
            losses = list(pool.map(Replica.accumulate, replicas, shares, [scale] * len(replicas)))
        self._gather([replica for replica, share in zip(replicas, shares, strict=True) if share])
        return sum(losses)

    def _gather(self, replicas: Sequence[Replica]) -> None:
        """Add all gradients to the first network's; its running means become the mean of all."""
        networks = [replica.network for replica in replicas]
        for mine, *theirs in zip(*(network.parameters() for network in networks), strict=True):
            for other in theirs:
                if mine.grad is not None and other.grad is not None:
                    mine.grad += other.grad.to(mine.device)
        for mine, *theirs in zip(*(network.buffers() for network in networks), strict=True):
            if mine.is_floating_point():
                mine.copy_(torch.stack([mine, *(other.to(mine.device) for other in theirs)]).mean(dim=0))
