"""The contrast transfer function of particle images.

With k in 1/A, theta from the x axis towards y, lambda the electron wavelength,

    dz(theta) = defocus + delta/2 cos 2(theta - angle)                    (positive = underfocus)
    CTF(k)    = sin( pi lambda dz k^2 - pi/2 Cs lambda^3 k^4 + pi phase + asin A ),

A the amplitude contrast. It is positive at low frequency: for images with protein bright. `delta` is the full
difference between the two main defocus values, as Warp keeps it. This is Warp's CTF; its `-sin(..)` form for
negative defocus is the same number.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from mpop.errors import InputError
from mpop.optics.wavelength import electron_wavelength_A
from mpop.records.tilt_series import CTFModel

Array = NDArray[np.float64]


@njit(parallel=True, cache=True, error_model="numpy")
def _phases(out, defocus_A, half_delta_A, angle, phase, by_k2, by_k4, step):
    """out: (n, size, size // 2 + 1). by_k2 dz k^2 + by_k4 k^4 + phase, brought to [-pi, pi).

    There single precision is good for 2e-7, and numpy's vectorised sine is 4 times as fast as calling it here.
    """
    size = out.shape[1]
    for i in prange(out.shape[0]):
        cos2, sin2 = math.cos(2 * angle[i]), math.sin(2 * angle[i])
        for row in range(size):
            y = (row if row < (size + 1) // 2 else row - size) * step
            for column in range(out.shape[2]):
                x = column * step
                k2 = x * x + y * y
                # k^2 cos 2(theta - angle) = (x^2 - y^2) cos 2 angle + 2 x y sin 2 angle
                defocus_k2 = defocus_A[i] * k2 + half_delta_A[i] * ((x * x - y * y) * cos2 + 2 * x * y * sin2)
                turns = (by_k2 * defocus_k2 + by_k4 * k2 * k2 + phase[i]) / (2 * math.pi)
                out[i, row, column] = (turns - math.floor(turns + 0.5)) * (2 * math.pi)


def ctf_images(
    model: CTFModel,
    defocus_um: Array,
    defocus_delta_um: Array,
    defocus_angle_deg: Array,
    phase_shift_pi: Array,
    size: int,
    pixel_size_A: float,
    dtype: type[np.floating] = np.float32,
) -> NDArray[np.floating]:
    """CTFs of n images in rfft2 layout.

    The four arrays are (n,). Returns (n, size, size // 2 + 1). Raises InputError for Zernike aberrations,
    which are not computed yet.
    """
    if any(model.zernike_odd) or any(model.zernike_even):
        raise InputError(
            "the CTF model has Zernike aberrations (beam tilt and beyond), which mpop cannot apply yet; import "
            "the source with --ignore-aberrations to refine without"
        )
    wavelength = electron_wavelength_A(model.voltage_kV)
    out = np.empty((len(defocus_um), size, size // 2 + 1), dtype=dtype)
    _phases(
        out,
        np.asarray(defocus_um, dtype=np.float64) * 1e4,
        np.asarray(defocus_delta_um, dtype=np.float64) * 0.5e4,
        np.deg2rad(np.asarray(defocus_angle_deg, dtype=np.float64)),
        np.pi * np.asarray(phase_shift_pi, dtype=np.float64) + math.asin(model.amplitude_contrast),
        math.pi * wavelength,
        -math.pi / 2 * model.cs_mm * 1e7 * wavelength**3,
        1.0 / (size * pixel_size_A),
    )
    return np.sin(out, out=out)
