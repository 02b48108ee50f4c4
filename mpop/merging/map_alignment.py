"""Do two maps of one species lie alike? The rigid motion between them, by correlation at limited resolution.

Two versions of one species descend from one import, so they lie alike but for what refinement drifted,
and a search near by measures that (Gauss-Newton on the difference of the maps inside of the mask). Where somebody
turned or moved the map, rotations are tried on a coarse grid, each with all shifts at once, before the best few
are refined.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, spline_filter
from scipy.spatial.transform import Rotation

from mpop.geometry.frequencies import covering_shell
from mpop.maps.filters import inverse, low_pass, resample, transform
from mpop.maps.shells import shell_radius

Array = NDArray[np.float64]

GRID_DEG = 15.0
"""Between rotations of the coarse grid."""
BLUR = 0.4
"""Resolution at which the grid is searched, as a part of the particle's radius: what half a step of it blurs."""
CANDIDATES = 6
ITERATIONS = 30
CONVERGED_PX = 1e-3
INSIDE = 0.1
"""Voxels where the mask is above this are compared."""
TOLERANCE = 0.5
"""Maps lie alike when no part of the particle lies farther off than this part of the resolution: half a period,
the most that maps of few particles are uncertain by. One that somebody turned or shifted is farther off."""


@dataclass(frozen=True)
class MapAlignment:
    """x_ours = rotation x_theirs + shift_A, in the maps' x, y, z from the origin voxel.

    correlation: of the maps inside of the mask, once moved. displacement_A: the farthest that any point within the
    particle's radius moves.
    """

    rotation: Array
    shift_A: Array
    correlation: float
    displacement_A: float

    @property
    def angle_deg(self) -> float:
        """Angle of the rotation."""
        return float(np.rad2deg(Rotation.from_matrix(self.rotation).magnitude()))

    @property
    def distance_A(self) -> float:
        """Length of the shift."""
        return float(np.linalg.norm(self.shift_A))

    def agrees(self, resolution_A: float) -> bool:
        """Whether maps of a resolution lie alike."""
        return self.displacement_A <= TOLERANCE * resolution_A


def align_maps(
    ours: NDArray[np.float32],
    theirs: NDArray[np.float32],
    mask: NDArray[np.float32],
    pixel_size_A: float,
    resolution_A: float,
    radius_A: float,
    symmetry: Array | None = None,
) -> MapAlignment:
    """How the map `theirs` (z, y, x) lies on `ours`; `mask` is in ours.

    resolution_A: up to which they are compared. symmetry: (g, 3, 3) rotations that leave the map as it is; if
    given, all rotations and shifts are tried, and the smallest of equivalent rotations is returned. Otherwise the
    search stays near by.
    """
    here, there, pixel = _limited(ours, theirs, pixel_size_A, resolution_A)
    weight = np.clip(resample(mask, len(here)), 0.0, 1.0)
    starts = [(np.eye(3), np.zeros(3))]
    if symmetry is not None:
        blurred = _limited(ours * mask, theirs, pixel_size_A, max(resolution_A, BLUR * radius_A))
        starts += [(turn, shift * blurred[2] / pixel) for turn, shift in _coarse(*blurred[:2])]
    found = [_refine(here, there, weight, *start) for start in starts]
    rotation, shift, correlation = max(found, key=lambda one: one[2])
    if symmetry is not None:
        rotation = min((rotation @ mate for mate in symmetry), key=lambda one: -np.trace(one))
    displacement = _displacement(rotation, shift * pixel, radius_A)
    return MapAlignment(rotation, shift * pixel, correlation, displacement)


def _limited(
    ours: NDArray[np.float32], theirs: NDArray[np.float32], pixel_size_A: float, resolution_A: float
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """Both maps up to a resolution, with three pixels to it, and the size of these pixels (A)."""
    box = len(ours)
    small = min(box, 2 * covering_shell(box, pixel_size_A, resolution_A / 1.5))
    limited = [resample(low_pass(one, pixel_size_A, resolution_A), small) for one in (ours, theirs)]
    return limited[0], limited[1], pixel_size_A * box / small


def _displacement(rotation: Array, shift_A: Array, radius_A: float) -> float:
    """The farthest that a point of a ball moves: at most 2 sin(angle / 2) times the radius, and the shift."""
    angle = Rotation.from_matrix(rotation).magnitude()
    return float(2 * np.sin(angle / 2) * radius_A + np.linalg.norm(shift_A))


def _coarse(ours: NDArray[np.floating], theirs: NDArray[np.floating]) -> list[tuple[Array, Array]]:
    """The best few rotations of a grid, each with its best shift (px): x_ours = R x_theirs + shift."""
    box = len(ours)
    reference = np.conj(transform(ours))
    reference[shell_radius(box) > box / 2] = 0
    best: list[tuple[float, Array, Array]] = []
    centre = box // 2
    points = np.stack(np.meshgrid(*[np.arange(box) - centre] * 3, indexing="ij")[::-1], axis=-1)  # x, y, z
    for rotation in rotation_grid(GRID_DEG):
        at = points @ rotation  # R^T x, for every x of ours
        turned = map_coordinates(theirs, (at + centre).T[::-1].transpose(0, 3, 2, 1), order=1)
        correlation = inverse(np.conj(reference * transform(turned)), box)
        place = np.unravel_index(int(np.argmax(correlation)), correlation.shape)
        shift = np.array([(p + centre) % box - centre for p in place[::-1]], dtype=np.float64)
        best.append((float(correlation[place]) / max(float(np.linalg.norm(turned)), 1e-30), rotation, shift))
    best.sort(key=lambda one: -one[0])
    return [(rotation, shift) for _, rotation, shift in best[:CANDIDATES]]


def rotation_grid(spacing_deg: float) -> list[Array]:
    """Rotations about so far apart: views spread evenly over the sphere, times turns about each of them."""
    spacing = np.deg2rad(spacing_deg)
    count = int(np.ceil(4 * np.pi / spacing**2))
    golden = np.pi * (3 - np.sqrt(5))
    turns = np.arange(0, 2 * np.pi, 2 * np.pi / int(np.ceil(2 * np.pi / spacing)))
    grid = []
    for number in range(count):
        tilt = np.arccos(1 - (2 * number + 1) / count)
        for turn in turns:
            grid.append(Rotation.from_euler("ZYZ", (golden * number, tilt, turn)).as_matrix())
    return grid


def _refine(
    ours: NDArray[np.floating],
    theirs: NDArray[np.floating],
    weight: NDArray[np.floating],
    rotation: Array,
    shift: Array,
) -> tuple[Array, Array, float]:
    """Gauss-Newton from a start; rotation, shift (px) and the correlation that they reach."""
    box = len(ours)
    inside = np.argwhere(weight > INSIDE)
    points = (inside - box // 2)[:, ::-1].astype(np.float64)  # x, y, z
    w = weight[tuple(inside.T)].astype(np.float64)
    target = ours[tuple(inside.T)].astype(np.float64)
    filtered = [spline_filter(one, order=3) for one in (theirs, *_gradient(theirs))]
    reach = float(np.linalg.norm(points, axis=1).max(initial=1.0))
    correlation = _at(filtered[0], points, rotation, shift, target, w)[1]
    for _ in range(ITERATIONS):
        at = (points - shift) @ rotation  # x_theirs = R^T (x_ours - shift)
        value, _ = _at(filtered[0], points, rotation, shift, target, w)
        slope = np.stack([_sample(one, at) for one in filtered[1:]], axis=-1) @ rotation.T  # in our axes
        moved = points - shift
        # theirs seen through a further turn by `a` and shift by `s`: -slope . (a x moved + s)
        design = np.concatenate([np.cross(slope, moved), -slope, value[:, None]], axis=1)
        step = np.linalg.lstsq(design * w[:, None], target * w, rcond=None)[0]
        if step[6] <= 0:
            break
        angle, move = step[:3] / step[6], step[3:6] / step[6]
        length = np.linalg.norm(angle) * reach + np.linalg.norm(move)
        damping = min(1.0, box / 8 / max(length, 1e-12))
        turn = Rotation.from_rotvec(angle * damping).as_matrix()
        new_rotation, new_shift = turn @ rotation, shift + move * damping
        new = _at(filtered[0], points, new_rotation, new_shift, target, w)[1]
        if new <= correlation:
            break
        rotation, shift, correlation = new_rotation, new_shift, new
        if length < CONVERGED_PX:
            break
    return rotation, shift, correlation


def _gradient(volume: NDArray[np.floating]) -> list[NDArray[np.float32]]:
    """Derivatives by x, y and z."""
    box = len(volume)
    spectrum = transform(volume)
    along = 2j * np.pi * scipy.fft.fftfreq(box)
    half = 2j * np.pi * scipy.fft.rfftfreq(box)
    factors = (half, along[:, None], along[:, None, None])
    return [inverse((spectrum * factor).astype(np.complex64), box) for factor in factors]


def _sample(volume: NDArray[np.floating], at: Array) -> Array:
    return map_coordinates(volume, at.T[::-1] + len(volume) // 2, order=3, prefilter=False, output=np.float64)


def _at(volume: NDArray[np.floating], points: Array, rotation: Array, shift: Array, target: Array, w: Array):
    """Values of the moved map at the points, and its weighted correlation with the target."""
    value = _sample(volume, (points - shift) @ rotation)
    a, b = (one - np.average(one, weights=w) for one in (value, target))
    scale = np.sqrt((w * a * a).sum() * (w * b * b).sum())
    return value, float((w * a * b).sum() / scale) if scale > 0 else 0.0
