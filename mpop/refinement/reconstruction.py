"""Half-maps straight from tilt images, with no sub-tomograms in between.

Every particle image enters the Fourier volume of its half as P (data) and Q (weight) of
`mpop.series.extraction`, at its exact sub-pixel position. Sums of data and weight add: over tilts, series,
sources, and labs; only the last step, `mpop.maps.reconstruction.reconstruct`, divides one by the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from mpop.projection.disc import HalfDisc
from mpop.projection.insertion import FourierSums, insert
from mpop.records.stack import SeriesModel
from mpop.series.extraction import Ledger, TiltLoader
from mpop.series.opening import request_of, series_of
from mpop.series.views import ImageViews


@dataclass(frozen=True)
class SpeciesTarget:
    """Where the images of one species go: one Fourier volume per half, of the species' box (voxels)."""

    halves: tuple[FourierSums, FourierSums]
    box: int
    pixel_size_A: float
    diameter_A: float

    @classmethod
    def empty(cls, box: int, pixel_size_A: float, diameter_A: float) -> SpeciesTarget:
        """Nothing summed yet."""
        return cls((FourierSums.zeros(box), FourierSums.zeros(box)), box, pixel_size_A, diameter_A)


def add_series(
    targets: list[SpeciesTarget],
    load_tilt: TiltLoader,
    model: SeriesModel,
    views: list[ImageViews[NDArray[np.float64]]],
    halves: list[NDArray[np.uint8]],
    pixel_size_A: float,
) -> Ledger:
    """Add all images of one series; targets, views and halves (p,) go together, one per species. What happened to
    the images comes back."""
    ledger = Ledger()
    requests, discs = [], []
    for target, view in zip(targets, views, strict=True):
        size = 2 * round(target.box * target.pixel_size_A / pixel_size_A / 2)
        finest = 2 * max(target.pixel_size_A, pixel_size_A)
        requests.append(request_of(model, view, target.diameter_A, finest, size, pixel_size_A))
        # a component at radius k lands between voxels k * scale and k * scale + 1, which must exist
        scale = target.box * target.pixel_size_A / (size * pixel_size_A)
        stretch = scale * float(np.linalg.norm(model.magnification, 2))
        discs.append(HalfDisc.make(size, min(size / 2 - 1.5, (target.box / 2 - 1.5) / stretch), r_min=0.0))
    for batch in series_of(model).extract(load_tilt, pixel_size_A, requests, ledger):
        target, view = targets[batch.request], views[batch.request]
        size = requests[batch.request].size
        at = view.position_A[batch.particle, batch.tilt] / pixel_size_A
        data = batch.data * _phases(at - batch.origin_px, size)
        rows = view.rows[batch.particle, batch.tilt]
        rows = rows * (target.box * target.pixel_size_A / (size * pixel_size_A))
        disc = discs[batch.request]
        half = halves[batch.request][batch.particle]
        for number, sums in enumerate(target.halves, start=1):
            chosen = half == number
            if chosen.any():
                insert(sums, disc, disc.pack(data[chosen]), disc.pack(batch.power[chosen]), rows[chosen])
    return ledger


def _phases(shift_px: NDArray[np.float64], size: int) -> NDArray[np.complex64]:
    """(m, size, size // 2 + 1) factors that move content at `shift_px` (m, 2; x, y) to the origin."""
    along_x = np.exp(2j * np.pi * shift_px[:, :1] * scipy.fft.rfftfreq(size))
    along_y = np.exp(2j * np.pi * shift_px[:, 1:] * scipy.fft.fftfreq(size))
    return (along_y[:, :, None] * along_x[:, None, :]).astype(np.complex64)
