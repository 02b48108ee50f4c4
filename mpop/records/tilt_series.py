"""What is known about one tilt series: stage, imaging model and deformation, as plain arrays.

This is the in-memory form of the `model` group of an item (see `docs/format.md`). Units: angstrom,
degree, e-/A^2, kV, mm (Cs); defocus in micrometre, positive = underfocus, as Warp keeps it.
Evaluation lives in `mpop.geometry` and `mpop.optics`; nothing here computes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SplineGrid:
    """Nodes of a spline over an image stack.

    values: (n_z, n_y, n_x); for tilt series z is the tilt index in file order.
    margin: fraction of the domain left outside the outermost nodes, (x, y, z).
    """

    values: Array
    margin: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class LinearGrid4D:
    """Nodes of Warp's volume warp. values: (n_exposure, n_z, n_y, n_x), angstrom."""

    values: Array


def constant_grid(value: float = 0.0) -> SplineGrid:
    """A grid of one node."""
    return SplineGrid(np.full((1, 1, 1), float(value)))


def constant_grid_4d() -> LinearGrid4D:
    """A volume warp that moves nothing."""
    return LinearGrid4D(np.zeros((1, 1, 1, 1)))


@dataclass(frozen=True)
class CTFModel:
    """The part of the CTF that all tilts share; per-tilt defocus sits in the series' grids.

    Scalars of Warp's <CTF> element. phase_shift in units of pi.
    """

    voltage_kV: float = 300.0
    cs_mm: float = 2.7
    amplitude_contrast: float = 0.07
    defocus_um: float = 0.0
    defocus_delta_um: float = 0.0
    defocus_angle_deg: float = 0.0
    phase_shift_pi: float = 0.0
    zernike_odd: tuple[float, ...] = ()
    zernike_even: tuple[float, ...] = ()


@dataclass(frozen=True)
class TiltSeriesModel:
    """Geometry, optics and weights of one tilt series of n tilts.

    Per-tilt arrays are (n,) in file order (that of the tomostar). Grids are named as in Warp's XML.
    """

    angles_deg: Array
    exposure: Array
    use: NDArray[np.bool_]
    axis_angle_deg: Array
    axis_offset_x_A: Array
    axis_offset_y_A: Array
    image_dims_A: tuple[float, float]
    volume_dims_A: tuple[float, float, float]
    level_angle_x_deg: float = 0.0
    level_angle_y_deg: float = 0.0
    are_angles_inverted: bool = False
    magnification: Array = field(default_factory=lambda: np.eye(2))
    ctf: CTFModel = field(default_factory=CTFModel)
    weight: float = 1.0
    bfactor_A2: float = 0.0
    grid_ctf: SplineGrid = field(default_factory=constant_grid)
    grid_ctf_defocus_delta: SplineGrid = field(default_factory=constant_grid)
    grid_ctf_defocus_angle: SplineGrid = field(default_factory=constant_grid)
    grid_ctf_phase: SplineGrid = field(default_factory=constant_grid)
    grid_movement_x: SplineGrid = field(default_factory=constant_grid)
    grid_movement_y: SplineGrid = field(default_factory=constant_grid)
    grid_angle_x: SplineGrid = field(default_factory=constant_grid)
    grid_angle_y: SplineGrid = field(default_factory=constant_grid)
    grid_angle_z: SplineGrid = field(default_factory=constant_grid)
    grid_dose_bfacs: SplineGrid = field(default_factory=constant_grid)
    grid_dose_bfacs_delta: SplineGrid = field(default_factory=constant_grid)
    grid_dose_bfacs_angle: SplineGrid = field(default_factory=constant_grid)
    grid_dose_weights: SplineGrid = field(default_factory=lambda: constant_grid(1.0))
    grid_location_bfacs: SplineGrid = field(default_factory=constant_grid)
    grid_location_weights: SplineGrid = field(default_factory=lambda: constant_grid(1.0))
    grid_volume_warp_x: LinearGrid4D = field(default_factory=constant_grid_4d)
    grid_volume_warp_y: LinearGrid4D = field(default_factory=constant_grid_4d)
    grid_volume_warp_z: LinearGrid4D = field(default_factory=constant_grid_4d)

    @property
    def n_tilts(self) -> int:
        """Number of tilts, unused ones included."""
        return len(self.angles_deg)


@dataclass(frozen=True)
class ParticleSet:
    """Particles of one species in one series.

    id: (p,) uint64, stable for ever.  half: (p,) uint8, 1 or 2.
    position_A: (p, T, 3) x, y, z in the tomogram's frame, origin at its corner; T trajectory samples.
    angles_deg: (p, T, 3) rot, tilt, psi (RELION's ZYZ).
    extra: columns of the imported table that mpop does not use, each (p,) long, kept for export.
    """

    id: NDArray[np.uint64]
    half: NDArray[np.uint8]
    position_A: Array
    angles_deg: Array
    extra: dict[str, list[str | float | int]] = field(default_factory=dict)

    def part(self, rows: NDArray[np.int64]) -> ParticleSet:
        """Some of the particles."""
        extra = {name: [values[row] for row in rows] for name, values in self.extra.items()}
        return ParticleSet(self.id[rows], self.half[rows], self.position_A[rows], self.angles_deg[rows], extra)

    def __len__(self) -> int:
        return len(self.id)
