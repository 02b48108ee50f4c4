"""Half-maps whose directions were measured unevenly, with known truth: from a formula, and from simulated images.

`missing_cone` is the phantom on which spIsoNet was measured: helices of Gaussian atoms, and half-maps

    half = (w S + sqrt(w) n) / (w + 0.1) * 1.1

with S the truth's spectrum, w the density of sampling, 1 but 0.0005 within 45 degrees of z, and n white noise as
strong as the signal at 6.5 A. `from_views` simulates images of an atomic model with CTF and noise, seen from
preferred directions, and reconstructs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from benchmarks.peers.steps.half_maps import half_maps
from mpop.formats.images import read_map
from mpop.formats.star import read_star, write_star
from mpop.maps.filters import inverse, transform
from mpop.simulation.stacks import StackParameters, simulate_stack

Map = NDArray[np.float32]
Array = NDArray[np.float64]

BOX, PIXEL_SIZE_A = 96, 2.0
CONE_DEG, EDGE_DEG = 45.0, 4.0
ATOM_SIGMA_A = 1.3
FLOOR, REGULARISATION = 0.0005, 0.1
NOISE_AS_SIGNAL_AT_A = 6.5
GUARD_DEG = 4.0
"""Coefficients that close to the surface of the cone are not judged."""


@dataclass(frozen=True)
class Uneven:
    """Maps (z, y, x) and where they are poor: latitudes (degrees from the xy plane) above `poor_above_deg`."""

    name: str
    truth: Map
    half1: Map
    half2: Map
    mask: Map
    pixel_size_A: float
    poor_above_deg: float

    def agreement(self, volume: Map, finest_A: float) -> tuple[float, float]:
        """Mean over shells from 20 A to the finest of the FSC with the truth, in poor and in good directions."""
        poor, good = (float(curve[self.judged(finest_A)].mean()) for curve in self.curves(volume))
        return poor, good

    def judged(self, finest_A: float) -> NDArray[np.bool_]:
        """The shells from 20 A to the finest."""
        frequency = np.arange(len(self.truth) // 2 + 1) / (len(self.truth) * self.pixel_size_A)
        return (frequency >= 1 / 20) & (frequency <= 1 / finest_A)

    def curves(self, volume: Map) -> tuple[Array, Array]:
        """FSC with the truth by shell, in poor and in good directions; NaN where there are none."""
        box = len(volume)
        latitude, radius = _directions(box)
        shell = np.where(radius <= box // 2, np.rint(radius), box // 2 + 1).astype(int)
        first, second = transform(self.truth * self.mask), transform(volume * self.mask)

        def curve(part: NDArray[np.bool_]) -> Array:
            cross, power1, power2 = (
                np.bincount(shell[part], values[part], box // 2 + 2)[: box // 2 + 1]
                for values in (np.real(first * second.conj()), np.abs(first) ** 2, np.abs(second) ** 2)
            )
            return cross / np.sqrt(power1 * power2 + 1e-30) if part.any() else np.full(len(cross), np.nan)

        return (
            curve(latitude > self.poor_above_deg + GUARD_DEG),
            curve(latitude < self.poor_above_deg - GUARD_DEG),
        )


def missing_cone(seed: int) -> Uneven:
    """The phantom; each seed has other helices and other noise."""
    rng = np.random.default_rng(seed)
    radius = min(0.33 * BOX * PIXEL_SIZE_A, 70.0)
    truth = _rendered(*_helices(rng, radius, int(45 * (radius / 63.0) ** 3)))
    latitude, shell = _directions(BOX)
    sampling = FLOOR + (1 - FLOOR) / (1 + np.exp((latitude - CONE_DEG) / (EDGE_DEG / 4)))
    sampling[shell < 2.5] = 1
    spectrum = transform(truth)
    level = np.sqrt(
        np.mean(np.abs(spectrum[np.rint(shell) == round(PIXEL_SIZE_A * BOX / NOISE_AS_SIGNAL_AT_A)]) ** 2)
    )
    halves = []
    for _ in range(2):
        noise = transform(rng.normal(size=truth.shape)) / np.sqrt(truth.size) * level
        kept = (sampling * spectrum + np.sqrt(sampling) * noise) / (sampling + REGULARISATION)
        halves.append(inverse(np.asarray(kept * (1 + REGULARISATION), dtype=np.complex64), BOX))
    smooth = gaussian_filter(truth, 2.0)
    outside = np.asarray(distance_transform_edt(smooth <= 0.05 * smooth.max()))
    mask = np.clip(1 - (outside - 2) / 5, 0, 1).astype(np.float32)
    return Uneven(f"missing cone, seed {seed}", truth, halves[0], halves[1], mask, PIXEL_SIZE_A, CONE_DEG)


def from_views(name: str, parameters: StackParameters) -> Uneven:
    """Half-maps reconstructed with true poses from simulated images."""
    with TemporaryDirectory() as folder:
        stack = Path(folder) / "stack"
        simulate_stack(stack, parameters)
        blocks = read_star(stack / "truth" / "particles.star")
        blocks["particles"] = blocks["particles"].assign(rlnPhaseShift=0.0)
        write_star(stack / "true.star", blocks)
        outputs = [stack / "reconstructed1.mrc", stack / "reconstructed2.mrc"]
        half_maps(stack / "true.star", outputs)
        paths = (stack / "truth" / "map.mrc", *outputs, stack / "mask.mrc")
        truth, half1, half2, mask = (read_map(path)[0] for path in paths)
    return Uneven(
        name, truth, half1, half2, mask, parameters.pixel_size_A, min(parameters.preferred_spread_deg, 90.0)
    )


def _directions(box: int) -> tuple[Map, Map]:
    """Latitude in degrees and radius in voxels of every coefficient, in rfftn layout."""
    axis = np.fft.fftfreq(box, 1 / box)
    across = np.hypot(axis[:, None], np.arange(box // 2 + 1))[None]
    along = np.abs(axis)[:, None, None]
    latitude = np.rad2deg(np.arctan2(along, across + 1e-9))
    return latitude.astype(np.float32), np.hypot(along, across).astype(np.float32)


def _helices(rng: np.random.Generator, radius: float, number: int) -> tuple[Array, Array]:
    """Positions (n, 3) in A and weights of the atoms of alpha helices that do not touch, within a sphere."""
    positions, weights, axes = [], [], []
    for _ in range(20_000):
        if len(axes) == number:
            break
        centre = rng.uniform(-radius, radius, 3)
        if np.linalg.norm(centre) > radius - 10:
            continue
        axis = rng.normal(size=3)
        axis /= np.linalg.norm(axis)
        line = centre + axis * np.linspace(-15, 15, 7)[:, None]
        if max(np.linalg.norm(line[0]), np.linalg.norm(line[-1])) > radius:
            continue
        if axes and np.linalg.norm(np.concatenate(axes)[:, None] - line, axis=-1).min() < 8.5:
            continue
        axes.append(line)
        atoms, atom_weights = _helix(rng, centre, axis)
        positions += atoms
        weights += atom_weights
    return np.array(positions), np.array(weights)


def _helix(
    rng: np.random.Generator, centre: Array, axis: Array, residues: int = 20
) -> tuple[list[Array], list[float]]:
    first = np.cross(axis, [0.3, 0.5, 0.81])
    first /= np.linalg.norm(first)
    second = np.cross(axis, first)
    backbone = (
        (0, 2.3, 0, 1.0),
        (0.9, 1.7, 0.45, 1.0),
        (1.0, 2.0, 0.9, 1.0),
        (-0.6, 1.6, -0.5, 0.9),
        (0, 3.3, 0.1, 1.0),
    )
    positions, weights = [], []

    def add(height: float, distance: float, angle: float, weight: float) -> None:
        across = first * np.cos(angle) + second * np.sin(angle)
        positions.append(centre + axis * height + distance * across)
        weights.append(weight)

    for residue in range(residues):
        height, turn = 1.5 * (residue - residues / 2), np.deg2rad(100 * residue)
        for rise, distance, ahead, weight in backbone:
            add(height + rise, distance, turn + ahead, weight)
        if rng.random() < 0.8:
            for atom in range(rng.integers(1, 4)):
                add(height - 0.5 * atom, 4.5 + 1.3 * atom, turn + 0.1, 0.9)
    return positions, weights


def _rendered(positions: Array, weights: Array) -> Map:
    volume = np.zeros((BOX,) * 3, dtype=np.float32)
    sigma = ATOM_SIGMA_A / PIXEL_SIZE_A
    reach = int(np.ceil(4 * sigma))
    for place, weight in zip(positions[:, ::-1] / PIXEL_SIZE_A + BOX // 2, weights, strict=True):
        near = [slice(max(0, round(x) - reach), min(BOX, round(x) + reach + 1)) for x in place]
        z, y, x = (
            np.exp(-0.5 * np.square((np.arange(part.start, part.stop) - at) / sigma))
            for part, at in zip(near, place, strict=True)
        )
        volume[tuple(near)] += weight * (z[:, None, None] * y[:, None] * x)
    return volume
