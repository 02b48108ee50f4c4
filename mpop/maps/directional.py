"""Directional resolution: sums and FSC inside double cones, exactly, for many directions at once.

For a direction n and a half angle, over the coefficients k of a shell that lie within that angle of n or of -n,

    FSC(s, n) = sum Re(F1 conj F2) / sqrt( sum |F1|^2  sum |F2|^2 )

(Tan et al. 2017). Directions lie on rings of equal polar angle. Seen from one ring, the directions whose cones
hold a coefficient are one run along the ring, so that a coefficient adds at the run's begin and subtracts behind
its end, and one cumulative sum along the ring gives the sums in all cones. The cost is rings x coefficients,
however large the cones and however many directions a ring has.

Coefficients on the Nyquist planes of an even box stand for both signs of one frequency: they have no direction,
and are left out.

Transforms are numpy's: scipy's take longer to import than all else here takes for a box of 128.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpop.maps.directions import Array, Rings, at_coefficients, centred

Single = NDArray[np.float32]
Complex = NDArray[np.complex64]

HALF_ANGLE_DEG = 20.0
SPACING_DEG = 4.0
BLOCK = 2**21
"""Coefficients whose directions are computed at a time, to save memory."""
PIECE = 2**18
"""Coefficients whose runs are computed at a time."""
SORTED_TO = 1 / 65535
"""Coefficients are sorted by the cosine of their polar angle to this."""


def conical_sums(values: Sequence[Single], half_angle_deg: float, rings: Rings) -> Array:
    """Sums of quantities over the coefficients within an angle of every direction, shell by shell.

    values: q real arrays, each (box, box, box // 2 + 1) in rfftn layout and equal for k and -k.
    half_angle_deg: up to 90. Returns (q, d, box // 2 + 1) by quantity, direction and shell; shell 0 holds nothing.
    """
    box = len(values[0])
    gathered = _gather(box, len(values), lambda planes: [value[planes] for value in values])
    return _Coefficients.sorted(box, gathered).conical_sums(half_angle_deg, rings)


@dataclass(frozen=True)
class _Coefficients:
    """Half of a transform, the other half is its mirror image, from the pole to the equator.

    shell: (n,). cosine: (n,) of the polar angle of k or -k, whichever is in the upper hemisphere, falling to
    within SORTED_TO. turn: (n,) its azimuth in turns, -0.5 .. 0.5. values: q of (n,).
    """

    box: int
    shell: NDArray[np.int32]
    cosine: Single
    turn: Single
    values: list[Single]

    @classmethod
    def sorted(cls, box: int, gathered: list[NDArray]) -> _Coefficients:
        """Takes what `_gather` gives, and empties it as it goes."""
        cosine = gathered.pop(0)
        # numpy sorts 16-bit integers in linear time
        order = np.argsort((cosine / np.float32(SORTED_TO)).astype(np.uint16), kind="stable")[::-1]
        shell, turn, *values = (gathered.pop(0)[order] for _ in range(len(gathered)))
        return cls(box, shell, cosine[order], turn, values)

    def conical_sums(self, half_angle_deg: float, rings: Rings) -> Array:
        """(q, d, shells)."""
        angle = np.deg2rad(half_angle_deg)
        parts = [
            _ring_sums(self, angle, float(polar), int(count))
            for polar, count in zip(rings.polar, rings.counts, strict=True)
        ]
        return np.concatenate(parts, axis=1)

    def shell_sums(self) -> Array:
        """(q, shells) over whole shells."""
        return np.stack([np.bincount(self.shell, value, self.box // 2 + 1) for value in self.values]).astype(float)

    def between(self, high: float, low: float) -> slice:
        """Where cosines from `high` down to `low` are, and few others."""
        edges = np.searchsorted(-self.cosine, (-high - 2 * SORTED_TO, -low + 2 * SORTED_TO))
        return slice(int(edges[0]), int(edges[1]))


def _gather(box: int, count: int, values: Callable[[slice], Sequence[Single]]) -> list[NDArray]:
    """Cosine, shell and azimuth of all coefficients, and `count` quantities.

    values: gives the quantities on some planes of constant k_z, each (planes, box, box // 2 + 1).
    """
    room = box * box * (box // 2 + 1)  # memory counts when it is written to
    columns = [np.empty(room, dtype=np.int32 if i == 1 else np.float32) for i in range(3 + count)]
    end = 0
    step = max(1, BLOCK // box**2)
    for z in range(0, box, step):
        block = _block(box, slice(z, min(z + step, box)), values)
        start, end = end, end + len(block[0])
        for column, part in zip(columns, block, strict=True):
            column[start:end] = part
    return [column[:end] for column in columns]


def _block(box: int, planes: slice, values: Callable[[slice], Sequence[Single]]) -> list[NDArray]:
    """Cosine, shell and azimuth of the coefficients on some planes, and quantities."""
    axis = np.asarray(np.fft.fftfreq(box) * box, dtype=np.float32)
    half = np.arange(box // 2 + 1, dtype=np.float32)
    radius = np.sqrt(np.square(axis[planes])[:, None, None] + np.square(axis)[:, None] + np.square(half))
    kept = (radius >= 0.5) & (radius < box // 2 + 0.5)
    if box % 2 == 0:
        kept &= (axis[planes] != -box / 2)[:, None, None]
        kept[:, box // 2] = kept[:, :, box // 2] = False
    inside = np.flatnonzero(kept)
    radius = radius.ravel()[inside]
    row, column = np.divmod(inside.astype(np.int32), np.int32(box // 2 + 1))
    plane, row = np.divmod(row, np.int32(box))
    kz, ky, kx = axis[planes][plane], axis[row], half[column]
    sign = np.copysign(np.float32(1), kz)
    turn = np.arctan2(ky * sign, kx * sign) * np.float32(0.5 / np.pi)
    once = np.where(column == 0, np.float32(0.5), np.float32(1))  # this plane holds both k and -k
    quantities = [value.ravel()[inside] * once for value in values(planes)]
    return [np.abs(kz) / radius, np.rint(radius).astype(np.int32), turn, *quantities]


def _ring_sums(coefficients: _Coefficients, angle: float, polar: float, count: int) -> Array:
    """Sums in the cones around the directions of one ring: (q, count, shells)."""
    shells = coefficients.box // 2 + 1
    width = 2 * count + 1  # a run may go round the ring's end
    steps = np.zeros((len(coefficients.values), shells * width))
    above = coefficients.between(np.cos(max(polar - angle, 0.0)), np.cos(min(polar + angle, np.pi / 2)))
    for part in _parts(above):
        _add_runs(coefficients, part, False, angle, polar, count, steps)
    if polar + angle > np.pi / 2:  # cones reach below the equator, where the mirror images are
        below = coefficients.between(np.cos(np.pi - polar - angle), 0.0)
        for part in _parts(below):
            _add_runs(coefficients, part, True, angle, polar, count, steps)
    sums = np.cumsum(steps.reshape(-1, shells, width), axis=2)
    return np.swapaxes(sums[:, :, :count] + sums[:, :, count : 2 * count], 1, 2)


def _parts(band: slice) -> Iterator[slice]:
    """The band in pieces, to save memory."""
    for start in range(band.start, band.stop, PIECE):
        yield slice(start, min(start + PIECE, band.stop))


def _add_runs(
    coefficients: _Coefficients,
    band: slice,
    mirrored: bool,
    angle: float,
    polar: float,
    count: int,
    steps: NDArray[np.float64],
) -> None:
    """Add some coefficients, or their mirror images, where their runs begin, and subtract them behind the end.

    steps: (q, shells * (2 * count + 1)).
    """
    single = np.float32
    cosine = -coefficients.cosine[band] if mirrored else coefficients.cosine[band]
    turn = coefficients.turn[band] + single(0.5 if mirrored else 0.0)
    sine = np.sqrt(np.maximum(1 - np.square(cosine), single(1e-12)))
    # cos(angle) = cos(polar) cosine + sin(polar) sine cos(reach): the run is the azimuth +- reach
    cos_reach = (single(np.cos(angle)) - single(np.cos(polar)) * cosine) / (single(np.sin(polar)) * sine)
    reach = np.arccos(np.clip(cos_reach, -1, 1)) * single(0.5 / np.pi)
    begin = np.ceil((turn - reach) * single(count))
    length = np.floor((turn + reach) * single(count)) - begin + 1
    length[cos_reach <= -1] = count
    length[cos_reach > 1] = 0
    begin += np.where(begin < 0, single(count), single(0))
    first = (coefficients.shell[band] * (2 * count + 1) + begin.astype(np.int32)).astype(np.intp)
    behind = first + length.astype(np.intp)
    for total, value in zip(steps, coefficients.values, strict=True):
        weights = value[band].astype(np.float64)
        total += np.bincount(first, weights, len(total))
        total -= np.bincount(behind, weights, len(total))


@dataclass(frozen=True)
class ConicalFSC:
    """FSC of two maps by direction.

    correlation: (d, box // 2 + 1) for the directions of `rings`; shell 0 is 1. whole: (box // 2 + 1,) the same
    over whole shells. half_angle_deg: of the cones.
    """

    rings: Rings
    correlation: Array
    whole: Array
    box: int
    pixel_size_A: float
    half_angle_deg: float

    @property
    def frequency(self) -> Array:
        """(box // 2 + 1,) of the shells in 1/A."""
        return np.arange(self.box // 2 + 1) / (self.box * self.pixel_size_A)

    def volume(self) -> NDArray[np.float32]:
        """(box, box, box) FSC at every coefficient, origin at box // 2; 0 beyond Nyquist."""
        return centred(at_coefficients(self.correlation, self.rings, self.box), self.box)


def conical_fsc(
    half1: NDArray[np.floating],
    half2: NDArray[np.floating],
    pixel_size_A: float,
    half_angle_deg: float = HALF_ANGLE_DEG,
    spacing_deg: float = SPACING_DEG,
    mask: NDArray[np.floating] | None = None,
) -> ConicalFSC:
    """FSC inside double cones of two cubic maps of one box, within a mask if there is one.

    Cones that hold no coefficient, in the first shells, get the whole shell's value.
    """
    gathered = _gather_transforms(half1, half2, mask, _products)
    return _conical(gathered, len(half1), pixel_size_A, half_angle_deg, spacing_deg)


def phase_similarity(
    half1: NDArray[np.floating],
    half2: NDArray[np.floating],
    pixel_size_A: float,
    half_angle_deg: float = 10.0,
    spacing_deg: float = SPACING_DEG,
    mask: NDArray[np.floating] | None = None,
) -> ConicalFSC:
    """Mean cosine of the phase difference inside double cones, which spIsoNet takes for its 3DFSC.

    Every coefficient counts alike, however weak, so that this is below the FSC where noise and signal mix.
    """
    gathered = _gather_transforms(half1, half2, mask, _phases)
    return _conical(gathered, len(half1), pixel_size_A, half_angle_deg, spacing_deg)


def _conical(
    gathered: list[NDArray], box: int, pixel_size_A: float, half_angle_deg: float, spacing_deg: float
) -> ConicalFSC:
    """gathered: with what stands for cross power and both powers."""
    rings = Rings.spaced(spacing_deg)
    coefficients = _Coefficients.sorted(box, gathered)
    whole = _correlation(coefficients.shell_sums(), 1.0)
    correlation = _correlation(coefficients.conical_sums(half_angle_deg, rings), whole)
    return ConicalFSC(rings, correlation, whole, box, pixel_size_A, half_angle_deg)


def _gather_transforms(
    half1: NDArray[np.floating],
    half2: NDArray[np.floating],
    mask: NDArray[np.floating] | None,
    quantities: Callable[[Complex, Complex], Sequence[Single]],
) -> list[NDArray]:
    """`_gather` of two maps; their transforms are gone when it returns."""
    first, second = _transform(half1, mask), _transform(half2, mask)
    return _gather(len(half1), 3, lambda planes: quantities(first[planes], second[planes]))


def _transform(volume: NDArray[np.floating], mask: NDArray[np.floating] | None) -> Complex:
    """rfftn by sections, which needs no second array of its size, nor of a masked map."""
    box = len(volume)
    spectrum = np.empty((box, box, box // 2 + 1), dtype=np.complex64)
    for z, section in enumerate(volume):
        spectrum[z] = np.fft.rfft2(section if mask is None else section * mask[z])
    for row in range(box):
        spectrum[:, row] = np.fft.fft(spectrum[:, row], axis=0)
    return spectrum


def _products(first: Complex, second: Complex) -> list[Single]:
    """Re(F1 conj F2), |F1|^2, |F2|^2."""
    pairs = ((first, second), (first, first), (second, second))
    return [np.asarray(a.real * b.real + a.imag * b.imag, dtype=np.float32) for a, b in pairs]


def _phases(first: Complex, second: Complex) -> list[Single]:
    """cos(phase difference), 0 where an amplitude is 0, and twice 1."""
    cross, power1, power2 = _products(first, second)
    norm = np.sqrt(power1 * power2)
    one = np.ones_like(norm)
    return [np.divide(cross, norm, out=np.zeros_like(cross), where=norm > 0), one, one]


def _correlation(sums: Array, fallback: Array | float) -> Array:
    """Cross power over the root of both powers, sums: (3, ...); `fallback` where there is no power."""
    cross, power1, power2 = sums
    norm = np.sqrt(power1 * power2)
    return np.divide(cross, norm, out=np.broadcast_to(fallback, cross.shape).copy(), where=norm > 0)
