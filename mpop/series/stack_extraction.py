"""Particle images of a stack, multiplied by what scores and reconstructions need, as those of a tilt series are.

P and Q are those of `mpop.series.extraction`. The noise is measured around the particles, in the rim of the
images of a stack, since within them the particle is no small part of the power. Every image is brought to the same
noise by its own rim, and hot pixels are taken out of it. Beyond its border an image is empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from mpop.errors import InputError
from mpop.optics.ctf import ctf_images
from mpop.records.stack import StackModel
from mpop.series.dirt import Erased, without_spikes
from mpop.series.extraction import (
    BATCH_BYTES,
    CHUNK_BYTES,
    ExtractionRequest,
    Ledger,
    ParticleImages,
    TiltLoader,
    batches,
    cut,
    frequency,
    measured_part,
    multipliers,
    premultiply,
)
from mpop.series.noise import NoiseSpectrum, ring_means, unit_factor

SUSPECT = 6.0
"""An image of which no pixel is so many standard deviations off has no hot one."""
NOISE_IMAGES = 500
"""So many images of a stack, evenly spaced, tell its noise."""
RIM_PART = (0.4, 0.5)
"""Where the rim of an image begins and is all there, from its centre, in parts of its edge."""


@dataclass(frozen=True)
class StackNoise:
    """spectrum: of images whose rim has variance 1. scale: standard deviation in the rim of the middle one of the
    images as they are."""

    spectrum: NoiseSpectrum
    scale: float


def extract_stack(
    load: TiltLoader,
    model: StackModel,
    pixel_size_A: float,
    requests: Sequence[ExtractionRequest],
    ledger: Ledger | None = None,
) -> Iterator[ParticleImages]:
    """Yield P and Q of every particle image of a stack; a stack has one tilt."""
    noise = stack_noise(load, model)
    factor = unit_factor(noise.spectrum, pixel_size_A)
    spectrum = noise.spectrum.scaled(factor)
    for number, request in enumerate(requests):
        assert request.image is not None
        origin = np.rint(request.position_A[:, 0] / pixel_size_A).astype(np.int64)
        edge = round(model.image_dims_A[0] / pixel_size_A)
        seen = measured_part((edge, edge), None, origin, request.diameter_A / pixel_size_A)
        inside = np.flatnonzero(seen)
        if ledger is not None:
            ledger.erased += Erased(outside=len(seen) - len(inside))
        multiplied_by = multipliers(spectrum, request)
        for particle in batches(inside, request, BATCH_BYTES):
            parts, kept = [], []
            for chunk in batches(particle, request, CHUNK_BYTES):
                windows, scale = _windows(load, model, request, chunk, origin, ledger)
                noisy = scale > 0
                if noisy.any():
                    ctf = _ctf(model, request, chunk[noisy], pixel_size_A, noise.scale / scale[noisy])
                    scaled = windows[noisy] * np.float32(factor)
                    parts.append(premultiply(scaled, ctf, multiplied_by, request.size))
                    kept.append(chunk[noisy])
            if not parts:
                continue
            data, power = (np.concatenate(part) for part in zip(*parts, strict=True))
            particle = np.concatenate(kept)
            power *= seen[particle, None, None]
            yield ParticleImages(number, 0, particle, origin[particle], data, power)


def stack_noise(load: TiltLoader, model: StackModel) -> StackNoise:
    """The noise of a stack's images. Raises InputError for images without noise."""
    chosen = np.unique(np.linspace(0, len(model) - 1, min(len(model), NOISE_IMAGES)).astype(int))
    spectra, scales = [], []
    for number in model.image[chosen].tolist():
        image, scale, _ = levelled(load(number))
        if scale > 0:
            spectra.append(np.square(np.abs(np.asarray(scipy.fft.rfft2(soft_rim(len(image)) * image)))))
            scales.append(scale)
    if not spectra:
        raise InputError(f"{model.file}: its images have no noise around the particles (constant)")
    rim = soft_rim(len(spectra[0]))
    total = np.sum(spectra, axis=0, dtype=np.float64) / (len(spectra) * np.square(rim, dtype=np.float64).sum())
    try:
        return StackNoise(ring_means(total), float(np.median(scales)))
    except InputError as error:
        raise InputError(f"{model.file}: {error}") from error


def levelled(image: NDArray[np.float32]) -> tuple[NDArray[np.float32], float, int]:
    """An image (y, x) with its hot pixels filled and its rim at mean 0 and variance 1; the standard deviation that
    its rim had, 0 where it is constant and the image says nothing; and the number of hot pixels."""
    hot = 0
    level, deviation = float(image.mean(dtype=np.float64)), float(image.std(dtype=np.float64))
    if max(float(image.max()) - level, level - float(image.min())) > SUSPECT * deviation:
        image, spikes = without_spikes(image)
        hot = 0 if spikes is None else len(spikes[0])
    rim = soft_rim(len(image))
    weight = float(rim.sum(dtype=np.float64))
    mean = float((rim * image).sum(dtype=np.float64)) / weight
    centred = image - np.float32(mean)
    scale = float(np.sqrt((rim * np.square(centred)).sum(dtype=np.float64) / weight))
    if scale <= abs(mean) * np.finfo(np.float32).eps:
        return centred, 0.0, hot
    return centred / np.float32(scale), scale, hot


@lru_cache(maxsize=4)
def soft_rim(size: int) -> NDArray[np.float32]:
    """(size, size) 1 far from the centre of an image, falling to 0 towards it as a raised cosine."""
    axis = np.square(np.arange(size) / size - 0.5)
    phase = np.clip((np.sqrt(axis[:, None] + axis) - RIM_PART[0]) / (RIM_PART[1] - RIM_PART[0]), 0.0, 1.0)
    return (0.5 - 0.5 * np.cos(np.pi * phase)).astype(np.float32)


def _windows(
    load: TiltLoader,
    model: StackModel,
    request: ExtractionRequest,
    particle: NDArray[np.int64],
    origin: NDArray[np.int64],
    ledger: Ledger | None,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """(m, ctf_size, ctf_size) levelled images with the origin pixel in the middle, and (m,) the deviations that
    they had."""
    assert request.image is not None
    windows = np.empty((len(particle), request.ctf_size, request.ctf_size), np.float32)
    scales = np.empty(len(particle))
    border = request.ctf_size // 2
    for row, one in enumerate(particle.tolist()):
        image, scales[row], hot = levelled(load(int(model.image[request.image[one]])))
        windows[row] = cut(np.pad(image, border), origin[one : one + 1] + border, request.ctf_size)[0]
        if ledger is not None:
            ledger.erased += Erased(image.size, hot)
    return windows, scales


def _ctf(
    model: StackModel,
    request: ExtractionRequest,
    particle: NDArray[np.int64],
    pixel_size_A: float,
    relative: NDArray[np.float64],
) -> NDArray[np.float32]:
    """(m, ctf_size, ctf_size // 2 + 1) CTFs, damped and scaled as each image's optics say.

    relative: (m,) what each image was multiplied by, where the scales of the table go with images as they are.
    """
    assert request.image is not None
    image = request.image[particle]
    out = np.empty((len(particle), request.ctf_size, request.ctf_size // 2 + 1), np.float32)
    for group, optics in enumerate(model.optics):
        rows = np.flatnonzero(model.optics_group[image] == group)
        chosen = particle[rows]
        if len(rows):
            out[rows] = ctf_images(
                optics,
                request.defocus_um[chosen, 0],
                request.defocus_delta_um[chosen, 0],
                request.defocus_angle_deg[chosen, 0],
                request.phase_shift_pi[chosen, 0],
                request.ctf_size,
                pixel_size_A,
            )
    scaled = (model.scale != 1).any()
    if model.bfactor_A2.any() or scaled:
        k2 = np.square(frequency(request.ctf_size) / pixel_size_A)
        scale = model.scale[image] * relative if scaled else np.ones(len(image))
        damping = np.exp(model.bfactor_A2[image, None, None] / 4 * k2) * scale[:, None, None]
        out *= damping.astype(np.float32)
    return out
