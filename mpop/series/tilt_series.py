"""Tilt series as a kind of series: one image for each stage angle, the geometry of `mpop.geometry.tilt`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mpop.geometry.euler import matrix_to_euler
from mpop.geometry.namespaces import Array
from mpop.geometry.tilt import Projection, TiltGeometry, slice_rows
from mpop.optics.sizes import aliasing_free_A, delocalisation_A
from mpop.optics.weights import exposure_weights
from mpop.records.tilt_series import SplineGrid, TiltSeriesModel
from mpop.records.visible import visible_tilts
from mpop.series.views import Exposures, ImageOptics, ImageViews, SeriesState

if TYPE_CHECKING:  # where particles lie waits for no compiled kernels
    from mpop.series.extraction import ExtractionRequest, Ledger, ParticleImages, TiltLoader


@dataclass(frozen=True)
class TiltSeries:
    """A tilt series of n tilts."""

    model: TiltSeriesModel
    shares_parameters = True

    @property
    def exposures(self) -> Exposures:
        """One image for each tilt, in file order."""
        model, count = self.model, self.model.n_tilts
        return Exposures(np.arange(count), np.zeros(count, np.int64), model.exposure, model.angles_deg, model.use)

    def places(self, state: SeriesState[Any, Array]) -> tuple[Array, Array]:
        """Positions (p, n, 2) and slice rows (p, n, 2, 3)."""
        _, projected = self._projected(state)
        return projected.position_A, slice_rows(projected.rotation, self.model.magnification)

    def views(self, state: SeriesState[Any, Array]) -> ImageViews[Array]:
        """How particles appear in every tilt."""
        geometry, projected = self._projected(state)
        defocus = geometry.defocus_um(state.position_A, projected.depth_A)
        return ImageViews(
            projected.position_A,
            slice_rows(projected.rotation, self.model.magnification),
            ImageOptics(defocus, *geometry.astigmatism(state.position_A)),
            visible=self._visible(state),
        )

    def _projected(self, state: SeriesState[Any, Array]) -> tuple[TiltGeometry, Projection[Array]]:
        geometry = TiltGeometry(self.model, state.grids)
        poses = state.pose if state.pose.shape[1] == 1 else geometry.poses(matrix_to_euler(state.pose))
        return geometry, geometry.project(state.position_A, poses)

    def _visible(self, state: SeriesState[Any, Array]) -> NDArray[np.bool_] | None:
        columns = [visible_tilts(one, self.model.n_tilts) for one in state.particles]
        if all(column is None for column in columns):
            return None
        return np.concatenate(
            [
                np.ones((len(one), self.model.n_tilts), bool) if column is None else column
                for one, column in zip(state.particles, columns, strict=True)
            ]
        )

    def amplitude(self, frequency_per_A: float) -> NDArray[np.float64]:
        """By exposure and thickness."""
        return exposure_weights(self.model, np.array([frequency_per_A]))[:, 0] * self.model.use

    def window_A(self, views: ImageViews[NDArray[np.float64]], diameter_A: float, resolution_A: float) -> float:
        """Of the largest defocus."""
        defocus, delta = views.optics.largest_um
        return aliasing_free_A(diameter_A, delocalisation_A(self.model.ctf, defocus, resolution_A, delta))

    def extract(
        self,
        load: TiltLoader,
        pixel_size_A: float,
        requests: Sequence[ExtractionRequest],
        ledger: Ledger | None = None,
    ) -> Iterator[ParticleImages]:
        """Tilt by tilt."""
        from mpop.series.extraction import extract

        return extract(load, self.model, pixel_size_A, requests, ledger)

    def with_defocus_negated(self) -> TiltSeriesModel:
        """And depth counted the other way along the beam."""
        negated = {
            name: SplineGrid(-getattr(self.model, name).values, getattr(self.model, name).margin)
            for name in ("grid_ctf", "grid_ctf_defocus_delta")
        }
        return replace(self.model, are_angles_inverted=not self.model.are_angles_inverted, **negated)
