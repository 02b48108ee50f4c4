"""What a conical FSC says about a map, in numbers: metrics of anisotropy, and how much of it is chance.

* Sphericity (Tan et al. 2017): of the body that the directions' crossings of 0.5 enclose in Fourier space.
* Area ratio (cFAR): the least area under a direction's curve up to its crossing of 0.143, over the largest.
* Occupancy (FSO, Vilas & Tagare 2023): at each shell the part of all directions whose FSC is still above 0.143;
  and Bingham's test of whether those directions could be spread evenly.

Noise alone makes directions differ. In a mask of volume fraction f neighbouring coefficients are correlated over
1 / f^(1/3) along each axis. A shell is thinner than that, so that of a cone's N coefficients in it n = f^(2/3) N
are independent, and its FSC varies by (1 - FSC^2)^2 / (2 n). Of a hemisphere's directions 1 / (1 - cos(half
angle)) are independent. `excess` compares the variance over directions, summed over shells up to the resolution,
with that: it is 1 for isotropic maps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpop.maps.conventions import SPHERE_THRESHOLD
from mpop.maps.directional import ConicalFSC
from mpop.maps.directions import Array, Rings, between_directions
from mpop_hooks.fsc_end import THRESHOLD, crossing, independent_part

FIRST_SHELL = 3
"""Cones hold a handful of coefficients in the shells before, which therefore decide nothing."""
BINGHAM_DIRECTIONS = 2 * 321
"""In the published test, which counts a direction and its opposite. Its statistic grows with their number."""
MESH_DEG = 2.0


@dataclass(frozen=True)
class Occupancy:
    """FSO by shell, 0 to 1, and the probability that Bingham's test gives to evenly spread directions."""

    part: Array
    bingham_p: Array


@dataclass(frozen=True)
class Chance:
    """What isotropic maps would show.

    sd: (shells,) standard deviation of a direction's FSC. frequency_sd: that of its crossing of 0.143, 1/A; None
    where the FSC crosses nowhere. excess: observed over expected variance. excess_sd: its standard deviation
    around 1 for isotropic maps.
    """

    sd: Array
    frequency_sd: float | None
    excess: float
    excess_sd: float

    @property
    def z(self) -> float:
        """Of the excess."""
        return (self.excess - 1) / self.excess_sd


def crossings(conical: ConicalFSC, threshold: float = THRESHOLD) -> Array:
    """(d,) frequency (1/A) where each direction's FSC first falls below, linear between shells.

    That of FIRST_SHELL where it is below from there on; Nyquist where it never falls below. One shell below
    between two above is no end while the whole shell is well above: a cone holds few coefficients there, and a
    structure may have next to no power in them.
    """
    correlation = conical.correlation
    dips = _single_dips(correlation, threshold) & (conical.whole >= (1 + threshold) / 2)
    index = _first_below(np.where(dips, threshold, correlation), threshold)
    return _crossings(correlation, conical.frequency, threshold, index)


def whole_crossing(conical: ConicalFSC, threshold: float, fraction: float, copies: int | None) -> float:
    """The same of the FSC over whole shells, as `mpop_hooks.fsc_end` tells an end from chance."""
    whole = np.where(np.arange(len(conical.whole)) < FIRST_SHELL, 1.0, conical.whole)
    end = crossing(conical.frequency, whole, threshold, fraction, copies)
    assert end is not None, "it starts above"
    return max(end, float(conical.frequency[FIRST_SHELL]))


def _single_dips(correlation: Array, threshold: float) -> NDArray[np.bool_]:
    """(d, shells) where a curve is below, and above on both sides; before FIRST_SHELL all counts as above."""
    below = correlation < threshold
    below[:, :FIRST_SHELL] = False
    dips = np.zeros_like(below)
    dips[:, 1:-1] = below[:, 1:-1] & ~below[:, :-2] & ~below[:, 2:]
    return dips


def _crossings(correlation: Array, frequency: Array, threshold: float, index: NDArray[np.intp]) -> Array:
    """index: (d,) of the first shell below."""
    last = len(frequency) - 1
    low = np.minimum(index, last)
    row = np.arange(len(correlation))
    before, after = correlation[row, low - 1], correlation[row, low]
    part = np.clip((before - threshold) / np.maximum(before - after, 1e-9), 0, 1)
    crossing = frequency[low - 1] + part * (frequency[low] - frequency[low - 1])
    return np.where(
        index > last, frequency[last], np.where(index == FIRST_SHELL, frequency[FIRST_SHELL], crossing)
    )


def _first_below(correlation: Array, threshold: float) -> NDArray[np.intp]:
    """(d,) first shell below, the number of shells where there is none."""
    below = correlation[:, FIRST_SHELL:] < threshold
    return np.where(below.any(axis=1), FIRST_SHELL + below.argmax(axis=1), correlation.shape[1])


def sphericity(conical: ConicalFSC, threshold: float = SPHERE_THRESHOLD) -> float:
    """pi^(1/3) (6 V)^(2/3) / A of the body that crossings of the threshold enclose; 1 for a ball."""
    return body_sphericity(crossings(conical, threshold), conical.rings)


def body_sphericity(radii: Array, rings: Rings) -> float:
    """Of the body whose surface is at radii (d,), in any unit, along the directions and their opposites."""
    rows, columns = round(90 / MESH_DEG) + 1, round(360 / MESH_DEG) + 1
    polar, azimuth = np.meshgrid(
        np.linspace(0, np.pi / 2, rows), np.linspace(0, 2 * np.pi, columns), indexing="ij"
    )
    unit = np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=-1)
    points = unit * between_directions(radii, rings, polar, azimuth)[..., None]
    a, b, c, d = points[:-1, :-1], points[1:, :-1], points[1:, 1:], points[:-1, 1:]
    normals = [np.cross(b - a, c - a), np.cross(c - a, d - a)]  # of two triangles, twice their area long
    area = sum(float(np.linalg.norm(normal, axis=-1).sum()) / 2 for normal in normals)
    volume = sum(float((a * normal).sum()) / 6 for normal in normals)
    return math.pi ** (1 / 3) * (12 * volume) ** (2 / 3) / (2 * area)  # both hemispheres


def areas(conical: ConicalFSC, threshold: float = THRESHOLD) -> Array:
    """(d,) area under each direction's FSC up to its crossing of the threshold, 1/A."""
    frequency, correlation = conical.frequency, conical.correlation
    crossing = crossings(conical, threshold)
    steps = np.diff(frequency) * (correlation[:, 1:] + correlation[:, :-1]) / 2
    index = np.minimum(np.searchsorted(frequency, crossing, side="right") - 1, len(frequency) - 1)
    row = np.arange(len(correlation))
    whole = np.concatenate([np.zeros((len(correlation), 1)), np.cumsum(steps, axis=1)], axis=1)[row, index]
    return whole + (crossing - frequency[index]) * (correlation[row, index] + threshold) / 2


def area_ratio(conical: ConicalFSC) -> float:
    """cFAR: least over largest area; 0 where some direction has none."""
    area = areas(conical)
    return max(0.0, float(area.min() / area.max())) if area.max() > 0 else 0.0


def occupancy(conical: ConicalFSC, threshold: float = THRESHOLD) -> Occupancy:
    """FSO and Bingham's test, with directions weighted by their solid angle."""
    above = conical.correlation >= threshold
    above[:, :FIRST_SHELL] = True
    weights = conical.rings.solid_angles
    part = np.minimum(weights @ above, 1.0)
    directions = conical.rings.directions
    outer = (directions[:, :, None] * directions[:, None, :]).reshape(-1, 9)
    orientation = (above * weights[:, None]).T @ outer / np.maximum(part, 1e-9)[:, None]
    statistic = 7.5 * BINGHAM_DIRECTIONS * part * (np.square(orientation).sum(axis=1) - 1 / 3)
    return Occupancy(part, np.array([_chi_squared_beyond(max(0.0, one)) for one in statistic]))


def _chi_squared_beyond(value: float) -> float:
    """Probability that chi-squared of 5 degrees of freedom exceeds a value."""
    return math.erfc(math.sqrt(value / 2)) + math.sqrt(2 * value / math.pi) * math.exp(-value / 2) * (
        1 + value / 3
    )


def mask_fraction(mask: NDArray[np.floating] | None) -> float:
    """Part of all coefficients that are independent in a mask; 1 without one."""
    return 1.0 if mask is None else independent_part(mask)


def chance(conical: ConicalFSC, fraction: float) -> Chance:
    """How much directions of isotropic maps with the same FSC would differ. fraction: see `mask_fraction`."""
    shells = np.arange(len(conical.whole))
    independent = 1 / (1 - math.cos(math.radians(conical.half_angle_deg)))
    pairs = np.maximum(fraction ** (2 / 3) * 2 * np.pi * np.square(shells) / independent, 1.0)
    sd = (1 - np.square(np.clip(conical.whole, 0, 1))) / np.sqrt(2 * pairs)
    weights = conical.rings.solid_angles[:, None]
    mean = (weights * conical.correlation).sum(axis=0)
    observed = (weights * np.square(conical.correlation - mean)).sum(axis=0)
    crossing = int(_first_below(mean[None], THRESHOLD)[0])
    used = slice(FIRST_SHELL, max(crossing, FIRST_SHELL + 1))
    expected = np.square(sd[used]) * (1 - 1 / independent)
    correlated_shells = fraction ** (-1 / 3)
    excess_sd = math.sqrt(2 / (independent - 1) * correlated_shells * np.square(expected).sum()) / expected.sum()
    frequency_sd = None
    if FIRST_SHELL < crossing < len(shells):
        slope = (mean[crossing - 1] - mean[crossing]) / conical.frequency[1]
        frequency_sd = float(sd[crossing] / slope)
    return Chance(sd, frequency_sd, float(observed[used].sum() / expected.sum()), excess_sd)


def signal_z(conical: ConicalFSC, fraction: float) -> float:
    """How far from noise the FSC over whole shells is, up to its crossing of 0.143, in standard deviations.

    As for the resolution of `mpop.maps.fsc`, which see.
    """
    used = slice(1, max(2, int(_first_below(conical.whole[None], THRESHOLD)[0])))
    pairs = fraction * 2 * np.pi * np.square(np.arange(len(conical.whole)))[used]
    return float((pairs * conical.whole[used]).sum() / math.sqrt(pairs.sum() / 2))
