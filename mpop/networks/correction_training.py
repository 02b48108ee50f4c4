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
from mpop.networks.training import Course, Plan, train
from mpop.networks.unet import UNet
from mpop.run import Progress
from mpop_store.paths import inside

Map = NDArray[np.float32]
Spectrum = NDArray[np.complex64]

DEPTH = 3
"""Levels of the network below that of the voxels."""
LARGE_BOX = 128
"""Voxels from which on there are fewer examples than rotations of a cube."""
LEAST_EXAMPLES = 6
ROUNDS = 2
"""Examples are made anew from better densities so many times."""


@dataclass(frozen=True)
class Training:
    """All that a training needs to know besides the maps.

    plan: of each round. joint: one network for both half-maps. rotations: one for each example.
    """

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
    """A half-map and what is known of it.

    other: transform of the other half-map, of which only sums over shells are taken. start: what the network is
    given, restored as the examples are. density: the best known. scale: standard deviation of `start` within the
    mask.
    """

    half: Map
    spectrum: Spectrum
    other: Spectrum
    restoration: Restoration
    start: Map
    density: Map
    scale: np.float32

    @classmethod
    def of(cls, half: Map, other: Map, restoration: Restoration, mask: Map) -> Subject:
        """A half-map that was restored."""
        spectrum = transform(half)
        start = restore_alone(spectrum, restoration.model, restoration.density_error, mask)
        scale = np.float32(start[mask > 0].std())
        return cls(half, spectrum, transform(other), restoration, start, restoration.blended, scale)

    def maps(self, mask: Map, rotations: Sequence[Rotation], seed: int) -> Map:
        """(3 + rotations, z, y, x) what `CorrectionLoss` wants, in units of the scale."""
        turns = [matrix_of(rotation) for rotation in rotations]
        shown = examples(self.density, self.restoration, mask, turns, seed)
        return np.concatenate([np.stack([self.half, self.start, self.density]), shown]) / self.scale

    def improved(self, network: UNet, mask: Map, applied: Arithmetic) -> Subject:
        """With the mean of data and of what the network makes of them, weighted by the error of either."""
        given = torch.from_numpy(self.start / self.scale).to(applied.device)
        found = predict(lambda tile: applied.apply(network, tile), given, tile_edge(network), network.multiple)
        prior = found.cpu().numpy() * self.scale * mask
        model = self.restoration.model
        error = error_of_density(prior, self.spectrum, self.other, model, mask)
        return replace(self, density=model.blend(self.spectrum, prior, error))


def rotations(of_a_cube: bool, box: int, seed: int) -> tuple[Rotation, ...]:
    """One for each example, of a cube or any; fewer for large maps, where an example takes long and holds much."""
    most = len(CUBE_ROTATIONS)
    number = int(np.clip(round(most * (LARGE_BOX / box) ** 2), LEAST_EXAMPLES, most))
    chance = np.random.default_rng((seed, 2))
    if of_a_cube:
        return tuple(CUBE_ROTATIONS[chosen] for chosen in chance.permutation(most)[:number])
    return tuple(AnyRotation.random(number, rng=chance).as_matrix())


def learn(
    subjects: Sequence[Subject], mask: Map, training: Training, progress: Progress, folder: Path | None
) -> tuple[list[Subject], list[Learned]]:
    """The half-maps as networks improve them, and a network for each, or one for both.

    folder: for checkpoints, from which trainings go on.
    """
    groups = [list(subjects)] if training.joint else [[subject] for subject in subjects]
    names = ["both half-maps"] if training.joint else ["half-map 1", "half-map 2"]
    cubes = split(mask, training.cube, 2**DEPTH)
    improved, learned = [], []
    for number, (group, name) in enumerate(zip(groups, names, strict=True)):
        own = replace(training, plan=replace(training.plan, seed=2 * training.plan.seed + number))
        group, network = _learn(group, mask, cubes, own, name, progress, folder)
        improved += group
        learned.append(network)
    return improved, learned


def _learn(
    group: list[Subject],
    mask: Map,
    cubes: Split,
    training: Training,
    name: str,
    progress: Progress,
    folder: Path | None,
) -> tuple[list[Subject], Learned]:
    amplitude = group[0].restoration.model.amplitude
    edges = {cubes.training.edge} | ({cubes.held_out.edge} if cubes.held_out else set())
    filters = {edge: filter_of_cubes(amplitude, edge) for edge in edges}
    torch.manual_seed(training.plan.seed)
    network = UNet(training.width, DEPTH)
    courses = []
    for number in range(1, ROUNDS + 1):
        plan = replace(training.plan, seed=ROUNDS * training.plan.seed + number)
        task = f"train, {name}, round {number} of {ROUNDS}"
        maps = np.concatenate([subject.maps(mask, training.rotations, plan.seed) for subject in group])
        file = None if folder is None else inside(folder, f"{name.replace(' ', '-')}-round-{number}.pt")
        courses.append(
            train(
                network,
                CorrectionLoss(filters, training.rotations, len(group)),
                torch.from_numpy(maps),
                cubes,
                plan,
                training.arithmetics,
                file,
                resume=file is not None,
                progress=partial(_under_name, progress, task),
            )
        )
        group = [subject.improved(network, mask, training.arithmetics[0]) for subject in group]
    return group, Learned(network, _joined(courses))


def _under_name(progress: Progress, name: str, task: str, done: int, total: int) -> None:
    progress(name, done, total)


def _joined(courses: Sequence[Course]) -> Course:
    """Rounds one after the other, as one course."""
    whole = Course()
    for course in courses:
        before = whole.steps[-1] if whole.steps else 0
        whole.steps += [before + step for step in course.steps]
        whole.losses += course.losses
        whole.held_out += course.held_out
        whole.best_step = before + course.best_step
        whole.stopped_early = course.stopped_early
    return whole
