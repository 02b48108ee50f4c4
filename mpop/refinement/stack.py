"""Refinement of the poses of one particle stack against the current half-maps of its species.

Every image is a series of one: with no neighbour that shares its stage or its warp, what is left of the
multi-particle target (`mpop.refinement.target`) is, for each image, 2 a AB - a^2 A2 at the amplitude a that all
images of a species in the stack have in common. We maximise half of that plus a Gaussian log-prior. First an
exhaustive search around where each image stands, if one is asked for, then gradients. A particle of half 1 is only
ever compared with half-map 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mpop.errors import RefinementError
from mpop.geometry.euler import euler_to_matrix, matrix_to_euler
from mpop.optics.sizes import image_size
from mpop.records.stack import StackModel
from mpop.records.tilt_series import ParticleSet
from mpop.refinement.pose_gradients import expected_deviations, maximise
from mpop.refinement.pose_prior import PRIOR_WEIGHT, PosePrior, PoseSpread
from mpop.refinement.pose_search import PoseImages, search_poses
from mpop.refinement.series import SpeciesReference, gather_images
from mpop.refinement.target import SpeciesImages, score_species
from mpop.series.extraction import TiltLoader

Array = NDArray[np.float64]

CHUNK_BYTES = 256 * 2**20
"""Of packed images in memory at a time."""


@dataclass(frozen=True)
class PoseSearch:
    """How far to look around every pose before gradients take over (0 degrees: not at all), and how far poses are
    expected to be from where the job started, a standard deviation per axis, as long as nothing tells better."""

    angle_deg: float = 0.0
    shift_A: float = 0.0
    sigma_deg: float = 5.0
    sigma_A: float = 5.0

    @classmethod
    def within(cls, angle_deg: float, shift_A: float, iteration: int) -> PoseSearch:
        """That of an iteration, counted from 1: each looks half as far as the one before; the prior stays."""
        sigma_deg, sigma_A = max(angle_deg / 2, cls.sigma_deg), max(shift_A / 2, cls.sigma_A)
        halvings = 2.0 ** (iteration - 1)
        return cls(angle_deg / halvings, shift_A / halvings, sigma_deg, sigma_A)

    def expecting(self, spread: PoseSpread | None) -> PoseSearch:
        """The same with the widths that an earlier pass over the images found, if there was one."""
        if spread is None or not spread.images:
            return self
        return replace(self, sigma_deg=spread.sigma_deg, sigma_A=spread.sigma_A)


@dataclass(frozen=True)
class Fit:
    """How images fit their reference: sums of AB and A2, which add."""

    ab: float
    a2: float

    def __add__(self, other: Fit) -> Fit:
        return Fit(self.ab + other.ab, self.a2 + other.a2)

    @property
    def amplitude(self) -> float:
        """The best common amplitude, 0 where images are no better with the reference than without."""
        return max(self.ab / self.a2, 0.0) if self.a2 > 0 else 0.0

    @property
    def value(self) -> float:
        """L, as of a species in a tilt series."""
        return self.amplitude * max(self.ab, 0.0)


NOTHING = Fit(0.0, 0.0)


@dataclass(frozen=True)
class RefinedStack:
    """The particles of one species in a stack with new poses, and how they fitted before and fit now."""

    particles: ParticleSet
    before: Fit
    after: Fit


def fit_stack(
    load: TiltLoader,
    model: StackModel,
    particles: ParticleSet,
    reference: SpeciesReference,
    pixel_size_A: float,
) -> Fit:
    """How the particles of one species in a stack fit as they stand."""
    total = NOTHING
    for _, part, images in _gathered(load, model, particles, reference, pixel_size_A):
        total += _fit(images, *_poses(images, part))
    return total


def refine_stack(
    load: TiltLoader,
    model: StackModel,
    particles: ParticleSet,
    reference: SpeciesReference,
    amplitude: float,
    pixel_size_A: float,
    expected: ParticleSet,
    search: PoseSearch,
    device: str = "cpu",
) -> RefinedStack:
    """New poses of the particles of one species in a stack.

    amplitude: of the reference in the images. expected: the same particles where the prior has them. Particles
    whose centre is outside their image stay as they are.
    """
    position, angles = particles.position_A.copy(), particles.angles_deg.copy()
    before = after = NOTHING
    for chunk, part, images in _gathered(load, model, particles, reference, pixel_size_A):
        start, prior = _poses(images, part), _prior(images, expected.part(chunk), search, PRIOR_WEIGHT)
        rotation, shift_px = _refine(images, *start, reference, amplitude, prior, search, device)
        before += _fit(images, *start)
        after += _fit(images, rotation, shift_px)
        rows = chunk[images.particle]
        position[rows, 0, :2] = (images.origin_px + shift_px) * pixel_size_A
        angles[rows, 0] = matrix_to_euler(rotation)
    return RefinedStack(replace(particles, position_A=position, angles_deg=angles), before, after)


def pose_spread(
    load: TiltLoader,
    model: StackModel,
    particles: ParticleSet,
    reference: SpeciesReference,
    amplitude: float,
    pixel_size_A: float,
    expected: ParticleSet,
    search: PoseSearch,
    device: str = "cpu",
) -> PoseSpread:
    """How far the particles are from where the prior has them, when they fit best. As `refine_stack`, but that
    likelihood and prior weigh alike, or the prior would confirm itself."""
    spread = PoseSpread()
    for chunk, part, images in _gathered(load, model, particles, reference, pixel_size_A):
        prior = _prior(images, expected.part(chunk), search, 1.0)
        rotation, shift_px = _refine(images, *_poses(images, part), reference, amplitude, prior, search, device)
        for rows, half in _halves(images):
            if len(half.data):
                found = rotation[rows], shift_px[rows]
                uncertain = expected_deviations(half, found[0], amplitude, prior, _diameter_voxels(reference))
                spread += _spread(prior.part(rows), *found, uncertain / np.sqrt(2), pixel_size_A)
    return spread


def _gathered(
    load: TiltLoader,
    model: StackModel,
    particles: ParticleSet,
    reference: SpeciesReference,
    pixel_size_A: float,
) -> Iterator[tuple[NDArray[np.int64], ParticleSet, SpeciesImages]]:
    """Rows of particles, these particles, and their images, as many at a time as fit into memory."""
    for chunk in _chunks(particles, reference, pixel_size_A):
        part = particles.part(chunk)
        (images,) = gather_images(load, model, [part], [reference], pixel_size_A)
        if images is not None and len(images.particle):
            yield chunk, part, images


def _chunks(
    particles: ParticleSet, reference: SpeciesReference, pixel_size_A: float
) -> Iterator[NDArray[np.int64]]:
    """Rows of particles, so few at a time that their images fit into memory."""
    radius = image_size(reference.diameter_A, pixel_size_A) * pixel_size_A / reference.resolution_A
    bytes_each = 12 * np.pi / 2 * radius**2
    count = max(1, int(np.ceil(len(particles) * bytes_each / CHUNK_BYTES)))
    yield from np.array_split(np.arange(len(particles)), count)


def _poses(images: SpeciesImages, particles: ParticleSet) -> tuple[Array, Array]:
    """Rotations (m, 3, 3) and shifts (m, 2) in pixels from the origin pixel, in the order of the images."""
    angles = particles.angles_deg[images.particle, 0]
    shift = particles.position_A[images.particle, 0, :2] / images.pixel_size_A - images.origin_px
    return euler_to_matrix(angles), shift


def _prior(images: SpeciesImages, expected: ParticleSet, search: PoseSearch, weight: float) -> PosePrior:
    """weight: of the prior beside the whole log-likelihood, of which half is maximised."""
    rotation, shift_px = _poses(images, expected)
    wider = np.sqrt(2 / weight)
    sigma_px = search.sigma_A / images.pixel_size_A
    return PosePrior(rotation, shift_px, np.deg2rad(search.sigma_deg) * wider, sigma_px * wider)


def _fit(images: SpeciesImages, rotation: Array, shift_px: Array) -> Fit:
    scored = score_species(images, shift_px * images.pixel_size_A, rotation[:, :2])
    a2 = float(scored.reference_power.sum())
    if not np.isfinite(scored.value):
        raise RefinementError("the score is not a number: its images or half-maps hold NaN or infinity")
    return Fit(scored.amplitude * a2, a2)


def _halves(images: SpeciesImages) -> Iterator[tuple[slice, PoseImages]]:
    """Which images are of either half, and these."""
    for half, rows in enumerate((slice(0, images.n_half1), slice(images.n_half1, None))):
        data, power = images.data[rows], images.power[rows]
        yield rows, PoseImages(images.references[half], images.disc, data, power, images.row_scale)


def _diameter_voxels(reference: SpeciesReference) -> float:
    return reference.diameter_A / reference.halves[0].pixel_size_A


def _refine(
    images: SpeciesImages,
    rotation: Array,
    shift_px: Array,
    reference: SpeciesReference,
    amplitude: float,
    prior: PosePrior,
    search: PoseSearch,
    device: str,
) -> tuple[Array, Array]:
    """Search, then follow gradients; each half against its own half-map."""
    voxels = _diameter_voxels(reference)
    done = []
    for rows, half in _halves(images):
        turned, shifted = rotation[rows], shift_px[rows]
        if search.angle_deg > 0 and len(turned):
            reach_px = search.shift_A / images.pixel_size_A
            turned, shifted = search_poses(
                half, turned, shifted, amplitude, prior.part(rows), search.angle_deg, reach_px
            )
        done.append(maximise(half, turned, shifted, amplitude, prior.part(rows), voxels, device))
    return np.concatenate([done[0][0], done[1][0]]), np.concatenate([done[0][1], done[1][1]])


def _spread(
    prior: PosePrior, rotation: Array, shift_px: Array, uncertain: Array, pixel_size_A: float
) -> PoseSpread:
    """uncertain: (5,) standard deviations of a pose, rad and pixels."""
    turned, moved = prior.offsets(rotation, shift_px)
    count = len(rotation)
    turned_rad2 = np.square(turned).mean(axis=1).sum() + count * np.square(uncertain[:3]).mean()
    moved_px2 = np.square(moved).mean(axis=1).sum() + count * np.square(uncertain[3:]).mean()
    return PoseSpread(float(turned_rad2), float(moved_px2) * pixel_size_A**2, count)
