"""Particle images cut from tilt images and multiplied by what scores and reconstructions need.

For a particle seen at x with spectrum X = CTF E R + noise of power sigma^2 (R the projection of the map, E
exposure damping and tilt attenuation), both need only

    P = CTF E X / sigma^2        and        Q = (CTF E)^2 / sigma^2,

M's pre-multiplied image and its weight. The product with the CTF is taken in a window large enough for the
delocalised signal (`ctf_size`) and only then cut to the window of the particle (`size`); CTF^2 goes the same
way, so that both are band-limited alike (M, "CTF pre-multiplication").

Tilt images are read one at a time: memory does not grow with the length of the series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from mpop.geometry.frequencies import wrapped_indices
from mpop.optics.ctf import band_limited_ctf2, crop_wrapped, ctf_images
from mpop.optics.weights import exposure_weights
from mpop.records.tilt_series import TiltSeriesModel
from mpop.refinement.noise import NoiseSpectrum, noise_spectrum

BATCH_BYTES = 64 * 2**20

TiltLoader = Callable[[int], NDArray[np.float32]]
"""Gives the raw image (y, x) of a tilt, protein dark; of a stack, the image at a place in it, protein bright."""


@dataclass(frozen=True)
class ExtractionRequest:
    """What to cut out for one species: p particles, n tilts.

    position_A (p, n, 2) from the image corner; defocus_um, defocus_delta_um, defocus_angle_deg,
    phase_shift_pi (p, n); ctf_size and size in pixels, both even. image (p,): of a stack, which image of its model
    shows the particle; n is 1 then.
    """

    position_A: NDArray[np.float64]
    defocus_um: NDArray[np.float64]
    defocus_delta_um: NDArray[np.float64]
    defocus_angle_deg: NDArray[np.float64]
    phase_shift_pi: NDArray[np.float64]
    ctf_size: int
    size: int
    image: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class TiltBatch:
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


def extract(
    load_tilt: TiltLoader,
    model: TiltSeriesModel,
    pixel_size_A: float,
    requests: list[ExtractionRequest],
    threads: int,
) -> Iterator[TiltBatch]:
    """Yield P and Q of every particle whose centre lies inside a used tilt, tilt by tilt."""
    weights = [_tilt_weights(model, request.ctf_size, pixel_size_A) for request in requests]
    small_weights = [_tilt_weights(model, request.size, pixel_size_A) for request in requests]
    for tilt in np.flatnonzero(model.use).tolist():
        raw = load_tilt(tilt)
        image = np.float32(raw.mean(dtype=np.float64)) - raw  # protein bright
        noise = noise_spectrum(image)
        for number, request in enumerate(requests):
            origin = np.rint(request.position_A[:, tilt] / pixel_size_A).astype(np.int64)
            inside = np.flatnonzero(((origin >= 0) & (origin < image.shape[::-1])).all(axis=1))
            padded = np.pad(image, request.ctf_size // 2)
            step = max(1, BATCH_BYTES // (4 * request.ctf_size**2))
            for start in range(0, len(inside), step):
                particle = inside[start : start + step]
                data, power = premultiply(
                    cut(padded, origin[particle], request.ctf_size),
                    _ctf(model, request, particle, tilt, pixel_size_A),
                    noise,
                    (weights[number][tilt], small_weights[number][tilt]),
                    request.size,
                    threads,
                )
                yield TiltBatch(number, tilt, particle, origin[particle], data, power)


def _tilt_weights(model: TiltSeriesModel, size: int, pixel_size_A: float) -> NDArray[np.float32]:
    """(n, size, size // 2 + 1) amplitude E of each tilt."""
    rings = np.arange(size) / (size * pixel_size_A)
    radial = exposure_weights(model, rings)
    at = frequency(size) / pixel_size_A
    return np.stack([np.interp(at, rings, row) for row in radial]).astype(np.float32)


@lru_cache(maxsize=16)
def frequency(size: int) -> NDArray[np.float64]:
    """(size, size // 2 + 1) |k| in cycles per pixel."""
    return np.hypot(wrapped_indices(size)[:, None], np.arange(size // 2 + 1)) / size


def cut(padded: NDArray[np.float32], origin: NDArray[np.int64], size: int) -> NDArray[np.float32]:
    """(m, size, size) windows with the origin pixel moved to index 0, from an image padded by size // 2."""
    place = wrapped_indices(size) + size // 2
    rows = origin[:, 1, None] + place
    columns = origin[:, 0, None] + place
    return padded[rows[:, :, None], columns[:, None, :]]


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
    noise: NoiseSpectrum,
    weights: tuple[NDArray[np.float32], NDArray[np.float32]],
    size: int,
    threads: int,
) -> tuple[NDArray[np.complex64], NDArray[np.float32]]:
    """P and Q (m, size, size // 2 + 1) of windows (m, L, L) with their CTFs (m, L, L // 2 + 1).

    weights: amplitudes E in the layouts of both windows.
    """
    large = windows.shape[-1]
    spectrum = np.asarray(scipy.fft.rfft2(windows, workers=threads))
    spectrum *= ctf * (weights[0] / noise.at(frequency(large))).astype(np.float32)
    matched = crop_wrapped(np.asarray(scipy.fft.irfft2(spectrum, workers=threads)), size)
    data = np.asarray(scipy.fft.rfft2(matched, workers=threads), dtype=np.complex64) / np.float32(size**2)
    radial = np.square(weights[1]) / (noise.at(frequency(size)) * size**2)
    power = band_limited_ctf2(ctf, size, threads) * radial.astype(np.float32)
    return data, np.maximum(power, 0.0).astype(np.float32, copy=False)
