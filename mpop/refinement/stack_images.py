"""Particle images of a stack, multiplied by what scores and reconstructions need, as those of a tilt series are.

P and Q are those of `mpop.refinement.extraction`. The noise is measured around the particles, in the rim of the
images of a stack, since within them the particle is no small part of the power. Beyond its border an image is
empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from mpop.errors import InputError
from mpop.optics.ctf import ctf_images
from mpop.records.stack import SeriesModel, StackModel
from mpop.refinement.extraction import (
    BATCH_BYTES,
    ExtractionRequest,
    TiltBatch,
    TiltLoader,
    cut,
    extract,
    frequency,
    premultiply,
)
from mpop.refinement.noise import NoiseSpectrum, ring_means

NOISE_IMAGES = 500
"""So many images of a stack, evenly spaced, tell its noise."""
RIM_PART = (0.4, 0.5)
"""Where the rim of an image begins and is all there, from its centre, in parts of its edge."""


def extract_images(
    load: TiltLoader, model: SeriesModel, pixel_size_A: float, requests: list[ExtractionRequest], threads: int
) -> Iterator[TiltBatch]:
    """Yield P and Q of every particle image of a series or of a stack; a stack has one tilt."""
    if not isinstance(model, StackModel):
        yield from extract(load, model, pixel_size_A, requests, threads)
        return
    noise = stack_noise(load, model)
    for number, request in enumerate(requests):
        ones = tuple(np.ones((size, size // 2 + 1), np.float32) for size in (request.ctf_size, request.size))
        origin = np.rint(request.position_A[:, 0] / pixel_size_A).astype(np.int64)
        edge = round(model.image_dims_A[0] / pixel_size_A)
        inside = np.flatnonzero(((origin >= 0) & (origin < edge)).all(axis=1))
        step = max(1, BATCH_BYTES // (4 * request.ctf_size**2))
        for start in range(0, len(inside), step):
            particle = inside[start : start + step]
            windows = _windows(load, model, request, particle, origin)
            ctf = _ctf(model, request, particle, pixel_size_A)
            data, power = premultiply(windows, ctf, noise, (ones[0], ones[1]), request.size, threads)
            yield TiltBatch(number, 0, particle, origin[particle], data, power)


def stack_noise(load: TiltLoader, model: StackModel) -> NoiseSpectrum:
    """The noise power of a stack's images. Raises InputError for images without noise."""
    chosen = np.unique(np.linspace(0, len(model) - 1, min(len(model), NOISE_IMAGES)).astype(int))
    size = len(load(int(model.image[0])))
    rim, total = soft_rim(size), np.zeros((size, size // 2 + 1))
    for number in model.image[chosen].tolist():
        image = load(number)
        mean = float((rim * image).sum() / rim.sum())
        total += np.square(np.abs(np.asarray(scipy.fft.rfft2(rim * (image - mean)))))
    total /= len(chosen) * np.square(rim, dtype=np.float64).sum()
    try:
        return ring_means(total)
    except InputError as error:
        raise InputError(f"{model.file}: {error}") from error


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
) -> NDArray[np.float32]:
    """(m, ctf_size, ctf_size) images with the origin pixel at index 0 and the level of their rim at 0."""
    assert request.image is not None
    windows = np.empty((len(particle), request.ctf_size, request.ctf_size), np.float32)
    for row, one in enumerate(particle.tolist()):
        image = load(int(model.image[request.image[one]]))
        rim = soft_rim(len(image))
        level = np.float32((rim * image).sum() / rim.sum())
        padded = np.pad(image - level, request.ctf_size // 2)
        windows[row] = cut(padded, origin[one : one + 1], request.ctf_size)[0]
    return windows


def _ctf(
    model: StackModel, request: ExtractionRequest, particle: NDArray[np.int64], pixel_size_A: float
) -> NDArray[np.float32]:
    """(m, ctf_size, ctf_size // 2 + 1) CTFs, damped and scaled as each image's optics say."""
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
    if model.bfactor_A2.any() or (model.scale != 1).any():
        k2 = np.square(frequency(request.ctf_size) / pixel_size_A)
        damping = np.exp(model.bfactor_A2[image, None, None] / 4 * k2) * model.scale[image, None, None]
        out *= damping.astype(np.float32)
    return out
