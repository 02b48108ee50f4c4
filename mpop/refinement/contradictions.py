"""Whether particle images contradict the half-maps, or the geometry, that they came with.

Every question is one of two descriptions of the same images: as imported, and with one thing turned over.
`mpop.refinement.evidence` says how sure the answer is.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mpop.projection.score import score_with_gradients
from mpop.records.tilt_series import TiltSeriesModel
from mpop.refinement.evidence import ParticleFits
from mpop.refinement.target import SpeciesImages
from mpop.series.views import ImageViews

Array = NDArray[np.float64]


def particle_fits(
    images: SpeciesImages,
    view: ImageViews[NDArray[np.float64]],
    crossed: bool = False,
    mirror: Array | None = None,
) -> ParticleFits:
    """How the particles of one species in one series fit their half-maps.

    crossed: half 1 with half-map 2, half 2 with half-map 1. mirror: (3,) signs of the map's axes.
    """
    signs = np.ones(3) if mirror is None else mirror
    at = images.particle, images.tilt
    shift = view.position_A[at] / images.pixel_size_A - images.origin_px
    rows = view.rows[at] * images.row_scale * signs
    out = np.zeros((len(rows), 2))
    references = images.references[::-1] if crossed else images.references
    for reference, half in zip(references, (slice(0, images.n_half1), slice(images.n_half1, None)), strict=True):
        score = score_with_gradients(
            reference, images.disc, images.data[half], images.power[half], rows[half], shift[half]
        )
        out[half] = np.stack([score.ab, score.a2], axis=1)
    count = len(view.position_A)
    ab, a2 = (np.bincount(images.particle, column, count).astype(np.float64) for column in out.T)
    seen = np.bincount(images.particle, minlength=count) > 0
    return ParticleFits(ab[seen], a2[seen])


def with_depth_turned(model: TiltSeriesModel) -> TiltSeriesModel:
    """Defocus counted the other way along the beam."""
    return replace(model, are_angles_inverted=not model.are_angles_inverted)
