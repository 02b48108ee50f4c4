"""How well a set of viewing directions fills Fourier space.

An image seen along n measures the central slice of the map's transform perpendicular to n. Of a particle of
diameter D, that slice is 1/D thick, so that it takes part in a point of the transform at frequency k if

    |n . k| < 1 / (2 D),        on the shell of radius q = |k| D:   |n . k/|k|| < 1 / (2 q).

The sampling of a point is the number (or summed weight) of images that do. From the sampling s of a shell follow,
with Baldwin & Lyumkis (2020, 2021), the mean over the shell written <>, and p the part of it with s > 0,

    SCF  = 1 / (<s> <1/s>),          1 / SCF* = <s> (<1/s>_sampled + (1 - p) / (2 p)).

SCF is the factor by which uneven sampling lowers the spectral SNR that as many even views would give: 1 for even
views, 8 / pi^2 = 0.81 for side views alone. SCF* also counts points that no image measures.

The efficiency of Naydenova & Russo (2017) looks at the point spread function, that is the transform of all slices
damped by exp(-B k^2 / 4), and at the distance R at which it has fallen to 1 / e^2 of its height at the origin:

    PSF(r) = < exp(-4 pi^2 |r - (r.n) n|^2 / B) sinc(r.n / D) >_images,        E_od = 1 - 2 sd(R) / mean(R).

Over directions, R is equal and E_od = 1 for even views. By the same integrals E_od is 0.285 for side views alone
and negative for a single view.

Every result holds for a point group: a point is read at all of its mates, which is what averaging a map over its
symmetry does to its transform.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

Array = NDArray[np.float64]

SHELL_POINTS = 10_000
"""On a whole sphere: 2 degrees apart."""
LEAST_UNIQUE_POINTS = 1_000
"""Where symmetry leaves a small part of the sphere, points lie closer."""
PSF_POINTS = 2_000
PSF_BINS = 8_000
"""Images are gathered to so many directions of the sphere before the point spread function is taken, which at its
threshold is far smoother than their distance, 2 degrees."""
BISECTIONS = 24
BLOCK_IMAGES = 4096
BLOCK_POINTS = 64
"""Inner products taken at a time: what fits into a core's cache."""


@dataclass(frozen=True)
class Views:
    """n images: unit viewing directions (n, 3) in the frame of the map, and what each counts (n,)."""

    direction: Array
    weight: Array

    def __len__(self) -> int:
        return len(self.weight)


@dataclass(frozen=True)
class Sphere:
    """Directions evenly over the part of a sphere that a point group and Friedel's law leave unique.

    mates: (u, g, 3), the mates of each of u points by the g rotations of the group.
    """

    mates: Array

    @property
    def points(self) -> Array:
        """(u, 3) the unique points themselves."""
        return self.mates[:, 0]

    def nearest(self, direction: Array) -> NDArray[np.int64]:
        """(n,) index of the unique point whose mate or antipode is nearest to each direction (n, 3)."""
        unique, rotations, _ = self.mates.shape
        everywhere = self.mates.reshape(-1, 3)
        index = KDTree(np.concatenate([everywhere, -everywhere])).query(direction)[1]
        return index % (unique * rotations) // rotations


@dataclass(frozen=True)
class ShellSampling:
    """The sampling of one shell: its value (u,) at the unique points of a sphere, in images.

    radius: of the shell, in units of 1 / diameter. mean, empty: over the shell; empty is a fraction.
    """

    sphere: Sphere
    value: Array
    radius: float
    mean: float
    empty: float
    scf: float
    scf_star: float


@dataclass(frozen=True)
class Efficiency:
    """E_od, and the extent R of the point spread function in A at the unique points of a sphere, (u,)."""

    sphere: Sphere
    extent_A: Array
    efficiency: float


def directions_of_angles(angles_deg: Array) -> Array:
    """(n, 3) viewing directions of RELION's rot and tilt, (n, 2 or more): third row of A."""
    rot, tilt = np.deg2rad(np.asarray(angles_deg, dtype=np.float64)[:, :2]).T
    return np.stack([np.sin(tilt) * np.cos(rot), np.sin(tilt) * np.sin(rot), np.cos(tilt)], axis=1)


def fibonacci_sphere(count: int) -> Array:
    """(count, 3) directions, each with the same area around it."""
    index = np.arange(count) + 0.5
    z = 1 - 2 * index / count
    longitude = np.pi * (1 + 5**0.5) * index
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(longitude), radius * np.sin(longitude), z], axis=1)


def unique_sphere(matrices: Array, count: int) -> Sphere:
    """About count / (2 g) directions, 1000 at least: those that are nearer to a pole than all their mates.

    matrices: (g, 3, 3) rotations of the group, the identity first. The pole lies on no axis of any group.
    """
    pole = np.array([0.4152, 0.2137, 0.8843])
    everywhere = fibonacci_sphere(max(count, 2 * len(matrices) * LEAST_UNIQUE_POINTS))
    mates = np.einsum("gij,pj->pgi", matrices, everywhere)
    height = mates @ pole
    return Sphere(mates[height[:, 0] >= np.abs(height).max(axis=1)])


def shell_sampling(views: Views, matrices: Array, radius: float) -> ShellSampling:
    """Sampling of the shell at `radius`, in units of 1 / diameter, by images averaged over a point group.

    The value is that of one asymmetric unit of images at each of the g mates, all added up.
    """
    sphere = unique_sphere(matrices, SHELL_POINTS)
    unique, rotations, _ = sphere.mates.shape
    counts = _slices_through(sphere.mates.reshape(-1, 3), views, 0.5 / radius)
    value = counts.reshape(unique, rotations).sum(axis=1)
    return ShellSampling(sphere, value, radius, *_compensation(value))


def _slices_through(points: Array, views: Views, half_thickness: float) -> Array:
    """(p,) summed weight of the images with |n . point| below a bound."""
    single = points.astype(np.float32)
    direction = views.direction.astype(np.float32)
    weight = views.weight.astype(np.float32)
    out = np.zeros(len(points))
    for first in range(0, len(direction), BLOCK_IMAGES):
        normals = direction[first : first + BLOCK_IMAGES].T
        weights = weight[first : first + BLOCK_IMAGES]
        for start in range(0, len(single), BLOCK_POINTS):
            within = np.abs(single[start : start + BLOCK_POINTS] @ normals) < half_thickness
            out[start : start + BLOCK_POINTS] += within.astype(np.float32) @ weights
    return out


def _compensation(value: Array) -> tuple[float, float, float, float]:
    """Mean, empty fraction, SCF and SCF* of samplings at evenly spread points."""
    sampled = value[value > 0]
    mean, part = float(value.mean()), len(sampled) / len(value)
    if part == 0:
        return 0.0, 1.0, 0.0, 0.0
    reciprocal = float((1 / sampled).mean())
    scf = 1 / (mean * reciprocal) if part == 1 else 0.0
    return mean, 1 - part, scf, 1 / (mean * (reciprocal + (1 - part) / (2 * part)))


def efficiency(views: Views, matrices: Array, diameter_A: float, bfactor_A2: float) -> Efficiency:
    """E_od of images averaged over a point group; B positive = damping.

    The search for R ends at the diameter: an object has no larger extent.
    """
    sphere = unique_sphere(matrices, PSF_POINTS)
    gathered = _gather(_mates(_gather(views), matrices))
    along = np.abs(sphere.points @ gathered.direction.T).astype(np.float32)
    across = (4 * np.pi**2 / bfactor_A2) * (1 - np.square(along))
    weight = (gathered.weight / gathered.weight.sum()).astype(np.float32)
    low, high = np.zeros(len(along)), np.full(len(along), diameter_A)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        distance = middle[:, None].astype(np.float32)
        height = (np.exp(-across * np.square(distance)) * np.sinc(along * distance / diameter_A)) @ weight
        low, high = np.where(height > np.exp(-2), middle, low), np.where(height > np.exp(-2), high, middle)
    extent = (low + high) / 2
    return Efficiency(sphere, extent, float(1 - 2 * extent.std() / extent.mean()))


def _mates(views: Views, matrices: Array) -> Views:
    """Every view as each symmetry mate of the particle shows it."""
    direction = np.einsum("gji,nj->gni", matrices, views.direction).reshape(-1, 3)
    return Views(direction, np.tile(views.weight, len(matrices)))


def _gather(views: Views) -> Views:
    """Fewer directions with the same weight: the means of those that are nearest to one point of a sphere."""
    bins = fibonacci_sphere(PSF_BINS)
    upper = views.direction * np.where(views.direction[:, 2:] < 0, -1.0, 1.0)
    index = KDTree(bins).query(upper)[1]
    weight = np.bincount(index, views.weight, minlength=len(bins))
    used = np.flatnonzero(weight > 0)
    sums = [np.bincount(index, views.weight * axis, minlength=len(bins))[used] for axis in upper.T]
    direction = np.stack(sums, axis=1)
    unit = direction / np.linalg.norm(direction, axis=1, keepdims=True)
    return Views(unit, np.asarray(weight[used], dtype=np.float64))
