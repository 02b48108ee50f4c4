"""How particles appear in the images of a series: places, orientations, optics.

A series is what images were taken of together: tilts, or single images of a stack, which are each a series of one.
`Series` is all that refinement and reconstruction know of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from mpop.geometry.euler import euler_to_matrix
from mpop.geometry.namespaces import Array, as_one_of
from mpop.records.stack import SeriesModel, StackModel
from mpop.records.tilt_series import ParticleSet, TiltSeriesModel

if TYPE_CHECKING:
    from mpop.series.extraction import ExtractionRequest, Ledger, ParticleImages, TiltLoader

Model = TypeVar("Model", TiltSeriesModel, StackModel)


@dataclass(frozen=True)
class Exposures:
    """The n exposures that show each particle of a series: which raw image (n,), which frame of it (n,), exposure
    before it (n,) in e/A^2, stage angle (n,) in degrees, and whether it is used (n,).

    Of a stack n is 1, and each particle has a raw image of its own (`ImageViews.image`).
    """

    image: NDArray[np.int64]
    frame: NDArray[np.int64]
    exposure: NDArray[np.float64]
    angle_deg: NDArray[np.float64]
    use: NDArray[np.bool_]


@dataclass(frozen=True)
class SeriesState(Generic[Model, Array]):
    """A series and its particles as they stand. Immutable; of numpy's arrays, or of torch's tensors in float64
    that may be differentiated.

    grids: those of the model that are moved, by their names there. particles: of all species. position_A (p, T, 3)
    and pose (p, T, 3, 3) of all of them, one species after another, at T samples over exposure.
    """

    model: Model
    grids: Mapping[str, Array]
    particles: Sequence[ParticleSet]
    position_A: Array
    pose: Array

    @classmethod
    def of(cls, model: Model, particles: Sequence[ParticleSet]) -> SeriesState[Model, NDArray[np.float64]]:
        """As records have it."""
        position = np.concatenate([one.position_A for one in particles])
        pose = euler_to_matrix(np.concatenate([one.angles_deg for one in particles]))
        return SeriesState(model, {}, particles, position, pose)

    def with_added(self, grid: str, offset: Array) -> SeriesState[Model, Array]:
        """The state with something added to the nodes (n_z, n_y, n_x) of a grid."""
        nodes: Any = self.grids.get(grid)
        if nodes is None:
            nodes = as_one_of(offset, getattr(self.model, grid).values)
        return replace(self, grids={**self.grids, grid: nodes + offset})


@dataclass(frozen=True)
class ImageOptics(Generic[Array]):
    """Of p particles in n exposures, (p, n) each."""

    defocus_um: Array
    defocus_delta_um: Array
    defocus_angle_deg: Array
    phase_shift_pi: Array

    @property
    def largest_um(self) -> tuple[float, float]:
        """The largest defocus and difference of main defoci of any image; 0 where there is none."""
        defocus, delta = (
            float(abs(column).max()) if len(column) else 0.0 for column in (self.defocus_um, self.defocus_delta_um)
        )
        return defocus, delta


@dataclass(frozen=True)
class ImageViews(Generic[Array]):
    """p particles in n exposures.

    position_A (p, n, 2) from the image corner; rows (p, n, 2, 3) slice rows. image (p,): of a stack, which image
    of its model shows the particle. visible (p, n): exposures that show the particle, None: all that it lies in.
    """

    position_A: Array
    rows: Array
    optics: ImageOptics[Array]
    image: NDArray[np.int64] | None = None
    visible: NDArray[np.bool_] | None = None


class Series(Protocol):
    """One kind of series."""

    @property
    def exposures(self) -> Exposures:
        """What was taken."""
        ...

    @property
    def shares_parameters(self) -> bool:
        """Whether its particles have more in common than a microscope: a stage, a deformation."""
        ...

    def places(self, state: SeriesState[Any, Array]) -> tuple[Array, Array]:
        """Positions (p, n, 2) and slice rows (p, n, 2, 3) of `views`, for who needs no optics."""
        ...

    def views(self, state: SeriesState[Any, Array]) -> ImageViews[Array]:
        """How particles appear. Differentiable in positions, poses and grids of the state."""
        ...

    def amplitude(self, frequency_per_A: float) -> NDArray[np.float64]:
        """(n,) by exposure: what is left of the signal at a spatial frequency, 0 where it is not used."""
        ...

    def window_A(self, views: ImageViews[NDArray[np.float64]], diameter_A: float, resolution_A: float) -> float:
        """Edge of windows in which nothing aliases when images are multiplied by their CTF."""
        ...

    def extract(
        self,
        load: TiltLoader,
        pixel_size_A: float,
        requests: Sequence[ExtractionRequest],
        ledger: Ledger | None = None,
    ) -> Iterator[ParticleImages]:
        """P and Q of all particle images, some at a time (`mpop.series.extraction`)."""
        ...

    def with_defocus_negated(self) -> SeriesModel:
        """The model with overfocus for underfocus."""
        ...
