"""How much the images of a species tell of their own shifts and turns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mpop.maps.fsc import THRESHOLD
from mpop.projection.score import project_slices
from mpop.refinement.target import SpeciesImages, SpeciesScore

Array = NDArray[np.float64]

LEAST_AGREEMENT = THRESHOLD
"""Of two half-maps in the shells that are used."""
SMALL_TURN_DEG = 0.5
"""At the edge of a particle of 200 A this is 0.9 A: less than any reference resolves."""


def image_information(species: SpeciesImages, scored: SpeciesScore, rows: Array) -> tuple[Array, Array]:
    """Expected curvature of L by the shift (1/A^2) and by a rotation (1/deg^2) of each image, (m,).

    Of a shift, 2 a^2 (2 pi)^2 sum Q |R|^2 k_x^2; of a turn, 2 a^2 sum Q |dR|^2, with dR how slices change when
    they turn, both from a sample of the images. Noise in R turns like a signal does, and of molecules that are
    nearly round it is most of what turns: only changes that both half-maps have count, each ring of them divided
    by how well the half-maps agree in it, as they do in R.
    """
    sample = np.linspace(0, len(rows) - 1, min(64, len(rows))).astype(int)
    scale, power = species.row_scale, species.power[sample]

    def slices(at: Array) -> tuple[NDArray, NDArray]:
        first, second = (project_slices(one, species.disc, at * scale) for one in species.references)
        return first, second

    still = slices(rows[sample])
    own, shared = _ring_sums(species, power, still)
    agreement = np.clip(np.divide(shared, own, out=np.zeros_like(own), where=own > 0), LEAST_AGREEMENT, 1.0)
    total = max(float(own.sum()), np.finfo(float).tiny)
    k = np.arange(len(own)) / (species.disc.size * species.pixel_size_A)
    by_shift = (2 * np.pi) ** 2 * float((own * k**2 / 2).sum())
    turning = 0.0
    for turned in _turned(rows[sample]):
        changes = [after - before for after, before in zip(slices(turned), still, strict=True)]
        own, shared = _ring_sums(species, power, (changes[0], changes[1]))
        turning += float(np.maximum(shared / agreement, LEAST_AGREEMENT * own).sum()) / 3 / SMALL_TURN_DEG**2
    each = 2 * scored.amplitude**2 * scored.reference_power / total
    return each * by_shift, each * turning


def _ring_sums(
    species: SpeciesImages, power: NDArray[np.floating], slices: tuple[NDArray, NDArray]
) -> tuple[Array, Array]:
    """(rings,) sums of Q |A|^2, the mean of two sets of slices (s, pixels), and of Q Re(A* B)."""
    ring = np.rint(species.disc.radius).astype(int)
    first, second = slices
    own = (power * (np.square(np.abs(first)) + np.square(np.abs(second))) / 2).sum(axis=0)
    shared = (power * np.real(first.conj() * second)).sum(axis=0)
    return _per_ring(ring, own), _per_ring(ring, shared)


def _per_ring(ring: NDArray[np.int_], values: NDArray[np.floating]) -> Array:
    return np.bincount(ring, values).astype(np.float64)


def _turned(rows: Array) -> list[Array]:
    """Slice rows (m, 2, 3) after a small turn of the image's frame about x, y and z."""
    x, y = rows[:, 0], rows[:, 1]
    z, angle = np.cross(x, y), np.deg2rad(SMALL_TURN_DEG)
    moves = [(np.zeros_like(x), -z), (z, np.zeros_like(x)), (-y, x)]
    return [rows + angle * np.stack(move, axis=1) for move in moves]


def by_turn(rows: Array, d_rows: Array) -> Array:
    """(m, 3) derivatives by a turn (degrees) of the image's frame about x, y and z, from those by slice rows."""
    (x, y), (first, second) = rows.swapaxes(0, 1), d_rows.swapaxes(0, 1)
    z = np.cross(x, y)
    turned = np.stack([-(z * second).sum(1), (z * first).sum(1), (x * second - y * first).sum(1)], axis=1)
    return turned * np.deg2rad(1.0)
