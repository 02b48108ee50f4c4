"""The true map of a structure, and half-maps as poor as a first sub-tomogram average.

A half-map is h = L t + g n: the truth t low-passed by L, and noise n of its own that has the molecule's symmetry,
as an average does. Noise of power S (1 - F) against a signal of power S F in a shell, F(k) a logistic function,
makes FSC = F without a mask. A mask takes noise away but hardly any signal; g makes up for that: within the mask
the area under the FSC is that of F.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numba import njit
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, distance_transform_edt, gaussian_filter
from scipy.optimize import root_scalar

from mpop.simulation.physics import ATOM_REACH_SIGMA, ATOM_SIGMA_A, POTENTIAL_PER_SCATTERING, oversampling
from mpop.simulation.structures import Structure
from mpop.simulation.symmetry import group_rotations

Volume = NDArray[np.float32]

THRESHOLD = 0.143
FSC_WIDTH_PER_A = 0.004
"""How slowly the half-map FSC falls around its crossing."""
CUT = 1.4
"""Half-maps end at this multiple of the frequency of their resolution, as filtered maps do."""
MASK_MARGIN_A = 6.0
MASK_EDGE_A = 12.0


@dataclass(frozen=True)
class StartingMaps:
    """Maps (z, y, x) of one box, in V over the solvent; the mask is 1 in the molecule with a soft edge."""

    truth: Volume
    half1: Volume
    half2: Volume
    mask: Volume


def box_of(structure: Structure, pixel_size_A: float) -> int:
    """Twice the diameter, even, as M has it."""
    return 2 * round(structure.diameter_A / pixel_size_A)


def make_maps(
    structure: Structure,
    pixel_size_A: float,
    resolution_A: float,
    rng: np.random.Generator,
    box: int | None = None,
) -> StartingMaps:
    """Truth, mask, and two half-maps whose FSC within the mask crosses 0.143 near a resolution.

    box: even; twice the diameter if not given.
    """
    box = box or box_of(structure, pixel_size_A)
    truth = true_map(structure, box, pixel_size_A)
    mask = _mask(truth, pixel_size_A)
    shell = np.rint(_radius(box)).astype(int)
    frequency = np.arange(shell.max() + 1) / (box * pixel_size_A)
    middle = 1 / resolution_A - FSC_WIDTH_PER_A * math.log(1 / THRESHOLD - 1)
    wanted = 1 / (1 + np.exp((frequency - middle) / FSC_WIDTH_PER_A))
    window = 0.5 + 0.5 * np.cos(np.pi * np.clip((frequency * resolution_A - 1) / (CUT - 1), 0, 1))
    spectrum = np.asarray(scipy.fft.rfftn(truth))
    power = _shell_mean(np.square(np.abs(spectrum)), shell)
    low_passed = _real(spectrum * (window * np.sqrt(wanted))[shell], box)
    noises = []
    for _ in range(2):
        white = _symmetrised(rng.standard_normal((box,) * 3, dtype=np.float32), structure.symmetry)
        noise = np.asarray(scipy.fft.rfftn(white))
        level = power * (1 - wanted) / _shell_mean(np.square(np.abs(noise)), shell)
        noises.append(_real(noise * (window * np.sqrt(level))[shell], box))
    within = np.flatnonzero(frequency[: box // 2] < CUT / resolution_A)
    g = _noise_strength([part * mask for part in (low_passed, *noises)], float(wanted[within].sum()), within)
    return StartingMaps(truth, low_passed + g * noises[0], low_passed + g * noises[1], mask)


def _noise_strength(parts: list[Volume], area: float, shells: NDArray[np.int_]) -> np.float32:
    """g for which the FSC of t + g n1 and t + g n2, summed over shells, is `area`.

    parts: t, n1, n2, all within the mask. Sums over shells of their products make the FSC for any g.
    """
    shell = np.rint(_radius(len(parts[0]))).astype(int)
    t, a, b = (np.asarray(scipy.fft.rfftn(part)) for part in parts)

    def mean(x: NDArray, y: NDArray) -> NDArray[np.float64]:
        return _shell_mean(np.real(x * np.conj(y)), shell)[shells]

    tt, ta, tb, ab, aa, bb = mean(t, t), mean(t, a), mean(t, b), mean(a, b), mean(a, a), mean(b, b)

    def excess(log_g: float) -> float:
        g = math.exp(log_g)
        cross = tt + g * (ta + tb) + g * g * ab
        fsc = cross / np.sqrt((tt + 2 * g * ta + g * g * aa) * (tt + 2 * g * tb + g * g * bb))
        return float(fsc.sum()) - area

    return np.float32(math.exp(root_scalar(excess, bracket=(math.log(1e-3), math.log(1e3))).root))


def _symmetrised(volume: Volume, symmetry: str) -> Volume:
    """Mean over a point group about the centre voxel."""
    rotations = group_rotations(symmetry)
    if len(rotations) == 1:
        return volume
    centre = np.full(3, len(volume) // 2)
    total = np.zeros(volume.shape, dtype=np.float32)
    for rotation in rotations:
        matrix = rotation[::-1, ::-1]  # axes of the array are z, y, x
        total += affine_transform(volume, matrix, centre - matrix @ centre, order=1, mode="grid-wrap")
    return total / np.float32(len(rotations))


def _real(spectrum: NDArray[np.complexfloating], box: int) -> Volume:
    return np.asarray(scipy.fft.irfftn(spectrum, s=(box,) * 3)).astype(np.float32)


def _radius(box: int) -> NDArray[np.float64]:
    axis = np.square(np.fft.ifftshift(np.arange(box) - box // 2))
    return np.sqrt(axis[:, None, None] + axis[None, :, None] + np.square(np.arange(box // 2 + 1)))


def _shell_mean(values: NDArray[np.floating], shell: NDArray[np.int_]) -> NDArray[np.float64]:
    flat = shell.ravel()
    return np.bincount(flat, values.ravel()) / np.bincount(flat)


def true_map(structure: Structure, box: int, pixel_size_A: float) -> Volume:
    """Every atom a Gaussian, drawn on a finer grid and brought to the pixel size by cutting its spectrum."""
    finer = oversampling(pixel_size_A)
    fine = np.zeros((finer * box,) * 3, dtype=np.float32)
    step = pixel_size_A / finer
    reach = math.ceil(ATOM_REACH_SIGMA * ATOM_SIGMA_A / step)
    potential = structure.scattering_A * POTENTIAL_PER_SCATTERING
    _splat(structure.position_A, potential, step, ATOM_SIGMA_A, reach, fine)
    spectrum = np.asarray(scipy.fft.rfftn(fine, overwrite_x=True))
    keep = np.arange(-box // 2 + 1, box // 2)
    half = np.arange(box // 2)
    cut = np.zeros((box, box, box // 2 + 1), dtype=np.complex64)
    cut[np.ix_(keep, keep, half)] = spectrum[np.ix_(keep, keep, half)]
    return _real(cut, box) / np.float32(finer**3)


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


def _mask(truth: Volume, pixel_size_A: float) -> Volume:
    """The molecule at 15 A, grown, with a cosine edge."""
    smooth = gaussian_filter(truth, 15.0 / 4 / pixel_size_A)
    outside = np.asarray(distance_transform_edt(smooth < 0.15 * smooth.max())) * pixel_size_A
    return (0.5 + 0.5 * np.cos(np.pi * np.clip((outside - MASK_MARGIN_A) / MASK_EDGE_A, 0, 1))).astype(np.float32)
