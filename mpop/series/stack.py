"""Stacks of extracted particle images as a kind of series: each particle in one image of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mpop.errors import InputError
from mpop.geometry.namespaces import Array, as_one_of
from mpop.geometry.tilt import slice_rows
from mpop.optics.sizes import aliasing_free_A, delocalisation_A
from mpop.records.stack import StackModel
from mpop.records.tilt_series import ParticleSet
from mpop.series.views import Exposures, ImageOptics, ImageViews, SeriesState

if TYPE_CHECKING:  # where particles lie waits for no compiled kernels
    from mpop.series.extraction import ExtractionRequest, Ledger, ParticleImages, TiltLoader


@dataclass(frozen=True)
class ParticleStack:
    """A stack of particle images."""

    model: StackModel
    shares_parameters = False

    @property
    def exposures(self) -> Exposures:
        """One for each particle, not tilted."""
        nothing = np.zeros(1)
        return Exposures(np.zeros(1, np.int64), np.zeros(1, np.int64), nothing, nothing, np.ones(1, bool))

    def places(self, state: SeriesState[Any, Array]) -> tuple[Array, Array]:
        """Positions (p, 1, 2) and slice rows (p, 1, 2, 3)."""
        return state.position_A[..., :2], slice_rows(state.pose, self.model.magnification)

    def views(self, state: SeriesState[Any, Array]) -> ImageViews[Array]:
        """How particles appear in their images. Raises InputError when one has none."""
        model = self.model
        image = np.concatenate([images_of(model, one) for one in state.particles])
        columns = (model.defocus_um, model.defocus_delta_um, model.defocus_angle_deg, model.phase_shift_pi)
        position, rows = self.places(state)
        optics = ImageOptics(*(as_one_of(position, column[image, None]) for column in columns))
        return ImageViews(position, rows, optics, image)

    def amplitude(self, frequency_per_A: float) -> NDArray[np.float64]:
        """All images alike."""
        return np.ones(1)

    def window_A(self, views: ImageViews[NDArray[np.float64]], diameter_A: float, resolution_A: float) -> float:
        """Of the largest defocus; beyond its border an image is empty, and of that nothing can alias."""
        defocus, delta = views.optics.largest_um
        blur = max(delocalisation_A(optics, defocus, resolution_A, delta) for optics in self.model.optics)
        return min(aliasing_free_A(diameter_A, blur), (self.model.image_dims_A[0] + diameter_A) / 2 + blur)

    def extract(
        self,
        load: TiltLoader,
        pixel_size_A: float,
        requests: Sequence[ExtractionRequest],
        ledger: Ledger | None = None,
    ) -> Iterator[ParticleImages]:
        """Image by image."""
        from mpop.series.stack_extraction import extract_stack

        return extract_stack(load, self.model, pixel_size_A, requests, ledger)

    def with_defocus_negated(self) -> StackModel:
        """Of every image."""
        model = self.model
        return replace(model, defocus_um=-model.defocus_um, defocus_delta_um=-model.defocus_delta_um)


def images_of(model: StackModel, particles: ParticleSet) -> NDArray[np.int64]:
    """(p,) index into a stack's model of the image of every particle. Raises InputError when one has none."""
    order = np.argsort(model.particle_id)
    place = np.minimum(np.searchsorted(model.particle_id, particles.id, sorter=order), len(order) - 1)
    image = order[place]
    missing = int((model.particle_id[image] != particles.id).sum())
    if missing:
        raise InputError(f"{model.file}: {missing} particles have no image in this stack; import them again")
    return image
