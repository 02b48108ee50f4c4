"""One tilt image with all its particles."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from mpop.simulation.parameters import SimulationParameters
from mpop.simulation.physics import (
    contrast_transfer,
    damage_envelope,
    electron_wavelength_A,
    electrons_per_pixel,
    extent,
    interaction_constant,
    potential_spectrum,
)
from mpop.simulation.scene import Projected, Scene
from mpop.simulation.structures import Structure

BATCH = 32


def render_tilt(
    scene: Scene,
    structures: Sequence[Structure],
    projected: Sequence[Projected],
    tilt: int,
    parameters: SimulationParameters,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    """Electron counts of one tilt (y, x), particles dark."""
    size = parameters.image_size
    contrast = np.zeros((size, size), dtype=np.float64)
    if parameters.signal != 0:
        for structure, places in zip(structures, projected, strict=True):
            for start in range(0, len(places.position_A), BATCH):
                _add_particles(contrast, scene, structure, places, tilt, slice(start, start + BATCH), parameters)
    electrons = electrons_per_pixel(
        parameters.exposure, parameters.pixel_size_A, parameters.thickness_A, float(scene.angles_deg[tilt])
    )
    expected = electrons * (1.0 - 2.0 * parameters.signal * contrast)
    return (expected + math.sqrt(electrons) * rng.standard_normal((size, size))).astype(np.float32)


def _add_particles(
    contrast: NDArray[np.float64],
    scene: Scene,
    structure: Structure,
    places: Projected,
    tilt: int,
    part: slice,
    parameters: SimulationParameters,
) -> None:
    """Add phase shift * CTF of some particles, each at its own defocus."""
    pixel = parameters.pixel_size_A
    position = places.position_A[part, tilt] / pixel
    whole = np.rint(position).astype(int)
    defocus = places.defocus_um[part, tilt]
    window = _window(structure, float(np.abs(defocus).max()), parameters)
    offset = (position - whole) * pixel
    spectrum = potential_spectrum(structure, places.rotation[part, tilt], offset, window, pixel)
    transfer = contrast_transfer(
        window,
        pixel,
        defocus,
        scene.astigmatism_um,
        scene.astigmatism_deg,
        parameters.cs_mm,
        parameters.amplitude_contrast,
        parameters.voltage_kV,
    )
    exposure = float(scene.exposure[tilt]) + parameters.exposure / 2  # at half time of the tilt
    spectrum *= transfer * damage_envelope(window, pixel, exposure)
    spectrum *= np.float32(interaction_constant(parameters.voltage_kV))
    blurred = np.asarray(scipy.fft.irfft2(spectrum, s=(window, window)))
    for image, (x, y) in zip(blurred, whole, strict=True):
        _add_patch(contrast, image, int(x) - window // 2, int(y) - window // 2)


def _window(structure: Structure, defocus_um: float, parameters: SimulationParameters) -> int:
    """Even size that holds a molecule and what defocus carries away from it at Nyquist, lambda dz k."""
    carried = electron_wavelength_A(parameters.voltage_kV) * 1e4 * defocus_um / (2 * parameters.pixel_size_A)
    half = extent(structure, parameters.pixel_size_A) // 2 + math.ceil(carried / parameters.pixel_size_A)
    return 2 * int(scipy.fft.next_fast_len(half))  # pyright: ignore[reportArgumentType]


def _add_patch(target: NDArray[np.float64], patch: NDArray[np.float32], x: int, y: int) -> None:
    """Add a patch whose first pixel is at (x, y), cut at the border."""
    height, width = target.shape
    x0, y0 = max(x, 0), max(y, 0)
    x1, y1 = min(x + patch.shape[1], width), min(y + patch.shape[0], height)
    if x0 < x1 and y0 < y1:
        target[y0:y1, x0:x1] += patch[y0 - y : y1 - y, x0 - x : x1 - x]
