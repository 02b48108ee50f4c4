"""What an image's CTF depends on, image by image, and how the CTF changes with it.

Beside the CTF of `mpop.optics.ctf`, c = sin chi, an image has an odd phase by the tilt t of the beam,

    X = c exp(i phi) E R,        phi(k) = 2 pi Cs lambda^2 |k|^2 (k . t).

A score that depends on c and phi at every k then depends on a parameter p of chi, and on t, as

    dAB/dp = sum_k dAB/dc cos(chi) dchi/dp,        dA2/dp = sum_k dA2/d(c^2) sin(2 chi) dchi/dp,
    dAB/dt = sum_k dAB/dphi dphi/dt,               dA2/dt = 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from mpop.geometry.frequencies import wrapped_indices
from mpop.optics.ctf import ctf_images
from mpop.optics.premultiplication import ByCTF
from mpop.optics.wavelength import electron_wavelength_A
from mpop.records.tilt_series import CTFModel

Array = NDArray[np.float64]

A_PER_UM, A_PER_MM, RAD_PER_MRAD = 1e4, 1e7, 1e-3
NAMES = ("defocus", "defocus_delta", "defocus_angle", "phase_shift", "cs")
"""Of the parameters of chi: per um, um, degree, pi and mm."""


@dataclass(frozen=True)
class Imaging:
    """Of n images: what all share, and (n,) defocus and difference of main defoci in um, angle in degrees, phase
    shift in pi; beam_tilt_mrad (n, 2), x and y."""

    model: CTFModel
    defocus_um: Array
    defocus_delta_um: Array
    defocus_angle_deg: Array
    phase_shift_pi: Array
    beam_tilt_mrad: Array

    def part(self, chosen: slice) -> Imaging:
        """Some of the images."""
        return Imaging(
            self.model,
            self.defocus_um[chosen],
            self.defocus_delta_um[chosen],
            self.defocus_angle_deg[chosen],
            self.phase_shift_pi[chosen],
            self.beam_tilt_mrad[chosen],
        )

    def ctf(self, size: int, pixel_size_A: float, dtype: type[np.floating]) -> NDArray[np.floating]:
        """(n, size, size // 2 + 1) c."""
        return ctf_images(
            self.model,
            self.defocus_um,
            self.defocus_delta_um,
            self.defocus_angle_deg,
            self.phase_shift_pi,
            size,
            pixel_size_A,
            dtype,
        )

    def without_tilt(
        self, spectra: NDArray[np.complexfloating], pixel_size_A: float
    ) -> NDArray[np.complexfloating]:
        """Spectra (n, size, size // 2 + 1) of images times exp(-i phi)."""
        if not self.beam_tilt_mrad.any():
            return spectra
        size = spectra.shape[1]
        x = (np.arange(size // 2 + 1) / (size * pixel_size_A))[None, :]
        y = (wrapped_indices(size) / (size * pixel_size_A))[:, None]
        tilt = self.beam_tilt_mrad[:, :, None, None]
        phase = self._by_tilt * (x * x + y * y) * (x * tilt[:, 0] + y * tilt[:, 1])
        phase[:, size // 2] = phase[:, :, -1] = 0  # at Nyquist an odd phase has no value
        return spectra * np.exp(-1j * phase).astype(spectra.dtype)

    @property
    def _by_tilt(self) -> float:
        """phi / (|k|^2 (k . t)), with t in mrad."""
        wavelength = electron_wavelength_A(self.model.voltage_kV)
        return 2 * math.pi * RAD_PER_MRAD * self.model.cs_mm * A_PER_MM * wavelength**2

    def derivatives(self, by_ctf: ByCTF, pixel_size_A: float) -> tuple[dict[str, Array], dict[str, Array]]:
        """Those of AB and of A2, by name: (n,) of the parameters of chi, and "beam_tilt" (n, 2) per mrad."""
        wavelength = electron_wavelength_A(self.model.voltage_kV)
        count, size = by_ctf.ab_by_size.shape[:2]
        out = np.empty((count, 12))
        _sums(
            out,
            by_ctf.ab_by_size,
            by_ctf.ab_by_phase,
            by_ctf.a2_by_square,
            self.defocus_um * A_PER_UM,
            self.defocus_delta_um * A_PER_UM / 2,
            np.deg2rad(self.defocus_angle_deg),
            np.pi * self.phase_shift_pi + math.asin(self.model.amplitude_contrast),
            math.pi * wavelength,
            -math.pi / 2 * A_PER_MM * wavelength**3,
            self.model.cs_mm,
            1.0 / (size * pixel_size_A),
        )
        scale = np.array([A_PER_UM, A_PER_UM / 2, np.pi / 180, np.pi, 1.0])
        ab = dict(zip(NAMES, (out[:, :5] * scale).T, strict=True))
        return ab | {"beam_tilt": self._by_tilt * out[:, 10:]}, dict(
            zip(NAMES, (out[:, 5:10] * scale).T, strict=True)
        )


@njit(parallel=True, cache=True, error_model="numpy")
def _sums(
    out, ab_by_size, ab_by_phase, a2_by_square, defocus_A, half_delta_A, angle, phase, by_k2, by_k4, cs_mm, step
):
    """out: (n, 12) of AB by defocus (A), half delta (A), angle (rad), phase (rad), Cs (mm); of A2 by the same; of
    AB by beam tilt over 2 pi Cs lambda^2. by_k4: of Cs in mm."""
    size = ab_by_size.shape[1]
    for i in prange(out.shape[0]):
        cos2, sin2 = math.cos(2 * angle[i]), math.sin(2 * angle[i])
        sums = np.zeros(12)
        for row in range(size):
            y = (row if row < (size + 1) // 2 else row - size) * step
            for column in range(ab_by_size.shape[2]):
                x = column * step
                k2 = x * x + y * y
                k2_cos = (x * x - y * y) * cos2 + 2 * x * y * sin2
                k2_sin = 2 * x * y * cos2 - (x * x - y * y) * sin2
                chi = by_k2 * (defocus_A[i] * k2 + half_delta_A[i] * k2_cos) + by_k4 * cs_mm * k2 * k2 + phase[i]
                ab = ab_by_size[i, row, column] * math.cos(chi)
                a2 = a2_by_square[i, row, column] * math.sin(2 * chi)
                by_angle = 2 * by_k2 * half_delta_A[i] * k2_sin
                sums[0] += ab * by_k2 * k2
                sums[1] += ab * by_k2 * k2_cos
                sums[2] += ab * by_angle
                sums[3] += ab
                sums[4] += ab * by_k4 * k2 * k2
                sums[5] += a2 * by_k2 * k2
                sums[6] += a2 * by_k2 * k2_cos
                sums[7] += a2 * by_angle
                sums[8] += a2
                sums[9] += a2 * by_k4 * k2 * k2
                if 2 * column < size and 2 * row != size:
                    odd = ab_by_phase[i, row, column] * k2
                    sums[10] += odd * x
                    sums[11] += odd * y
        out[i] = sums
