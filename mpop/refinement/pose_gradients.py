"""Poses of many images, each on its own, moved uphill along exact gradients.

Five parameters per image: a rotation vector in the image's frame (rad) and a shift (pixels). All images take their
steps at once, by BFGS with an estimate of the inverse curvature for each, in units of the expected standard
deviation of each parameter; a step that does not gain is shortened. Rotations are applied as they are found, so
that the vector always starts from zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mpop.projection.score import project_slices, score_with_gradients
from mpop.refinement.pose_prior import PosePrior
from mpop.refinement.pose_search import PoseImages

Array = NDArray[np.float64]

MAX_STEPS = 25
SMALLEST_GAIN = 0.01
"""In nats: an image stops when its next step promises less, a seventh of a standard deviation from the top."""
LONGEST_STEP = 3.0
"""In expected standard deviations."""


@dataclass
class _Ascent:
    """n images on their way. inverse: (n, 5, 5) inverse curvature in scaled parameters."""

    rotation: Array
    shift_px: Array
    value: Array
    gradient: Array
    inverse: Array


def maximise(
    images: PoseImages,
    rotation: Array,
    shift_px: Array,
    amplitude: float,
    prior: PosePrior,
    particle_voxels: float,
    device: str = "cpu",
) -> tuple[Array, Array]:
    """Rotations (n, 3, 3) and shifts (n, 2) in pixels at the local maxima of a AB - a^2 A2 / 2 - prior.

    particle_voxels: diameter of the particle in voxels of the reference, for the first guess of the curvature.
    """
    if not len(rotation):
        return rotation, shift_px
    scale = expected_deviations(images, rotation, amplitude, prior, particle_voxels)
    value, gradient = _score(images, rotation, shift_px, amplitude, prior, device)
    state = _Ascent(
        rotation.copy(), shift_px.copy(), value, gradient * scale, np.tile(np.eye(5), (len(rotation), 1, 1))
    )
    active = np.arange(len(rotation))
    part = np.ones(len(rotation))
    for _ in range(MAX_STEPS):
        step = _step(state, active) * part[active, None]
        promised = np.einsum("ni,ni->n", step, state.gradient[active])
        active, step = active[promised > SMALLEST_GAIN], step[promised > SMALLEST_GAIN]
        if not len(active):
            break
        moved = _moved(state.rotation[active], state.shift_px[active], step * scale)
        value, gradient = _score(images.part(active), *moved, amplitude, prior.part(active), device)
        gradient *= scale
        better = value > state.value[active]
        part[active] = np.where(better, 1.0, part[active] / 4)
        up = active[better]
        _learn(state, up, step[better], gradient[better] - state.gradient[up])
        state.rotation[up], state.shift_px[up] = moved[0][better], moved[1][better]
        state.value[up], state.gradient[up] = value[better], gradient[better]
    return state.rotation, state.shift_px


def _score(
    images: PoseImages, rotation: Array, shift_px: Array, amplitude: float, prior: PosePrior, device: str
) -> tuple[Array, Array]:
    """a AB - a^2 A2 / 2 - prior of every image (n,), and its derivatives (n, 5) by rotation vector and shift."""
    rows = rotation[:, :2] * images.row_scale
    score = score_with_gradients(images.reference, images.disc, images.data, images.power, rows, shift_px, device)
    by_rows = score.gain_by("rows", amplitude) / 2 * images.row_scale
    # a small turn w of the image's frame adds w x to the rows: -w_z A_1 + w_y A_2 to the first, and so on
    x, y, z = rotation[:, 0], rotation[:, 1], rotation[:, 2]
    first, second = by_rows[:, 0], by_rows[:, 1]
    by_turn = np.stack([-(z * second).sum(1), (z * first).sum(1), (x * second - y * first).sum(1)], axis=1)
    penalty, slope = prior.penalty(rotation, shift_px)
    gradient = np.concatenate([by_turn, score.gain_by("shift", amplitude) / 2], axis=1) - slope
    return score.gain(amplitude) / 2 - penalty, gradient


def expected_deviations(
    images: PoseImages, rotation: Array, amplitude: float, prior: PosePrior, particle_voxels: float
) -> Array:
    """(5,) standard deviations to expect of poses that fit best: turns (rad) and shifts (pixels).

    The curvature by a shift is a^2 (2 pi / size)^2 sum Q |R|^2 k_x^2; turning moves the density of a ball by its
    distance to the axis, mean square r^2 (2 / 5) in three dimensions, and half of that along k.
    """
    sample = np.unique(np.linspace(0, len(rotation) - 1, min(64, len(rotation))).astype(int))
    slices = project_slices(images.reference, images.disc, rotation[sample, :2] * images.row_scale)
    weight = images.power[sample] * np.square(np.abs(slices))
    power = float(weight.sum() / len(sample))
    mean_k2 = float((weight * images.disc.radius**2).sum() / max(weight.sum(), np.finfo(float).tiny))
    by_shift = amplitude**2 * power * (mean_k2 / 2) * (2 * np.pi / images.disc.size) ** 2
    pixels = particle_voxels / images.row_scale * images.disc.size / images.reference.box
    by_turn = by_shift * (pixels / 2) ** 2 * (2 / 5)
    curvature = [by_turn + prior.sigma_rad**-2] * 3 + [by_shift + prior.sigma_px**-2] * 2
    return 1 / np.sqrt(np.array(curvature))


def _step(state: _Ascent, active: NDArray[np.int64]) -> Array:
    """(m, 5) uphill, no longer than allowed."""
    step = np.einsum("nij,nj->ni", state.inverse[active], state.gradient[active])
    length = np.linalg.norm(step, axis=1)
    return step * np.minimum(1.0, LONGEST_STEP / np.maximum(length, 1e-12))[:, None]


def _moved(rotation: Array, shift_px: Array, step: Array) -> tuple[Array, Array]:
    return Rotation.from_rotvec(step[:, :3]).as_matrix() @ rotation, shift_px + step[:, 3:]


def _learn(state: _Ascent, rows: NDArray[np.int64], step: Array, change: Array) -> None:
    """BFGS: what the gradient did along a step tells the curvature there. Uphill it falls."""
    fall = -np.einsum("ni,ni->n", step, change)
    good = fall > 1e-10
    rows, s, y, fall = rows[good], step[good], -change[good], fall[good, None, None]
    left = np.eye(5) - np.einsum("ni,nj->nij", s, y) / fall
    state.inverse[rows] = left @ state.inverse[rows] @ left.swapaxes(1, 2) + np.einsum("ni,nj->nij", s, s) / fall
