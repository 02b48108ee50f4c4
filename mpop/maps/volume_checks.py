"""Whether two volumes can be half-maps of one reconstruction: one doubt for each reason.

numpy is enough for all of this, so that `mpop fsc3d`, which waits for no larger library, can ask too.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mpop.doubts import Doubt
from mpop.maps.shift_checks import AGREEMENT_GAIN, LEAST_COARSE_SHIFT, LEAST_SHIFT, shift_between, shifted_back

FAINT = 1e-4
"""Of the power of the strongest ring: what is fainter counts as nothing in both half-maps."""
FEW_SOLVENT = 1000
UNLIKE_POWER = 4.0
"""How far the power of one half-map over that of the other may differ from one part of the spectrum to another;
half-sets of unequal size make it 1 to 2."""
RINGS_TOGETHER = 5
"""A filter reaches over several rings. In one where the signal has a zero, a map of high symmetry holds a handful
of independent coefficients, whose power differs by chance."""
COPIED_NOISE = 0.5
"""Correlation of the finest detail of the solvent, where independent half-maps have none; a half-map and the mean
of both have 0.7."""
SECTIONS = 5
EMPTY_PART = 0.6
"""More zeros than this are more than what lies outside of a sphere: the maps were masked before."""
EMPTY_APART = 0.1
COARSE_PART = 0.25
"""A resolution below this part of Nyquist is coarse enough to ask whether one half is the other's mirror image."""
CONTRAST = -0.2
"""Mean FSC below which one map is the other's negative."""
HAND_BOX, HAND_SHELLS, HAND_GAIN = 40, 16, 0.2
"""Of the coarse maps whose hands are compared; the shells; and by how much more the mirror image must agree."""

USE_BOTH = "use both half-maps of one reconstruction, as they came out of it"

Map = NDArray[np.float32]


def volume_doubts(
    where: str,
    half1: Map,
    half2: Map,
    mask: Map | None,
    correlation: NDArray[np.floating],
    resolved: int,
    pixel_size_A: float,
) -> list[Doubt]:
    """Why these are no half-maps of one reconstruction; empty when there is no reason.

    where: the half-maps in words. mask: None for none. correlation: (k,) their FSC. resolved: the last shell
    before it falls below its threshold.
    """
    found = [
        _masked_before(half1, half2),
        _unlike(half1, half2, pixel_size_A),
        _copied_noise(half1, half2, mask),
        opposite_contrast(correlation),
        _opposite_hand(half1, half2, resolved),
    ]
    if not any(found):
        found = [_shifted(half1, half2, pixel_size_A)]
    return [replace(doubt, where=where) for doubt in found if doubt is not None]


def unnamed_doubt(kind: str, read: str, way_on: str = "", grave: bool = False) -> Doubt:
    """Of half-maps that are named later."""
    return Doubt(kind, "", read, way_on=way_on, grave=grave)


def _masked_before(half1: Map, half2: Map) -> Doubt | None:
    first, second = (1 - np.count_nonzero(half) / half.size for half in (half1, half2))
    if abs(first - second) > EMPTY_APART:
        return unnamed_doubt(
            "half-maps-unlike",
            f"{100 * first:.0f} % of the voxels of the first are exactly 0, and {100 * second:.0f} % of the "
            "second: one was masked and the other was not",
            USE_BOTH,
            grave=True,
        )
    empty = min(first, second)
    if empty <= EMPTY_PART:
        return None
    return unnamed_doubt(
        "half-maps-masked",
        f"{100 * empty:.0f} % of the voxels are exactly 0: the half-maps were masked before, which randomising "
        "phases cannot see",
        "use unmasked half-maps",
    )


def _unlike(half1: Map, half2: Map, pixel_size_A: float) -> Doubt | None:
    """By the power of sections, which holds all that was filtered, sharpened or masked in one map alone."""
    together = np.ones(RINGS_TOGETHER)
    first, second = (np.convolve(_power_of_sections(half), together, mode="same") for half in (half1, half2))
    held = (first > 0) | (second > 0)
    ratio = (first[held] + FAINT * first.max()) / (second[held] + FAINT * second.max())
    if not len(ratio) or ratio.max() <= UNLIKE_POWER * ratio.min():
        return None
    rings = np.flatnonzero(held) + 1
    most, least = (len(half1) * pixel_size_A / rings[at] for at in (ratio.argmax(), ratio.argmin()))
    return unnamed_doubt(
        "half-maps-unlike",
        f"measured by the second, the first has {ratio.max() / ratio.min():.3g} times as much power at "
        f"{most:.1f} A as at {least:.1f} A: they were not made alike. Is one a full, filtered, masked "
        "or sharpened map?",
        USE_BOTH,
        grave=True,
    )


def _power_of_sections(half: Map) -> NDArray[np.float64]:
    """(box // 2 - 1,) mean power of the rings from 1 on of some sections about the middle, across z."""
    box = len(half)
    middle = half[(box - SECTIONS) // 2 : (box + SECTIONS) // 2]
    power = np.square(np.abs(np.fft.rfft2(middle))).sum(axis=0)
    y, x = np.fft.fftfreq(box) * box, np.arange(box // 2 + 1)
    ring = np.rint(np.hypot(y[:, None], x)).astype(np.intp).ravel()
    return (np.bincount(ring, power.ravel()) / np.bincount(ring))[1 : box // 2]


def _copied_noise(half1: Map, half2: Map, mask: Map | None) -> Doubt | None:
    """By differences of neighbours in the solvent, which are noise and no shape."""
    box = len(half1)
    middle = slice((box - SECTIONS) // 2, (box + SECTIONS) // 2)
    first, second = (np.diff(half[middle].astype(np.float64), axis=2) for half in (half1, half2))
    solvent = _solvent(box, mask)[middle][:, :, 1:] & (first != 0) & (second != 0)
    if np.count_nonzero(solvent) < FEW_SOLVENT:
        return None
    a, b = first[solvent], second[solvent]
    correlation = float(a @ b / np.sqrt((a @ a) * (b @ b)))
    if correlation <= COPIED_NOISE:
        return None
    return unnamed_doubt(
        "half-maps-not-independent",
        f"their noise in the solvent correlates by {correlation:.2f}, and that of independent half-maps does not: "
        "is one of them the full map, or a copy of the other?",
        USE_BOTH,
        grave=True,
    )


def _solvent(box: int, mask: Map | None) -> NDArray[np.bool_]:
    """(z, y, x) where no particle is: outside of the mask, or in the corners where there is none."""
    if mask is not None and (solvent := mask == 0).any():
        return solvent
    axis = np.square(np.arange(box) - box // 2)
    return axis[:, None, None] + axis[:, None] + axis > (box / 2) ** 2


def _opposite_hand(half1: Map, half2: Map, resolved: int) -> Doubt | None:
    if resolved > COARSE_PART * (len(half1) // 2) or not of_opposite_hand(half1, half2):
        return None
    return unnamed_doubt(
        "opposite-hand",
        "one half-map agrees much better with the mirror image of the other: they are of opposite hand",
        "mirror one of them",
        grave=True,
    )


def _shifted(half1: Map, half2: Map, pixel_size_A: float) -> Doubt | None:
    """By coarse maps, whose shift is known to a part of their voxels."""
    a, b = (np.fft.rfftn(_binned(half)) for half in (half1, half2))
    coarse = shift_between(a, b)
    if coarse is None:
        return None
    voxels = coarse * _binning(half1)
    length = float(np.linalg.norm(voxels))
    if length < LEAST_SHIFT or np.linalg.norm(coarse) < LEAST_COARSE_SHIFT:
        return None
    if _coarse_agreement(a, shifted_back(b, coarse)) < _coarse_agreement(a, b) + AGREEMENT_GAIN:
        return None
    along = ", ".join(f"{value:.1f}" for value in voxels)
    return unnamed_doubt(
        "half-maps-shifted",
        f"the second is shifted against the first by {length:.1f} voxels, {length * pixel_size_A:.1f} A "
        f"({along} voxels along x, y, z), and their FSC falls with that",
        "align them, or use both half-maps of one reconstruction",
        grave=True,
    )


def opposite_contrast(correlation: NDArray[np.floating]) -> Doubt | None:
    """An FSC (k,) as that of one map and the negative of the other."""
    if not of_opposite_contrast(correlation):
        return None
    return unnamed_doubt(
        "opposite-contrast",
        "one half-map is the negative of the other: density is white in one and black in the other",
        "multiply the black one by -1",
        grave=True,
    )


def of_opposite_contrast(correlation: NDArray[np.floating]) -> bool:
    """Whether two maps of this FSC (k,) anticorrelate in the coarse shells."""
    return float(correlation[1 : HAND_SHELLS + 1].mean()) < CONTRAST


def of_opposite_hand(first: Map, second: Map) -> bool:
    """Whether a map agrees with the mirror image of another, and much better than with the other."""
    known, *others = (np.fft.rfftn(_binned(one)) for one in (first, second, mirrored(second)))
    same, other = (_coarse_agreement(known, one) for one in others)
    return other > HAND_GAIN + max(same, 0.0)


def mirrored(volume: Map) -> Map:
    """The other hand: x to -x about the origin voxel box // 2."""
    return np.roll(volume[:, :, ::-1], 1 - len(volume) % 2, axis=2)


def _coarse_agreement(a: NDArray[np.complexfloating], b: NDArray[np.complexfloating]) -> float:
    """Mean FSC of the first shells of two transforms."""
    box = len(a)
    index = np.square(np.fft.fftfreq(box) * box)
    radius = np.sqrt(index[:, None, None] + index[:, None] + index[: box // 2 + 1])
    shell = np.rint(radius).astype(np.intp).ravel()
    products = ((a * b.conj()).real, np.square(np.abs(a)), np.square(np.abs(b)))
    cross, power1, power2 = (np.bincount(shell, one.ravel())[1:HAND_SHELLS] for one in products)
    norm = np.sqrt(power1 * power2)
    return float(np.divide(cross, norm, out=np.zeros_like(norm), where=norm > 0).mean())


def _binning(volume: Map) -> int:
    return -(-len(volume) // HAND_BOX)


def _binned(volume: Map) -> Map:
    """Means of cubes of voxels, from the corner on, no more than HAND_BOX along an edge."""
    factor = _binning(volume)
    box = len(volume) // factor
    kept = volume[: box * factor, : box * factor, : box * factor]
    return kept.reshape(box, factor, box, factor, box, factor).mean(axis=(1, 3, 5), dtype=np.float32)
