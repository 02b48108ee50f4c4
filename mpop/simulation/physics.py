"""How a molecule becomes contrast in an electron image. Shares no code with refinement: atoms are projected in
real space, one Gaussian each, and never through a Fourier slice.

    phase shift    phi(x) = sigma_e V_t(x),    V_t projected potential of one atom = 47.88 V A^2 f(0)
    image          I = N (1 - 2 phi * CTF),    N electrons per pixel; counts are Gaussian of variance N

Exposure damps detail as exp(-exposure k^2) for 1 e/A^2, that is a B-factor of 4 A^2 per e/A^2 (M, Methods).
"""

from __future__ import annotations

import math

import numpy as np
import scipy.fft
from numba import njit, prange
from numpy.typing import NDArray

from mpop.simulation.structures import Structure

Array = NDArray[np.float64]

POTENTIAL_PER_SCATTERING = 47.878
"""h^2 / (2 pi m e): V A^2 of projected potential per A of scattering factor."""
ATOM_B_A2 = 60.0
"""B-factor of every atom: its own size, thermal motion and what freezing does."""
ATOM_SIGMA_A = math.sqrt(ATOM_B_A2 / (8 * math.pi**2))
ATOM_REACH_SIGMA = 4.0
"""Atoms are drawn this far out."""
FINEST_PIXEL_A = 1.25
"""Atoms are drawn at this sampling or finer: what folds back is exp(-B k^2 / 4) < 0.5 % of an atom."""
DAMAGE_B_PER_EXPOSURE_A2 = 4.0
MEAN_FREE_PATH_A = 3000.0
"""Inelastic mean free path in ice at 300 kV."""


def euler_matrix(angles_deg: Array) -> Array:
    """(p, 3, 3) matrices that take map vectors to image vectors, written out for RELION's rot, tilt, psi."""
    rot, tilt, psi = np.deg2rad(np.asarray(angles_deg)).T
    ca, cb, cg = np.cos(rot), np.cos(tilt), np.cos(psi)
    sa, sb, sg = np.sin(rot), np.sin(tilt), np.sin(psi)
    rows = [
        [cg * cb * ca - sg * sa, cg * cb * sa + sg * ca, -cg * sb],
        [-sg * cb * ca - cg * sa, -sg * cb * sa + cg * ca, sg * sb],
        [sb * ca, sb * sa, cb],
    ]
    return np.moveaxis(np.array(rows), -1, 0)


def turn_about(axis: int, angle_deg: Array | float) -> Array:
    """(n, 3, 3) right-handed rotations about x, y or z (0, 1, 2)."""
    angle = np.deg2rad(np.atleast_1d(np.asarray(angle_deg, dtype=float)))
    c, s = np.cos(angle), np.sin(angle)
    out = np.zeros((len(angle), 3, 3))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    out[:, axis, axis] = 1.0
    out[:, i, i] = out[:, j, j] = c
    out[:, i, j], out[:, j, i] = -s, s
    return out


def stage_matrices(tilt_deg: Array, axis_deg: Array) -> Array:
    """(n, 3, 3) specimen to image: tilt about the stage's axis, which lies `axis_deg` from the image's y.

    At axis 0, x' = x cos t - z sin t, z' = x sin t + z cos t.
    """
    return turn_about(2, axis_deg) @ turn_about(1, -np.asarray(tilt_deg))


@njit(parallel=True, cache=True)
def _splat(atoms, weights, rotations, offsets, pixel, sigma, reach, out):
    """out: (p, s, s) fine images, centre pixel s // 2. Each atom a normalised 2-D Gaussian per A^2."""
    size = out.shape[1]
    half = size // 2
    scale = 1.0 / (2.0 * math.pi * sigma * sigma)
    inverse = -0.5 / (sigma * sigma)
    for p in prange(rotations.shape[0]):
        r = rotations[p]
        gx = np.empty(2 * reach + 1)
        for a in range(atoms.shape[0]):
            ax, ay, az = atoms[a, 0], atoms[a, 1], atoms[a, 2]
            x = r[0, 0] * ax + r[0, 1] * ay + r[0, 2] * az + offsets[p, 0]
            y = r[1, 0] * ax + r[1, 1] * ay + r[1, 2] * az + offsets[p, 1]
            column, row = round(x / pixel), round(y / pixel)
            for i in range(-reach, reach + 1):
                d = (column + i) * pixel - x
                gx[i + reach] = math.exp(inverse * d * d)
            for j in range(-reach, reach + 1):
                d = (row + j) * pixel - y
                gy = weights[a] * scale * math.exp(inverse * d * d)
                line = out[p, half + row + j]
                for i in range(2 * reach + 1):
                    line[half + column - reach + i] += gy * gx[i]


def oversampling(pixel_size_A: float) -> int:
    """How many times finer than the pixel size atoms are drawn."""
    return max(2, math.ceil(pixel_size_A / FINEST_PIXEL_A))


def extent(structure: Structure, pixel_size_A: float) -> int:
    """Even number of pixels that a molecule needs, its outermost atoms and an offset of a pixel included."""
    return 2 * math.ceil((structure.diameter_A / 2 + ATOM_REACH_SIGMA * ATOM_SIGMA_A) / pixel_size_A + 1)


def electron_wavelength_A(voltage_kV: float) -> float:
    """Relativistic wavelength, h / sqrt(2 m e V (1 + e V / 2 m c^2))."""
    volts = voltage_kV * 1e3
    return 12.2643 / math.sqrt(volts + 0.97845e-6 * volts**2)


def interaction_constant(voltage_kV: float) -> float:
    """sigma_e = 2 pi m e lambda / h^2 with the relativistic mass, rad / (V A); 6.53e-4 at 300 kV."""
    mass_ratio = 1 + voltage_kV / 510.999
    return mass_ratio * electron_wavelength_A(voltage_kV) / POTENTIAL_PER_SCATTERING


def potential_spectrum(
    structure: Structure, rotations: Array, offsets_A: Array, size: int, pixel_size_A: float
) -> NDArray[np.complex64]:
    """Transforms of the projected potential (V A) of a molecule seen from p directions, as rfft2 of images of
    size x size pixels would give them: (p, size, size // 2 + 1).

    rotations (p, 3, 3); offsets_A (p, 2) x, y from the centre pixel size // 2, at most half a pixel; size even.
    Atoms are drawn on a finer grid just large enough. Its transform is taken as if zeros filled the finer grid
    out to the whole image, and cut at the Nyquist frequency of the image, so that nothing folds back and the
    tails that the cut gives to every atom are whole.
    """
    if np.abs(offsets_A).max() > 0.501 * pixel_size_A:
        raise ValueError("offsets beyond half a pixel do not fit the image")
    finer = oversampling(pixel_size_A)
    step = pixel_size_A / finer
    reach = math.ceil(ATOM_REACH_SIGMA * ATOM_SIGMA_A / step)
    drawn = finer * extent(structure, pixel_size_A)
    images = np.zeros((len(rotations), drawn, drawn), dtype=np.float32)
    potential = structure.scattering_A * POTENTIAL_PER_SCATTERING
    _splat(structure.position_A, potential, rotations, offsets_A, step, ATOM_SIGMA_A, reach, images)
    full, half = finer * size, size // 2
    kept = np.fft.ifftshift(np.arange(size) - size // 2)
    spectra = np.asarray(scipy.fft.rfft(images, n=full, axis=2))[..., : half + 1]
    spectra = np.asarray(scipy.fft.fft(spectra, n=full, axis=1))[:, kept]
    spectra[:, half] = spectra[..., half] = 0.0  # at Nyquist itself a sum of both signs, and so not kept
    # bring the centre of what was drawn to the centre pixel; per pixel as the finer grid has finer^2 points
    centre = np.exp(-2j * np.pi / full * kept * (finer * half - drawn // 2))
    return (spectra * (np.outer(centre, centre[: half + 1]) / finer**2)).astype(np.complex64)


def contrast_transfer(
    size: int,
    pixel_size_A: float,
    defocus_um: Array,
    delta_um: float,
    angle_deg: float,
    cs_mm: float,
    amplitude_contrast: float,
    voltage_kV: float,
) -> NDArray[np.float32]:
    """(p, size, size // 2 + 1) sin(chi + asin A), chi = pi lambda z k^2 - pi/2 Cs lambda^3 k^4."""
    wavelength = electron_wavelength_A(voltage_kV)
    ky = np.fft.fftfreq(size, pixel_size_A)[:, None]
    kx = np.fft.rfftfreq(size, pixel_size_A)[None, :]
    k2 = kx**2 + ky**2
    azimuth = np.arctan2(ky, kx)
    astigmatism = 0.5e4 * delta_um * np.cos(2 * (azimuth - math.radians(angle_deg)))
    z = 1e4 * np.asarray(defocus_um)[:, None, None] + astigmatism
    chi = math.pi * wavelength * z * k2 - 0.5 * math.pi * cs_mm * 1e7 * wavelength**3 * k2**2
    return np.sin(chi + math.asin(amplitude_contrast)).astype(np.float32)


def damage_envelope(size: int, pixel_size_A: float, exposure: float) -> NDArray[np.float32]:
    """(size, size // 2 + 1) amplitude that survives an exposure in e/A^2."""
    k2 = np.fft.fftfreq(size, pixel_size_A)[:, None] ** 2 + np.fft.rfftfreq(size, pixel_size_A)[None, :] ** 2
    return np.exp(-DAMAGE_B_PER_EXPOSURE_A2 * exposure / 4 * k2).astype(np.float32)


def electrons_per_pixel(exposure: float, pixel_size_A: float, thickness_A: float, tilt_deg: float) -> float:
    """Electrons that reach a pixel without energy loss."""
    path = thickness_A / max(math.cos(math.radians(tilt_deg)), 0.05)
    return exposure * pixel_size_A**2 * math.exp(-path / MEAN_FREE_PATH_A)
