"""Two half-maps from unevenly measured directions -> two corrected half-maps.

First what is known of any density restores each half-map (`mpop.maps.restoration`), then a network that learned
from examples made of that half-map takes away what restoring gets wrong, then the data have the last word: each
coefficient becomes the mean of data and network, weighted by the error of either (`mpop.maps.reweighting`: where
data are good that is measured once more).

Each half-map is corrected alone, with a network of its own. Of the other half-map only sums over shells and cones
enter, which say how much of each coefficient is signal; RELION's weighting by the FSC couples half-maps to the
same degree. The joint mode trains one network on both and shows it the other half-map: the noise of each is then
in the other's correction, so that the FSC between the corrected half-maps is no measure of resolution any more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mpop.errors import InputError
from mpop.geometry.frequencies import last_shell
from mpop.maps.evenness import is_uneven
from mpop.maps.filters import inverse, transform
from mpop.maps.fsc import fsc_report
from mpop.maps.restoration import restore
from mpop.maps.reweighting import reweighted, reweighted_mean
from mpop.maps.shells import shell_radius
from mpop.maps.transfer import TransferModel
from mpop.networks.correction_training import DEPTH, ROUNDS, Learned, Subject, Training, learn, rotations
from mpop.networks.devices import arithmetic, devices
from mpop.networks.training import Plan
from mpop.records.parameters import Parameters
from mpop.run import Run

Map = NDArray[np.float32]

CUBE = 32
"""Voxels along an edge."""
MICRO_BATCH = 2
CHECKS = 10
"""Checkpoints in a round of training."""


class CorrectionParameters(Parameters):
    """What decides the result, with the seed: the same on every machine.

    limit_A: the finest detail to correct; None: the resolution of the half-maps. steps: of training; 0: no
    network. width: channels of the network. cube: edge in voxels of the cubes that it learns from, None: what fits
    the box; batch: how many per step. joint: one network for both half-maps, see above. rotations: the 24 of a
    cube, or any. exact: float32 throughout.
    """

    limit_A: float | None = None
    steps: int = 1000
    width: int = 16
    cube: int | None = None
    batch: int = 2
    joint: bool = False
    rotations: Literal["cube", "any"] = "any"
    exact: bool = False


class CorrectionOptions(CorrectionParameters):
    """What can be chosen."""

    seed: int = 0

    @property
    def parameters(self) -> CorrectionParameters:
        """Without the seed, which a job records beside them."""
        return CorrectionParameters(**self.model_dump(include=set(CorrectionParameters.model_fields)))


@dataclass(frozen=True)
class Correction:
    """Corrected half-maps (z, y, x) in the scale of the input, and why they are as they are.

    mean: of both, with more of the data than either, as noise is less in it. limit: the last shell that was
    corrected; coefficients beyond are those of the input. models: of each half-map. learned: by each half-map's
    network, by one in the joint mode, by none without training. When nothing was corrected, models is None,
    `reason` says why, and the half-maps are those of the input.
    """

    half1: Map
    half2: Map
    mean: Map
    limit: int
    models: tuple[TransferModel, TransferModel] | None
    learned: tuple[Learned, ...] = ()
    reason: str = ""


def correct(
    half1: Map,
    half2: Map,
    mask: Map,
    pixel_size_A: float,
    options: CorrectionOptions | None = None,
    run: Run = Run(),
    checkpoint_folder: Path | None = None,
    surely_uneven: bool = False,
) -> Correction:
    """Correct two half-maps, cubes (z, y, x) of one box; mask from 0 to 1 around the particle.

    checkpoint_folder: where trainings leave their state, and from where they go on. surely_uneven: do not ask
    whether directions differ by more than chance.

    Raises InputError for a mask that leaves no solvent, and for options that do not fit the maps.
    """
    options = fitting(options or CorrectionOptions(), len(half1))
    if not np.any(mask == 0):
        raise InputError("the mask leaves no solvent: some voxels of it must be 0")
    levels = [float(half[mask == 0].mean()) for half in (half1, half2)]
    halves: list[Map] = [half - np.float32(level) for half, level in zip((half1, half2), levels, strict=True)]
    mean_of_data: Map = (halves[0] + halves[1]) / np.float32(2)
    limit = _limit(halves[0], halves[1], mask, pixel_size_A, options.limit_A)
    if limit is None:
        return _unchanged(half1, half2, 0, "the half-maps hold no signal in common")
    restored = restore(halves[0], halves[1], mask, limit, run.progress)
    models = (restored[0].model, restored[1].model)
    typical = replace(models[0], noise=(models[0].noise + models[1].noise) / np.float32(2))
    if not surely_uneven and not is_uneven(typical, mask, options.seed):
        reason = "no significant anisotropy: directions differ no more than noise makes them"
        return _unchanged(half1, half2, limit, reason)
    corrected, learned = [result.blended for result in restored], []
    if options.steps:
        subjects = [
            Subject.of(half, other, result, mask)
            for half, other, result in zip(halves, reversed(halves), restored, strict=True)
        ]
        improved, learned = learn(
            subjects, mask, _training(options, len(half1), run), run.progress, checkpoint_folder
        )
        corrected = [subject.density for subject in improved]
    first, second, mean = _weighted(halves, corrected, models, mask, options.joint)
    return Correction(
        _up_to(limit, first, halves[0]) + np.float32(levels[0]),
        _up_to(limit, second, halves[1]) + np.float32(levels[1]),
        _up_to(limit, mean, mean_of_data) + np.float32(sum(levels) / 2),
        limit,
        models,
        tuple(learned),
    )


def _weighted(
    halves: list[Map], corrected: list[Map], models: tuple[TransferModel, TransferModel], mask: Map, joint: bool
) -> tuple[Map, Map, Map]:
    """Both corrections and their mean, as data and corrections are weighted in the end."""
    if joint:  # what has seen both half-maps cannot be weighed by one of them
        return corrected[0], corrected[1], (corrected[0] + corrected[1]) / np.float32(2)
    first, second = (
        reweighted(half, other, one, model, mask)
        for half, other, one, model in zip(halves, reversed(halves), corrected, models, strict=True)
    )
    return first, second, reweighted_mean(halves, corrected, models[0], mask)


def _unchanged(half1: Map, half2: Map, limit: int, reason: str) -> Correction:
    return Correction(half1, half2, (half1 + half2) / np.float32(2), limit, None, reason=reason)


def fitting(options: CorrectionOptions, box: int) -> CorrectionOptions:
    """The options with a cube. Raises InputError for a number that cannot be."""
    for name, least in (("steps", 0), ("width", 1), ("batch", 1)):
        value = getattr(options, name)
        if value < least:
            raise InputError(f"{name} {value}: it must be at least {least}")
    multiple = 2**DEPTH
    largest = box // multiple * multiple
    cube = options.cube if options.cube is not None else min(CUBE, largest)
    if cube % multiple or not 2 * multiple <= cube <= largest:
        raise InputError(
            f"cubes of {cube} voxels: a multiple of {multiple} from {2 * multiple} to {largest} is needed"
        )
    return options.model_copy(update={"cube": cube})


def _training(options: CorrectionOptions, box: int, run: Run) -> Training:
    assert options.cube
    steps = max(1, options.steps // ROUNDS)
    plan = Plan(
        steps,
        options.batch,
        min(options.batch, MICRO_BATCH),
        check_every=max(1, steps // CHECKS),
        seed=options.seed,
    )
    arithmetics = tuple(arithmetic(device, options.exact) for device in devices(run.device))
    turns = rotations(options.rotations == "cube", box, options.seed)
    return Training(plan, options.width, options.cube, options.joint, turns, arithmetics)


def _limit(half1: Map, half2: Map, mask: Map, pixel_size_A: float, limit_A: float | None) -> int | None:
    """The last shell to correct; None for maps of noise."""
    box = len(half1)
    resolution = fsc_report(half1, half2, mask, pixel_size_A).resolution_A
    if resolution is None:
        return None
    finest, coarsest = 2 * pixel_size_A, coarsest_limit_A(box, pixel_size_A)
    if limit_A is not None and not finest <= limit_A < coarsest:
        raise InputError(f"--limit {limit_A:g} A: these maps hold detail from {finest:g} to {coarsest:g} A")
    return min(last_shell(box, pixel_size_A, limit_A or resolution), box // 2)


def coarsest_limit_A(box: int, pixel_size_A: float) -> float:
    """Limits must be finer than this, as there must be some shells to correct."""
    return box * pixel_size_A / 4


def _up_to(limit: int, corrected: Map, original: Map) -> Map:
    """One map up to a shell, another one beyond it."""
    box = len(original)
    radius = shell_radius(box)
    inside = (radius < limit + 0.5) & (radius <= box // 2)
    return inverse(np.where(inside, transform(corrected), transform(original)), box)
