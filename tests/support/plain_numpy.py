"""From images to a map and its FSC in plain numpy, slowly: an independent oracle of extraction and reconstruction.

Nothing of mpop is imported here, and nothing is clever: indices are counted, every image is handled alone, the
transform of a map is a full complex cube, and every component is inserted together with its Friedel mate. Images
are (y, x) with protein bright, maps (z, y, x) with their origin at voxel box // 2, frequencies in 1/A.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import constants

Array = NDArray[np.float64]


def indices(size: int) -> list[int]:
    """The signed index of each place along an axis of a transform."""
    return [place if 2 * place < size else place - size for place in range(size)]


def window(image: NDArray[np.floating], x: int, y: int, size: int) -> Array:
    """(size, size) pixels around x, y, which comes to index 0; 0 beyond the image."""
    surrounded = np.pad(image, size)
    rows = [size + y + step for step in indices(size)]
    columns = [size + x + step for step in indices(size)]
    return surrounded[rows][:, columns].astype(np.float64)


def part_of_disc(shape: tuple[int, ...], x: int, y: int, radius: float) -> float:
    """How much of a disc around x, y lies in an image of a shape (y, x)."""
    reach = int(np.ceil(radius))
    inside = whole = 0
    for down in range(-reach, reach + 1):
        for right in range(-reach, reach + 1):
            if down**2 + right**2 <= radius**2:
                whole += 1
                inside += 0 <= y + down < shape[0] and 0 <= x + right < shape[1]
    return inside / whole


def noise_power(image: NDArray[np.floating], patch: int = 256) -> tuple[Array, Array]:
    """Frequencies in cycles per pixel and noise power per pixel: Welch's method, Hann windows evenly spread.

    The power at 0, where a mean was taken away, is that next to it.
    """
    taper = np.outer(np.hanning(patch), np.hanning(patch))
    power = np.zeros((patch, patch))
    count = 0
    rows, columns = (
        [int(at) for at in np.linspace(0, edge - patch, 1 + 2 * (edge - patch) // patch)] for edge in image.shape
    )
    for y in rows:
        for x in columns:
            part = image[y : y + patch, x : x + patch].astype(np.float64)
            power += np.abs(np.fft.fft2((part - part.mean()) * taper)) ** 2
            count += 1
    power /= count * (taper**2).sum()
    axis = np.array(indices(patch))
    ring = np.rint(np.sqrt(axis[:, None] ** 2 + axis**2)).astype(int)
    means = np.array([power[ring == number].mean() for number in range(patch // 2 + 1)])
    means[0] = means[1]
    return np.arange(patch // 2 + 1) / patch, means


def rings_of_patches(patches: list[tuple[NDArray[np.floating], NDArray[np.bool_]]]) -> Array:
    """(size // 2 + 1,) mean power of the rings of square patches, each with the pixels that were measured of it.

    Of a real transform's components, the columns k_x >= 0; Hann windows, pixels that were not measured at 0.
    """
    size = len(patches[0][0])
    taper = np.outer(np.hanning(size), np.hanning(size))
    total = sum(
        np.abs(np.fft.fft2(np.where(seen, patch - patch[seen].mean(dtype=float), 0) * taper)) ** 2
        for patch, seen in patches
    )
    total = total / sum((taper**2 * seen).sum() for _, seen in patches)
    rings: list[list[float]] = [[] for _ in range(size)]
    for y in indices(size):
        for x in range(size // 2 + 1):
            rings[round(np.sqrt(y * y + x * x))].append(total[y, x])
    means = np.array([np.mean(ring) for ring in rings[: size // 2 + 1]])
    means[0] = means[1]
    return means


def frequencies(size: int, pixel_A: float) -> tuple[Array, Array]:
    """(size, size) k_y and k_x of a full transform."""
    axis = np.array(indices(size)) / (size * pixel_A)
    return np.repeat(axis[:, None], size, axis=1), np.repeat(axis[None, :], size, axis=0)


@dataclass(frozen=True)
class Optics:
    """Of one image: defocus positive for underfocus, its full astigmatic difference, the phase plate's shift."""

    defocus_A: float
    difference_A: float = 0.0
    angle_deg: float = 0.0
    phase_rad: float = 0.0
    voltage_V: float = 300e3
    cs_A: float = 2.7e7
    amplitude_contrast: float = 0.07

    @property
    def wavelength_A(self) -> float:
        """h / sqrt(2 m e U (1 + e U / 2 m c^2))."""
        energy = constants.e * self.voltage_V
        rest = 2 * constants.m_e * constants.c**2
        momentum = np.sqrt(2 * constants.m_e * energy * (1 + energy / rest))
        return constants.h / momentum * 1e10

    def ctf(self, size: int, pixel_A: float) -> Array:
        """(size, size), positive at low frequency."""
        k_y, k_x = frequencies(size, pixel_A)
        squared = k_x**2 + k_y**2
        away = np.arctan2(k_y, k_x) - np.deg2rad(self.angle_deg)
        defocus = self.defocus_A + self.difference_A / 2 * np.cos(2 * away)
        wave = self.wavelength_A
        chi = np.pi * wave * defocus * squared - np.pi / 2 * self.cs_A * wave**3 * squared**2
        return np.sin(chi + self.phase_rad + np.arcsin(self.amplitude_contrast))


def centre_of(image: Array, size: int) -> Array:
    """(size, size) what is nearest to index 0 of a wrapped image."""
    places = [place % len(image) for place in indices(size)]
    return image[places][:, places]


def premultiplied(
    around: Array, ctf: Array, envelope: Array, noise: Array, size: int, small_envelope: Array, small_noise: Array
) -> tuple[NDArray[np.complex128], Array]:
    """P = CTF E X / sigma^2 and Q = (CTF E)^2 / sigma^2 in a smaller window, full transforms.

    around: the window that the CTF acts in. Envelope E and noise power sigma^2 per pixel are given for that one
    and for the small one.
    """
    seen = np.fft.ifft2(np.fft.fft2(around) * ctf * envelope / noise).real
    data = np.fft.fft2(centre_of(seen, size)) / size**2
    point = np.fft.ifft2(ctf**2).real
    squared = np.fft.fft2(centre_of(point, size)).real
    return data, np.maximum(squared * small_envelope**2 / (small_noise * size**2), 0)


def shells(size: int) -> NDArray[np.int64]:
    """(size, size, size) the shell of each coefficient of a full transform."""
    axis = np.array(indices(size))
    return np.rint(np.sqrt(axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis**2)).astype(np.int64)


class Cube:
    """Sums of data and weight on a full Fourier grid, with trilinear insertion."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.data = np.zeros((size,) * 3, complex)
        self.weight = np.zeros((size,) * 3)

    def insert(
        self, data: NDArray[np.complexfloating], weight: Array, rotation: Array, radius: float, scale: float
    ) -> None:
        """Add an image's transform (n, n), phase zero at the particle, up to a radius in its Fourier pixels.

        rotation: (3, 3), from map to image. scale: voxels of the grid per Fourier pixel.
        """
        n = len(data)
        axis = np.array(indices(n))
        k_y, k_x = np.repeat(axis, n), np.tile(axis, n)
        used = np.flatnonzero((k_x**2 + k_y**2 > 0) & (k_x**2 + k_y**2 <= radius**2))
        at = (k_x[used, None] * rotation[0] + k_y[used, None] * rotation[1]) * scale
        low = np.floor(at).astype(int)
        part = at - low
        for corner in np.ndindex(2, 2, 2):
            share = np.prod(np.where(corner, part, 1 - part), axis=1)
            x, y, z = ((low + corner) % self.size).T
            np.add.at(self.data, (z, y, x), share * data.ravel()[used])
            np.add.at(self.weight, (z, y, x), share * weight.ravel()[used])

    def map(self, box: int) -> Array:
        """Data over the density of weight, transformed, cut to the box, and freed from the kernel's sinc^2.

        The density is the mean of weight over neighbours by (1, 2, 1) / 4 along each axis, times the factor by
        which that of its shell adds up to the shell's weight.
        """
        density = self.weight
        for axis in range(3):
            density = (np.roll(density, 1, axis) + 2 * density + np.roll(density, -1, axis)) / 4
        shell = shells(self.size).ravel()
        weights, densities, counts = (
            np.bincount(shell, values) for values in (self.weight.ravel(), density.ravel(), np.ones(len(shell)))
        )
        scale = np.divide(weights, densities, out=np.zeros_like(weights), where=densities > 0)
        floor = 1e-3 * weights / counts
        divisor = np.maximum(density.ravel() * scale[shell], floor[shell]).reshape(density.shape)
        spectrum = np.where(divisor > 0, self.data / np.where(divisor > 0, divisor, 1), 0)
        whole = np.fft.fftshift(np.fft.ifftn(spectrum).real)
        axis = np.arange(self.size) - self.size // 2
        kernel = np.sinc(axis / self.size) ** 2
        whole = whole / (kernel[:, None, None] * kernel[None, :, None] * kernel[None, None, :])
        start = self.size // 2 - box // 2
        return whole[start : start + box, start : start + box, start : start + box]


def fsc(one: Array, other: Array) -> Array:
    """(box // 2,) correlation over shells 0, 1, ..."""
    box = len(one)
    a, b = np.fft.fftn(one), np.fft.fftn(other)
    sums = np.zeros((3, box // 2))
    shell = shells(box)
    for number, product in enumerate((a * b.conj(), a * a.conj(), b * b.conj())):
        sums[number] = np.bincount(shell.ravel(), product.real.ravel(), minlength=box)[: box // 2]
    return sums[0] / np.sqrt(sums[1] * sums[2])
