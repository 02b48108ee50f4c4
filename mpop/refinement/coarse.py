"""How particle images fit half-maps at low resolution, by numpy alone: for a look, and nothing that is kept.

Half-maps are cut to few voxels and padded to three times the particle, so that their transforms are smooth and the
nearest coefficient stands for what lies between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from mpop.geometry.frequencies import covering_shell, even_fast_size
from mpop.maps.filters import resample, resize
from mpop.refinement.evidence import ParticleFits
from mpop.series.coarse import CoarseImages

Array = NDArray[np.float64]

VOXELS_PER_RESOLUTION = 3.0
PADDED = 1.5
"""Of boxes that are twice the particle. The nearest coefficient is off by up to a sixth of a cycle per particle
along each axis, which costs some per cent of the amplitude."""


@dataclass(frozen=True)
class CoarseReference:
    """values: (2 reach + 1,) * 3, indices k_z, k_y, k_x + reach. Phase zero at the box centre. One voxel is the
    inverse of extent_A."""

    values: NDArray[np.complex64]
    extent_A: float

    @classmethod
    def of(cls, volume: NDArray[np.float32], pixel_size_A: float, resolution_A: float) -> CoarseReference:
        """Of a map (z, y, x) of the particle alone, up to a resolution."""
        extent_A = len(volume) * pixel_size_A
        small = min(even_fast_size(extent_A / resolution_A * VOXELS_PER_RESOLUTION), len(volume) // 2 * 2)
        padded, voxel_A = even_fast_size(small * PADDED), extent_A / small
        coarse = resize(resample(volume, small), padded)
        spectrum = np.asarray(scipy.fft.rfftn(scipy.fft.ifftshift(coarse)))
        reach = min(covering_shell(padded, voxel_A, resolution_A), padded // 2 - 1)
        rows = np.arange(-reach, reach + 1) % padded
        half = spectrum[np.ix_(rows, rows, np.arange(reach + 1))]
        values = np.concatenate([half[::-1, ::-1, :0:-1].conj(), half], axis=2)
        return cls(values, padded * voxel_A)

    def slices(self, rows: Array, frequency: Array) -> NDArray[np.complex64]:
        """(n, k) for slice rows (n, 2, 3) at frequencies (k, 2) x, y in 1/A; 0 beyond what is known."""
        reach = len(self.values) // 2
        at = (frequency * self.extent_A).astype(np.float32) @ rows.astype(np.float32)
        index = np.rint(at).astype(np.int32)
        known = (np.abs(index) <= reach).all(axis=2)
        index = np.clip(index, -reach, reach) + reach
        size = 2 * reach + 1
        flat = (index[..., 2] * size + index[..., 1]) * size + index[..., 0]
        return self.values.ravel()[flat] * known


@dataclass(frozen=True)
class Placed:
    """Images with the slices that they should show: R (m, k) of the particle's half, and where each particle lies,
    (m, 2) x, y in A from where phases are zero."""

    images: CoarseImages
    slices: NDArray[np.complex64]
    shift_A: Array

    @classmethod
    def of(
        cls,
        images: CoarseImages,
        references: tuple[CoarseReference, CoarseReference],
        half: NDArray[np.uint8],
        position_A: Array,
        rows: Array,
    ) -> Placed:
        """half (p,), position_A (p, n, 2), rows (p, n, 2, 3) of p particles in n exposures."""
        at = images.particle, images.exposure
        slices = np.empty(images.data.shape, np.complex64)
        for which, reference in zip((1, 2), references, strict=True):
            here = half[images.particle] == which
            slices[here] = reference.slices(rows[at][here], images.frequency)
        return cls(images, slices, position_A[at] - images.origin_A)

    def fits(self, shift_A: Array | None = None) -> tuple[ParticleFits, NDArray[np.int64]]:
        """Of each particle, and which these are. shift_A: (m, 2) more."""
        shift = self.shift_A if shift_A is None else self.shift_A + shift_A
        turned = np.exp((2j * np.pi * (shift @ self.images.frequency.T)).astype(np.complex64))
        ab = np.einsum("mk,mk,mk->m", self.slices.conj(), self.images.data, turned, optimize=False).real
        a2 = np.einsum("mk,mk->m", self.images.power, np.square(np.abs(self.slices)))
        seen, index = np.unique(self.images.particle, return_inverse=True)
        ab, a2 = (np.bincount(index, column).astype(np.float64) for column in (ab, a2))
        return ParticleFits(ab, a2), seen

    def surface(self, chosen: NDArray[np.int64]) -> tuple[NDArray[np.float32], float]:
        """How AB of some images would change if particles lay elsewhere in them: (c, L, L) at shifts y, x of whole
        steps, those below 0 counted from the end, and the step in A."""
        images, disc = self.images, self.images.lens.disc
        turned = np.exp((2j * np.pi * (self.shift_A[chosen] @ images.frequency.T)).astype(np.complex64))
        product = self.slices[chosen].conj() * images.data[chosen] * turned
        k_x, k_y = disc.frequencies().T
        fine = 2 * disc.size
        plane = np.zeros((len(chosen), fine, disc.size + 1), np.complex64)
        plane[:, k_y, k_x] = np.where(k_x == 0, 2, 1) * product
        return np.asarray(scipy.fft.irfft2(plane, s=(fine, fine))), images.lens.pixel_size_A / 2
