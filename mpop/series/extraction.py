"""Particle images cut from tilt images and multiplied by what scores and reconstructions need.

For a particle seen at x with spectrum X = CTF E R + noise of power sigma^2 (R the projection of the map, E
exposure damping and tilt attenuation), both need only

    P = CTF E X / sigma^2        and        Q = (CTF E)^2 / sigma^2,

M's pre-multiplied image and its weight. The product with the CTF is taken in a window large enough for the
delocalised signal (`ctf_size`) and only then cut to the window of the particle (`size`); CTF^2 goes the same
way, so that both are band-limited alike (M, "CTF pre-multiplication").

Dirt is filled first (`mpop.series.dirt`), then the image is scaled to noise of power 1 per A^2
(`mpop.series.noise`), so that its gain does not matter: sums over images weigh each by its noise. A particle
that lies partly beyond the border, or under dirt, is weighted by the part of its disc that was measured: P lacks
the rest, and Q times that part is what P holds.

Tilt images are read one at a time: memory does not grow with the length of the series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from mpop.errors import BlankImageError
from mpop.geometry.frequencies import wrapped_indices
from mpop.optics.ctf import ctf_images
from mpop.optics.premultiplication import band_limited_ctf2, premultiplied
from mpop.optics.weights import exposure_weights
from mpop.records.tilt_series import TiltSeriesModel
from mpop.series.dirt import CleanImage, Erased, Exposure, clean
from mpop.series.noise import NoiseSpectrum, noise_spectrum, unit_factor

BATCH_BYTES = 64 * 2**20
"""Of windows whose images are given away together."""
CHUNK_BYTES = 4 * 2**20
"""Of windows that are worked on at a time: they stay in the cache of a core."""

TiltLoader = Callable[[int], NDArray[np.float32]]
"""Gives the raw image (y, x) of a tilt, protein dark; of a stack, the image at a place in it, protein bright."""


@dataclass(frozen=True)
class ExtractionRequest:
    """What to cut out for one species: p particles, n tilts.

    position_A (p, n, 2) from the image corner; defocus_um, defocus_delta_um, defocus_angle_deg,
    phase_shift_pi (p, n); ctf_size and size in pixels, both even. image (p,): of a stack, which image of its model
    shows the particle; n is 1 then. visible (p, n): tilts that show the particle, None: all that it lies in.
    """

    position_A: NDArray[np.float64]
    defocus_um: NDArray[np.float64]
    defocus_delta_um: NDArray[np.float64]
    defocus_angle_deg: NDArray[np.float64]
    phase_shift_pi: NDArray[np.float64]
    diameter_A: float
    ctf_size: int
    size: int
    image: NDArray[np.int64] | None = None
    visible: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class ParticleImages:
    """Some particles of one request in one tilt.

    particle (m,); origin_px (m, 2) integer x, y of the pixel where phases are zero;
    data (m, size, size // 2 + 1) complex64 P; power, same shape, float32 Q.
    """

    request: int
    tilt: int
    particle: NDArray[np.int64]
    origin_px: NDArray[np.int64]
    data: NDArray[np.complex64]
    power: NDArray[np.float32]


@dataclass
class Ledger:
    """What happened to the images of a series on the way; filled while they are extracted."""

    erased: Erased = field(default_factory=Erased)


def extract(
    load_tilt: TiltLoader,
    model: TiltSeriesModel,
    pixel_size_A: float,
    requests: Sequence[ExtractionRequest],
    ledger: Ledger | None = None,
) -> Iterator[ParticleImages]:
    """Yield P and Q of every particle whose centre lies inside a used tilt, tilt by tilt.

    A tilt of which hardly anything was measured is left out.
    """
    border = max((request.ctf_size // 2 for request in requests), default=0)
    for tilt in np.flatnonzero(model.use).tolist():
        found = clean(load_tilt(tilt), pixel_size_A, _exposure(model, requests, tilt))
        if ledger is not None:
            ledger.erased += found.erased
        try:
            image, noise = _protein_bright(found)
        except BlankImageError:
            if ledger is not None:
                ledger.erased += Erased(blank_tilts=(tilt,))
            continue
        factor = unit_factor(noise, pixel_size_A)
        noise, padded = noise.scaled(factor), np.pad(image * np.float32(factor), border)
        for number, request in enumerate(requests):
            origin = np.rint(request.position_A[:, tilt] / pixel_size_A).astype(np.int64)
            seen = measured_part(image.shape, found.present, origin, request.diameter_A / pixel_size_A)
            shown = np.ones(len(seen), bool) if request.visible is None else request.visible[:, tilt]
            if ledger is not None:
                ledger.erased += Erased(outside=int((shown & (seen == 0)).sum()))
            used = np.flatnonzero(shown & (seen > 0))
            multipliers = _multipliers(model, tilt, noise, request, pixel_size_A)
            for particle in batches(used, request, BATCH_BYTES):
                parts = [
                    premultiply(
                        cut(padded, origin[chunk] + border, request.ctf_size),
                        _ctf(model, request, chunk, tilt, pixel_size_A),
                        multipliers,
                        request.size,
                    )
                    for chunk in batches(particle, request, CHUNK_BYTES)
                ]
                data, power = (np.concatenate(part) for part in zip(*parts, strict=True))
                power *= seen[particle, None, None]
                yield ParticleImages(number, tilt, particle, origin[particle], data, power)


def _protein_bright(found: CleanImage) -> tuple[NDArray[np.float32], NoiseSpectrum]:
    """An image with protein bright and mean 0, and its noise. Raises BlankImageError."""
    measured = found.image if found.present is None else found.image[found.present]
    if measured.size == 0:
        raise BlankImageError("no pixel of the image was measured")
    image = np.float32(measured.mean(dtype=np.float64)) - found.image
    return image, noise_spectrum(image, found.present)


def batches(
    particles: NDArray[np.int64], request: ExtractionRequest, size_bytes: int
) -> Iterator[NDArray[np.int64]]:
    """So many particles at a time that their windows are not larger than this."""
    step = max(1, size_bytes // (4 * request.ctf_size**2))
    for start in range(0, len(particles), step):
        yield particles[start : start + step]


def _exposure(model: TiltSeriesModel, requests: Sequence[ExtractionRequest], tilt: int) -> Exposure:
    """How a tilt was taken, as far as it matters to dirt."""
    steps = np.diff(np.sort(model.exposure))
    defocus = [np.abs(request.defocus_um[:, tilt]).max(initial=0.0) for request in requests]
    phase = [np.abs(request.phase_shift_pi[:, tilt]).max(initial=0.0) for request in requests]
    return Exposure(
        float(np.median(steps)) if len(steps) else 0.0,
        float(max(defocus, default=0.0)),
        float(max(phase, default=0.0)),
        model.ctf.voltage_kV,
    )


def measured_part(
    shape: tuple[int, ...],
    present: NDArray[np.bool_] | None,
    origin: NDArray[np.int64],
    diameter_px: float,
) -> NDArray[np.float32]:
    """(p,) the part of a disc around each origin (x, y) that lies in an image of a shape (y, x) and was measured;
    0 where the origin is outside of it. present: which pixels were measured, None: all."""
    inside = ((origin >= 0) & (origin < shape[::-1])).all(axis=1)
    part = np.where(inside, np.float32(1), np.float32(0))
    reach = int(np.ceil(diameter_px / 2))
    whole = ((origin >= reach) & (origin < np.array(shape[::-1]) - reach)).all(axis=1)
    partly = np.flatnonzero(inside & ~whole if present is None else inside)
    if len(partly) == 0:
        return part
    padded = np.pad(np.ones(shape, bool) if present is None else present, reach)
    axis = np.square(np.arange(-reach, reach + 1))
    disc = axis[:, None] + axis <= (diameter_px / 2) ** 2
    for one in partly.tolist():
        x, y = origin[one].tolist()
        part[one] = padded[y : y + 2 * reach + 1, x : x + 2 * reach + 1][disc].mean()
    return part


def _multipliers(
    model: TiltSeriesModel, tilt: int, noise: NoiseSpectrum, request: ExtractionRequest, pixel_size_A: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What `premultiply` needs, with the amplitude E of a tilt."""
    amplitudes = []
    for size in (request.ctf_size, request.size):
        rings = np.arange(size) / (size * pixel_size_A)
        amplitudes.append(np.interp(frequency(size) / pixel_size_A, rings, exposure_weights(model, rings)[tilt]))
    return multipliers(noise, request, (amplitudes[0], amplitudes[1]))


def multipliers(
    noise: NoiseSpectrum,
    request: ExtractionRequest,
    amplitudes: tuple[NDArray[np.float64] | float, NDArray[np.float64] | float] = (1.0, 1.0),
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """E / sigma^2 in the large window and E^2 / sigma^2 in the small one, in rfft2 layout, by which CTF X and
    CTF^2 are multiplied. amplitudes: E in both."""
    large, small = (noise.at(frequency(size)) for size in (request.ctf_size, request.size))
    return (
        (amplitudes[0] / large).astype(np.float32),
        (np.square(amplitudes[1]) / (small * request.size**2)).astype(np.float32),
    )


@lru_cache(maxsize=16)
def frequency(size: int) -> NDArray[np.float64]:
    """(size, size // 2 + 1) |k| in cycles per pixel."""
    return np.hypot(wrapped_indices(size)[:, None], np.arange(size // 2 + 1)) / size


def cut(padded: NDArray[np.float32], origin: NDArray[np.int64], size: int) -> NDArray[np.float32]:
    """(m, size, size) windows of an image with the origin pixels (x, y) at index size // 2. They lie in the
    image."""
    windows = np.empty((len(origin), size, size), np.float32)
    for window, (x, y) in zip(windows, (origin - size // 2).tolist(), strict=True):
        window[...] = padded[y : y + size, x : x + size]
    return windows


def _ctf(
    model: TiltSeriesModel,
    request: ExtractionRequest,
    particle: NDArray[np.int64],
    tilt: int,
    pixel_size_A: float,
) -> NDArray[np.float32]:
    return ctf_images(
        model.ctf,
        request.defocus_um[particle, tilt],
        request.defocus_delta_um[particle, tilt],
        request.defocus_angle_deg[particle, tilt],
        request.phase_shift_pi[particle, tilt],
        request.ctf_size,
        pixel_size_A,
    )


def premultiply(
    windows: NDArray[np.float32],
    ctf: NDArray[np.float32],
    multipliers: tuple[NDArray[np.float32], NDArray[np.float32]],
    size: int,
) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
    """P and Q (m, size, size // 2 + 1) of windows (m, L, L), origin at L // 2, with their CTFs (m, L, L // 2 + 1).

    Phases of P are zero at the origin. multipliers: of this noise, see `multipliers`.
    """
    spectrum = np.asarray(scipy.fft.rfft2(windows))
    spectrum *= ctf
    spectrum *= multipliers[0]
    data = premultiplied(spectrum, size)
    power = band_limited_ctf2(ctf, size)
    power *= multipliers[1]
    return data, np.maximum(power, 0.0, out=power)
