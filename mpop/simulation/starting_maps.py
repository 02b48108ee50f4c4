"""The true map of a structure, and half-maps as poor as a first sub-tomogram average."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numba import njit
from numpy.typing import NDArray

from mpop.simulation.physics import ATOM_B_A2
from mpop.simulation.structures import Structure

FSC_WIDTH_PER_A = 0.006
"""How slowly the half-map FSC falls around its crossing."""


@dataclass(frozen=True)
class StartingMaps:
    """Maps (z, y, x) of one box; the mask is 1 in the molecule with a soft edge."""

    truth: NDArray[np.float32]
    half1: NDArray[np.float32]
    half2: NDArray[np.float32]
    mask: NDArray[np.float32]


def box_of(structure: Structure, pixel_size_A: float) -> int:
    """Twice the diameter, even."""
    return 2 * math.ceil(structure.diameter_A / pixel_size_A)


def make_maps(
    structure: Structure, pixel_size_A: float, resolution_A: float, rng: np.random.Generator
) -> StartingMaps:
    """Truth, mask, and two half-maps whose FSC crosses 0.143 at a resolution."""
    box = box_of(structure, pixel_size_A)
    truth = true_map(structure, box, pixel_size_A)
    mask = _mask(truth, pixel_size_A)
    radius = _radius(box)
    k = radius / (box * pixel_size_A)
    # a logistic FSC that is 0.143 at the wished frequency; SNR = FSC / (1 - FSC)
    snr = 0.143 / 0.857 * np.exp(-(k - 1 / resolution_A) / FSC_WIDTH_PER_A)
    cut = 1.4 / resolution_A
    window = 0.5 + 0.5 * np.cos(np.pi * np.clip((k - cut) / (0.2 * cut), 0, 1))
    signal = np.asarray(scipy.fft.rfftn(truth))
    shell = np.rint(radius).astype(int)
    signal_power = _shell_mean(np.square(np.abs(signal)), shell)
    halves = []
    for _ in range(2):
        noise = np.asarray(scipy.fft.rfftn(rng.standard_normal(truth.shape) * mask))
        noise *= np.sqrt(signal_power / _shell_mean(np.square(np.abs(noise)), shell))[shell] / np.sqrt(snr)
        halves.append(scipy.fft.irfftn((signal + noise) * window, s=truth.shape).astype(np.float32))
    return StartingMaps(truth, halves[0], halves[1], mask)


def _radius(box: int) -> NDArray[np.float64]:
    axis = np.square(np.fft.fftfreq(box) * box)
    return np.sqrt(axis[:, None, None] + axis[None, :, None] + np.square(np.fft.rfftfreq(box) * box))


def _shell_mean(values: NDArray[np.floating], shell: NDArray[np.int_]) -> NDArray[np.float64]:
    flat = shell.ravel()
    return np.bincount(flat, values.ravel()) / np.bincount(flat)


def true_map(structure: Structure, box: int, pixel_size_A: float) -> NDArray[np.float32]:
    """Every atom a Gaussian, drawn at twice the sampling and brought to the pixel size by cutting its spectrum."""
    fine = np.zeros((2 * box,) * 3, dtype=np.float32)
    step = pixel_size_A / 2
    sigma = math.sqrt(ATOM_B_A2 / (8 * math.pi**2))
    _splat(structure.position_A, structure.scattering_A, step, sigma, math.ceil(3.5 * sigma / step), fine)
    spectrum = np.asarray(scipy.fft.rfftn(fine, workers=-1, overwrite_x=True))
    keep = np.arange(-(box // 2) + 1, box // 2)
    cut = np.zeros((box, box, box // 2 + 1), dtype=np.complex64)
    half = np.arange(box // 2)
    cut[np.ix_(keep % box, keep % box, half)] = spectrum[np.ix_(keep % (2 * box), keep % (2 * box), half)]
    return np.asarray(scipy.fft.irfftn(cut, s=(box,) * 3, workers=-1)) / 8


@njit(cache=True)
def _splat(atoms, weights, pixel, sigma, reach, out):
    """Sum of normalised 3-D Gaussians, centre voxel at half the size."""
    half = out.shape[0] // 2
    scale = (1.0 / (math.sqrt(2.0 * math.pi) * sigma)) ** 3
    inverse = -0.5 / (sigma * sigma)
    gx = np.empty(2 * reach + 1)
    for a in range(atoms.shape[0]):
        x, y, z = atoms[a, 0], atoms[a, 1], atoms[a, 2]
        i0, j0, k0 = round(x / pixel), round(y / pixel), round(z / pixel)
        for i in range(-reach, reach + 1):
            gx[i + reach] = math.exp(inverse * ((i0 + i) * pixel - x) ** 2)
        for k in range(-reach, reach + 1):
            gz = weights[a] * scale * math.exp(inverse * ((k0 + k) * pixel - z) ** 2)
            for j in range(-reach, reach + 1):
                gy = gz * math.exp(inverse * ((j0 + j) * pixel - y) ** 2)
                for i in range(-reach, reach + 1):
                    out[half + k0 + k, half + j0 + j, half + i0 + i] += gy * gx[i + reach]


def _mask(truth: NDArray[np.float32], pixel_size_A: float) -> NDArray[np.float32]:
    """The molecule at 15 A, grown by 6 A, with an edge of 12 A."""
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    smooth = gaussian_filter(truth, 15.0 / 4 / pixel_size_A)
    outside = np.asarray(distance_transform_edt(smooth < 0.15 * smooth.max())) * pixel_size_A
    return (0.5 + 0.5 * np.cos(np.pi * np.clip((outside - 6.0) / 12.0, 0, 1))).astype(np.float32)
