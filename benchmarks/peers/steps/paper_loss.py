"""The loss of the spIsoNet paper, for comparison; what mpop learns from is in `mpop.networks.correction_loss`.

In the words of the paper (which follows equivariant imaging): x0 and x1 are cubes of two half-maps at one place,
f is the network, A the filter that stands for the directions in which the map is poor, T a random rotation, and
||.|| the mean absolute value:

    Lc      = || A f(x0) - x0 ||                    what was measured stays
    Le      = || f(A T f(x0)) - T f(x0) ||          what A takes from the rotated map is found again
    Lc_n2n  = || A f(x0) - x1 ||                    both again, against the other half-map
    Le_n2n  = || f(A T f(x0)) - T f(x1) ||
    L       = Lc + alpha Le + beta (Lc_n2n + alpha Le_n2n)

With one half-map alone the terms with x1 are left out. spIsoNet lets gradients flow through the targets T f(x0)
and T f(x1) too, `through_targets`; the paper does not say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation
from torch import Tensor, nn

from mpop.networks.replicas import Batch
from mpop.networks.rotations import CUBE_ROTATIONS, rotate, turn

Rotations = Literal["cube", "any"]


def filtered(cubes: Tensor, A: Tensor) -> Tensor:
    """Cubes (..., z, y, x) with a filter in rfftn layout applied."""
    axes = (-3, -2, -1)
    return torch.fft.irfftn(torch.fft.rfftn(cubes, dim=axes) * A, s=cubes.shape[-3:], dim=axes)


class FourTermLoss(nn.Module):
    """L for batches of cubes of one half-map or two, to be called by `mpop.networks.training`."""

    def __init__(
        self,
        filters: Mapping[int, NDArray[np.floating]],
        alpha: float = 1.0,
        beta: float = 0.5,
        rotations: Rotations = "cube",
        through_targets: bool = False,
    ) -> None:
        """filters: A for every edge of cubes, (edge, edge, edge // 2 + 1) in rfftn layout.

        rotations: the 24 of a cube onto itself, or any at all.
        """
        super().__init__()
        self.alpha, self.beta, self.rotations, self.through_targets = alpha, beta, rotations, through_targets
        for edge, values in filters.items():
            self.register_buffer(f"filter_{edge}", torch.from_numpy(np.ascontiguousarray(values)))

    def extra_repr(self) -> str:
        """What distinguishes trainings that resume."""
        return f"{self.alpha}, {self.beta}, {self.rotations}, {self.through_targets}"

    def forward(self, apply: Callable[[Tensor], Tensor], batch: Batch) -> Tensor:
        """L for the network `apply` on cubes (n, 1 or 2 half-maps, z, y, x)."""
        cubes = batch.cubes
        A = self.get_buffer(f"filter_{cubes.shape[-1]}").to(cubes.dtype)
        if cubes.shape[1] == 2 and batch.draw.random() < 0.5:
            cubes = cubes.flip(1)  # each half-map is x0 in half of the steps
        x0, *others = cubes.split(1, dim=1)
        y0 = apply(x0)
        with torch.set_grad_enabled(self.through_targets and torch.is_grad_enabled()):
            targets = torch.cat([y0, *(apply(x1) for x1 in others)], dim=1)
            targets, trusted = self._rotated(targets, batch.draw)
        found = apply(filtered(targets[:, :1], A))
        filtered_y0 = filtered(y0, A)
        loss = torch.zeros((), device=cubes.device)
        for number, weight in enumerate((1.0, self.beta)[: cubes.shape[1]]):
            consistency = (filtered_y0 - cubes[:, number : number + 1]).abs().mean()
            difference = (found - targets[:, number : number + 1]).abs()
            equivariance = (difference * trusted).sum() / trusted.sum()
            loss = loss + weight * (consistency + self.alpha * equivariance)
        return loss

    def _rotated(self, cubes: Tensor, draw: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Each cube with a rotation of its own, the same for all half-maps; and where to trust it, 0 or 1."""
        if self.rotations == "any":
            matrices = Rotation.random(len(cubes), rng=draw).as_matrix()
            return rotate(cubes, torch.from_numpy(matrices).to(cubes))
        drawn = draw.integers(len(CUBE_ROTATIONS), size=len(cubes))
        turned = [turn(cube, CUBE_ROTATIONS[number]) for cube, number in zip(cubes, drawn, strict=True)]
        return torch.stack(turned), torch.ones_like(cubes[:, :1])
