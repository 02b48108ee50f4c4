"""What a network learns from a half-map, and what it then makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation as AnyRotation

from mpop.maps.filters import transform
from mpop.maps.restoration import Restoration, error_of_density, restore_alone
from mpop.networks.correction_loss import CorrectionLoss, Rotation
from mpop.networks.cubes import Split, split
from mpop.networks.devices import Arithmetic
from mpop.networks.examples import examples, matrix_of
from mpop.networks.filters import filter_of_cubes
from mpop.networks.rotations import CUBE_ROTATIONS
from mpop.networks.tiling import predict, tile_edge
from mpop.networks.training import Course, Listener, Plan, train
from mpop.networks.unet import UNet

Map = NDArray[np.float32]
Spectrum = NDArray[np.complex64]

DEPTH = 3
"""Levels of the network below that of the voxels."""


@dataclass(frozen=True)
class Training:
    """All that a training needs to know besides the maps. rotations: one for each example. joint: one network."""

    plan: Plan
    width: int
    cube: int
    joint: bool
    rotations: tuple[Rotation, ...]
    arithmetics: tuple[Arithmetic, ...]


@dataclass(frozen=True)
class Learned:
    """A network, and how its training went."""

    network: UNet
    course: Course


@dataclass(frozen=True)
class Subject:
    """A half-map and what restoring found. start: what the network is given, restored as the examples are."""

    half: Map
    spectrum: Spectrum
    restoration: Restoration
    start: Map
    scale: float

    @classmethod
    def of(cls, half: Map, restoration: Restoration, mask: Map) -> Subject:
        """scale is the standard deviation of `start` within the mask."""
        spectrum = transform(half)
        start = restore_alone(spectrum, restoration.model, restoration.density_error, mask)
        return cls(half, spectrum, restoration, start, float(start[mask > 0].std()))

    def maps(self, mask: Map, rotations: Sequence[Rotation], seed: int) -> Map:
        """(3 + rotations, z, y, x) what `CorrectionLoss` wants, in units of the scale."""
        density = self.restoration.blended
        turned = examples(density, self.restoration, mask, [matrix_of(each) for each in rotations], seed)
        return np.concatenate([np.stack([self.half, self.start, density]), turned]) / np.float32(self.scale)

    def improved(self, network: UNet, other: Subject, mask: Map, applied: Arithmetic) -> Map:
        """The mean of data and of what the network makes of them, weighted by the error of either."""
        given = torch.from_numpy(self.start / np.float32(self.scale)).to(applied.device)
        found = predict(lambda tile: applied.apply(network, tile), given, tile_edge(network), network.multiple)
        density = found.cpu().numpy() * np.float32(self.scale) * mask
        model = self.restoration.model
        error = error_of_density(density, self.spectrum, other.spectrum, model, mask)
        return model.blend(self.spectrum, density, error)


def rotations(of_a_cube: bool, seed: int) -> tuple[Rotation, ...]:
    """All of a cube's, or as many random ones."""
    if of_a_cube:
        return CUBE_ROTATIONS
    return tuple(AnyRotation.random(len(CUBE_ROTATIONS), rng=np.random.default_rng((seed, 2))).as_matrix())


def learn(
    subjects: Sequence[Subject], mask: Map, training: Training, progress: Listener, folder: Path | None
) -> tuple[Learned, ...]:
    """A network for each half-map, or one for both. folder: for checkpoints, from which trainings go on."""
    groups = [list(subjects)] if training.joint else [[subject] for subject in subjects]
    names = ["both half-maps"] if training.joint else ["half-map 1", "half-map 2"]
    cubes = split(mask, training.cube, 2**DEPTH)
    learned = []
    for number, (group, name) in enumerate(zip(groups, names, strict=True)):
        plan = replace(training.plan, seed=2 * training.plan.seed + number)
        file = None if folder is None else folder / f"{name.replace(' ', '-')}.pt"
        said = partial(_said, progress, name)
        learned.append(_learn(group, mask, cubes, replace(training, plan=plan), file, said))
    return tuple(learned)


def _learn(
    group: list[Subject], mask: Map, cubes: Split, training: Training, checkpoint: Path | None, progress: Listener
) -> Learned:
    maps = np.concatenate([subject.maps(mask, training.rotations, training.plan.seed) for subject in group])
    amplitude = group[0].restoration.model.amplitude
    edges = {cubes.training.edge} | ({cubes.held_out.edge} if cubes.held_out else set())
    loss = CorrectionLoss(
        {edge: filter_of_cubes(amplitude, edge) for edge in edges}, training.rotations, len(group)
    )
    torch.manual_seed(training.plan.seed)
    network = UNet(training.width, DEPTH)
    course = train(
        network,
        loss,
        torch.from_numpy(maps),
        cubes,
        training.plan,
        training.arithmetics,
        checkpoint,
        resume=checkpoint is not None,
        progress=progress,
    )
    return Learned(network, course)


def _said(progress: Listener, name: str, task: str, done: int, total: int) -> None:
    progress(f"{task} {name}", done, total)
