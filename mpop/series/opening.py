"""The series of a model, of whichever kind it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mpop.geometry.frequencies import even_fast_size
from mpop.records.stack import SeriesModel, StackModel
from mpop.records.tilt_series import ParticleSet
from mpop.series.stack import ParticleStack
from mpop.series.tilt_series import TiltSeries
from mpop.series.views import ImageViews, Series, SeriesState

if TYPE_CHECKING:
    from mpop.series.extraction import ExtractionRequest


def series_of(model: SeriesModel) -> Series:
    """What a model is a model of."""
    return ParticleStack(model) if isinstance(model, StackModel) else TiltSeries(model)


def views_of(model: SeriesModel, particles: ParticleSet) -> ImageViews[NDArray[np.float64]]:
    """How the particles of one species appear through the model of their series."""
    return series_of(model).views(SeriesState.of(model, [particles]))


def request_of(
    model: SeriesModel,
    views: ImageViews[NDArray[np.float64]],
    diameter_A: float,
    resolution_A: float,
    size: int,
    pixel_size_A: float,
) -> ExtractionRequest:
    """What to cut out so that content up to a resolution is free of aliasing."""
    from mpop.series.extraction import ExtractionRequest  # compiled kernels

    window = even_fast_size(series_of(model).window_A(views, diameter_A, resolution_A) / pixel_size_A)
    optics = views.optics
    return ExtractionRequest(
        views.position_A,
        optics.defocus_um,
        optics.defocus_delta_um,
        optics.defocus_angle_deg,
        optics.phase_shift_pi,
        diameter_A,
        max(window, size),
        size,
        views.image,
        views.visible,
    )
