"""Filters of maps in Fourier space."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from mpop.maps.bands import cut
from mpop.maps.shells import shell_radii


def transform(volume: NDArray[np.floating]) -> NDArray[np.complex64]:
    """rfftn of a cubic map, float32 throughout."""
    return np.asarray(scipy.fft.rfftn(volume.astype(np.float32, copy=False)))


def inverse(spectrum: NDArray[np.complex64], box: int, use_up: bool = False) -> NDArray[np.float32]:
    """Inverse of `transform`. use_up: the spectrum is overwritten, for one that is needed no more."""
    return np.asarray(scipy.fft.irfftn(spectrum, s=(box,) * 3, overwrite_x=use_up))


def multiply_radially(volume: NDArray[np.floating], curve: NDArray[np.floating]) -> NDArray[np.float32]:
    """Multiply the spectrum of a cubic map by a curve over shells 0, 1, ..., linear between; 0 beyond its end."""
    spectrum = transform(volume)
    scale_shells(spectrum, curve)
    return inverse(spectrum, volume.shape[0], use_up=True)


def scale_shells(spectrum: NDArray[np.complex64], curve: NDArray[np.floating]) -> None:
    """Multiply a transform (box, box, box // 2 + 1) in place by a curve over shells, as `multiply_radially`."""
    shells = np.arange(len(curve))
    for plane, radius in zip(spectrum, shell_radii(len(spectrum)), strict=True):
        plane *= np.interp(radius, shells, curve, right=0.0).astype(np.float32)


def low_pass(
    volume: NDArray[np.floating], pixel_size_A: float, resolution_A: float, edge_shells: float = 3.0
) -> NDArray[np.float32]:
    """Low-pass with a raised-cosine edge centred on the resolution."""
    box = volume.shape[0]
    cut = box * pixel_size_A / resolution_A
    shells = np.arange(box)
    phase = np.clip((shells - cut) / edge_shells + 0.5, 0.0, 1.0)
    return multiply_radially(volume, 0.5 + 0.5 * np.cos(np.pi * phase))


def resample(volume: NDArray[np.floating], box: int) -> NDArray[np.float32]:
    """The same extent on another even box, by cutting or padding the spectrum; densities keep their scale."""
    if len(volume) == box:
        return volume.astype(np.float32)
    return scipy.fft.fftshift(inverse(cut(transform(scipy.fft.ifftshift(volume)), box), box))


def resize(volume: NDArray[np.floating], box: int) -> NDArray[np.float32]:
    """Cut or zero-pad a map to another box; the origin voxel box // 2 stays the origin."""
    old = volume.shape[0]
    out = np.zeros((box,) * 3, dtype=np.float32)
    shared = min(old, box)
    source = slice(old // 2 - shared // 2, old // 2 - shared // 2 + shared)
    target = slice(box // 2 - shared // 2, box // 2 - shared // 2 + shared)
    out[target, target, target] = volume[source, source, source]
    return out
