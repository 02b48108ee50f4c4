"""What a network that corrects half-maps learns from: the four terms of spIsoNet's loss, on restored maps.

With x a half-map, y its restored density, A its transfer, T a rotation, f the network, R restoring and n noise
like that of x, each || || a mean absolute value over cubes:

    Lc      = || A f(R x) - x ||                     what was measured stays
    Le      = || f(R (A T y + n)) - T y ||           what A and n take from the turned density is found again
    Lc_n2n  = || A f(R x) - x' ||                    both again, against the other half-map x' with density y'
    Le_n2n  = || f(R (A T y + n)) - T y' ||
    L       = Lc + alpha Le + beta (Lc_n2n + alpha Le_n2n)

The last two are there only in joint trainings. In the paper f learns from what it makes of x itself; here it
learns from y, and noise takes away as A does. A cube stands for Lc or for Le, as chance has it, so that a step
costs one pass through the network: the part of the cubes that stand for Lc is 1 / (1 + alpha).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mpop.networks.replicas import Batch
from mpop.networks.rotations import Turn, rotate, turn

Rotation = Turn | NDArray[np.floating]
"""One that takes voxels onto voxels, or a matrix (3, 3) that acts on (x, y, z)."""


class CorrectionLoss(nn.Module):
    """L for cubes (batch, maps, z, y, x).

    The maps are, for each half-map, x, R x and y, then R (A T y + n) for each of the rotations T, turned back.
    """

    def __init__(
        self,
        filters: Mapping[int, NDArray[np.floating]],
        rotations: Sequence[Rotation],
        halves: int = 1,
        alpha: float = 7.0,
        beta: float = 0.5,
    ) -> None:
        """filters: A for cubes, by their edge."""
        super().__init__()
        self.rotations, self.halves, self.alpha, self.beta = rotations, halves, alpha, beta
        for edge, values in filters.items():
            self.register_buffer(f"filter_{edge}", torch.from_numpy(np.ascontiguousarray(values)))

    def extra_repr(self) -> str:
        """All that distinguishes trainings."""
        return f"{self.rotations}, halves={self.halves}, alpha={self.alpha}, beta={self.beta}"

    def forward(self, apply: Callable[[Tensor], Tensor], batch: Batch) -> Tensor:
        """L, as `mpop.networks.training` calls for it."""
        number = len(batch.cubes)
        halves = batch.cubes.chunk(self.halves, dim=1)
        half = int(batch.draw.integers(self.halves))
        own, *others = halves[half], *halves[:half], *halves[half + 1 :]
        is_turned = batch.draw.random(number) < self.alpha / (1 + self.alpha)
        chosen = batch.draw.integers(len(self.rotations), size=number)

        inputs, targets, trusted = [], [[] for _ in range(self.halves)], []
        for cube in range(number):
            rotation = int(chosen[cube])
            if is_turned[cube]:
                shown = torch.stack([own[cube, 3 + rotation], *(each[cube, 2] for each in (own, *others))])
                shown, good = _rotated(shown, self.rotations[rotation])
            else:
                shown = torch.stack([own[cube, 1], *(each[cube, 0] for each in (own, *others))])
                good = torch.ones_like(shown[:1])
            inputs.append(shown[:1])
            trusted.append(good)
            for target, values in zip(targets, shown[1:], strict=True):
                target.append(values[None])
        found = apply(torch.stack(inputs))
        measured = torch.from_numpy(~is_turned).to(found.device)[:, None, None, None, None]
        found = torch.where(measured, self._measure(found), found)
        weight = torch.stack(trusted)
        mine, *theirs = (_distance(found, torch.stack(target), weight) for target in targets)
        return mine + self.beta * torch.stack(theirs).sum() if theirs else mine

    def _measure(self, cubes: Tensor) -> Tensor:
        """A applied to cubes."""
        axes = (-3, -2, -1)
        values = self.get_buffer(f"filter_{cubes.shape[-1]}")
        return torch.fft.irfftn(torch.fft.rfftn(cubes, dim=axes) * values, s=cubes.shape[-3:], dim=axes)


def _rotated(cubes: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
    """Cubes (maps, z, y, x) turned alike, and where they can be trusted (1, z, y, x)."""
    if isinstance(rotation, tuple):
        return turn(cubes, rotation), torch.ones_like(cubes[:1])
    matrix = torch.from_numpy(np.asarray(rotation, dtype=np.float32)).to(cubes.device)
    rotated, trusted = rotate(cubes[None], matrix[None])
    return rotated[0], trusted[0]


def _distance(first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    return ((first - second).abs() * weight).sum() / weight.sum()
