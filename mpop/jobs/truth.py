"""What a simulation planted, and how far the parameters of a population are from it.

Particles are compared as they appear in the tilt images, which is all that data can tell. One rigid motion of
the map's frame per species is removed first, since no data can tell it from a motion of all particles: a shift
s moves particle images by R s (the first two rows of R), a rotation Q turns every R into R Q.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mpop.errors import InputError
from mpop.geometry.splines import evaluate_grid
from mpop.jobs.halfmaps import SeriesState
from mpop.records.models import SpeciesRecord
from mpop.records.tilt_series import TiltSeriesModel
from mpop.series.opening import views_of
from mpop.series.views import ImageViews
from mpop_store.paths import inside

Array = NDArray[np.float64]
Planted = dict[str, Array]
"""The arrays of truth/<series>.npz; `<species>/projected_A` (p, n, 2), `<species>/rotation` (p, n, 3, 3), ..."""


@dataclass(frozen=True)
class PoseError:
    """Root-mean-square over all particles and tilts, after removing the common rigid motion."""

    position_A: float
    rotation_deg: float


@dataclass(frozen=True)
class WarpEvaluation:
    """Image warp of one series on a lattice: planted and recovered (n, 5, 5, 2) A, at fractions of the image."""

    series: str
    tilt_deg: Array
    lattice: Array
    planted_A: Array
    recovered_A: Array


def read_truth(folder: str | Path, series: list[str]) -> dict[str, Planted]:
    """What was planted in each series. Raises InputError when the folder does not hold it."""
    folder = Path(folder)
    planted = {}
    for name in series:
        path = inside(folder, f"{name}.npz")
        if not path.is_file():
            raise InputError(f"{path}: no such file; is {folder} the truth folder of this simulation?")
        with np.load(path) as arrays:
            planted[name] = dict(arrays)
    return planted


def nominal_view(state: SeriesState, species: SpeciesRecord) -> ImageViews[NDArray[np.float64]]:
    """How a population thinks that the particles of a species appear."""
    return views_of(state.model, state.particles[species.id])


def true_view(state: SeriesState, species: SpeciesRecord, planted: Planted) -> ImageViews[NDArray[np.float64]]:
    """How they do appear; astigmatism was not planted and comes from the model."""
    nominal = nominal_view(state, species)
    return ImageViews(
        planted[f"{species.name}/projected_A"],
        planted[f"{species.name}/rotation"][:, :, :2],
        replace(nominal.optics, defocus_um=planted[f"{species.name}/defocus_um"]),
    )


def pose_error(species: SpeciesRecord, states: list[SeriesState], planted: dict[str, Planted]) -> PoseError:
    """Over all series that hold the species, in the tilts that are used."""
    held = [state for state in states if species.id in state.particles]
    nominal = [nominal_view(state, species) for state in held]
    true = [true_view(state, species, planted[state.item.name]) for state in held]
    used = [state.tilt_series.use for state in held]

    def positions(views: list[ImageViews[NDArray[np.float64]]]) -> Array:
        return np.concatenate([v.position_A[:, u].reshape(-1, 2) for v, u in zip(views, used, strict=True)])

    def rows(views: list[ImageViews[NDArray[np.float64]]]) -> Array:
        return np.concatenate([v.rows[:, u].reshape(-1, 2, 3) for v, u in zip(views, used, strict=True)])

    return PoseError(
        position_rms(positions(nominal), positions(true), rows(true)), rotation_rms(rows(nominal), rows(true))
    )


def position_rms(position_A: Array, true_A: Array, true_rows: Array) -> float:
    """RMS distance (A) of positions (n, 2); the shift s that explains most, |d - R s|^2 -> min, is removed.

    true_rows: (n, 2, 3), the first two rows of each R.
    """
    d, r = position_A - true_A, true_rows
    shift = np.linalg.lstsq(np.einsum("nij,nik->jk", r, r), np.einsum("nij,ni->j", r, d), rcond=None)[0]
    return float(np.sqrt(np.square(d - r @ shift).sum(axis=1).mean()))


def rotation_rms(rows: Array, true_rows: Array) -> float:
    """RMS angle (degrees) between rotations, each by its first two rows (n, 2, 3); the mean one is removed."""
    turn = Rotation.from_matrix(np.swapaxes(_complete(true_rows), 1, 2) @ _complete(rows))
    rest = turn.mean().inv() * turn
    return float(np.rad2deg(np.sqrt(np.square(rest.magnitude()).mean())))


def _complete(rows: Array) -> Array:
    """(n, 3, 3) rotation matrices of their first two rows."""
    return np.concatenate([rows, np.cross(rows[:, 0], rows[:, 1])[:, None]], axis=1)


def evaluate_warp(state: SeriesState, planted: Planted) -> WarpEvaluation:
    """Planted and recovered image warp of one series."""
    lattice = planted["image_warp_lattice"]
    return WarpEvaluation(
        series=state.item.name,
        tilt_deg=state.tilt_series.angles_deg,
        lattice=lattice,
        planted_A=planted["image_warp_A"],
        recovered_A=_warp_on_lattice(state.tilt_series, lattice),
    )


def _warp_on_lattice(model: TiltSeriesModel, lattice: Array) -> Array:
    """(n, 5, 5, 2) image warp of a model, [tilt, y, x]."""
    n = model.n_tilts
    t = np.arange(n)[:, None, None] / max(n - 1, 1)
    fields = [
        evaluate_grid(grid.values, lattice[None, None, :], lattice[None, :, None], t, grid.margin)
        for grid in (model.grid_movement_x, model.grid_movement_y)
    ]
    return np.stack([np.broadcast_to(one, (n, len(lattice), len(lattice))) for one in fields], axis=-1)
