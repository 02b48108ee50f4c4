"""How well a refinement of simulated data found the truth.

    floor      the half-maps that the imported parameters give
    ceiling    the half-maps that the true parameters give, from the same images
    gap closed (area after - area before) / (area of the ceiling - area before)

where the area is the mean of the FSC between map and true map, masked, from 40 A to the ceiling's resolution.
Positions are compared where they appear in the tilt images; a shift of the whole map frame, which no data can
tell from a shift of all particles, is removed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from mpop.errors import InputError
from mpop.formats.images import read_map
from mpop.geometry.splines import evaluate_grid
from mpop.geometry.symmetry import symmetry_matrices
from mpop.jobs.halfmaps import SeriesState
from mpop.jobs.progress import Progress, silent
from mpop.maps.filters import multiply_radially, resize
from mpop.maps.fsc import FSCCurve, FSCReport, fsc, fsc_report, fsc_weights
from mpop.maps.reconstruction import reconstruct
from mpop.population import Population
from mpop.records.models import SpeciesRecord
from mpop.records.tilt_series import TiltSeriesModel
from mpop.refinement.reconstruction import SpeciesTarget, add_series
from mpop.refinement.views import ParticleView

Array = NDArray[np.float64]
T = TypeVar("T")
LOW_RESOLUTION_A = 40.0


@dataclass(frozen=True)
class Stages(Generic[T]):
    """One quantity before refinement, after it, and with the true parameters."""

    before: T
    after: T
    ceiling: T


@dataclass(frozen=True)
class SpeciesEvaluation:
    """One species against the truth. Maps (z, y, x), FSC-weighted; curves to the true map, and of half-maps."""

    name: str
    symmetry: str
    pixel_size_A: float
    resolution_A: Stages[float | None]
    fsc_area: Stages[float]
    position_rms_A: Stages[float]
    gap_closed: float
    to_truth: Stages[FSCCurve]
    half_maps: Stages[FSCCurve]
    maps: Stages[NDArray[np.float32]]
    truth: NDArray[np.float32]
    angles_deg: Array


@dataclass(frozen=True)
class WarpEvaluation:
    """Image warp of one series on a lattice: planted and recovered (n, 5, 5, 2) A, at fractions of the image."""

    series: str
    tilt_deg: Array
    lattice: Array
    planted_A: Array
    recovered_A: Array


@dataclass(frozen=True)
class Evaluation:
    """All species and series."""

    species: list[SpeciesEvaluation]
    warps: list[WarpEvaluation]

    def mean(self, choose: Callable[[SpeciesEvaluation], Stages[float]]) -> Stages[float]:
        """Root-mean-square over species is not meant: the plain mean of a quantity."""
        stages = [choose(one) for one in self.species]
        return Stages(*(float(np.mean([getattr(s, k) for s in stages])) for k in ("before", "after", "ceiling")))


def evaluate(
    population: Population,
    truth: str | Path,
    before: str,
    after: str = "HEAD",
    threads: int = 1,
    progress: Progress = silent,
) -> Evaluation:
    """Compare a population at two revisions with the truth folder of its simulation."""
    truth = Path(truth)
    if not (truth / "truth.json").is_file():
        raise InputError(f"{truth}: no truth.json; is it the truth folder of a simulation?")
    species = sorted(population.species(after).values(), key=lambda one: one.name)
    states = {revision: _load(population, revision) for revision in (before, after)}
    planted = {s.item.name: dict(np.load(truth / f"{s.item.name}.npz")) for s in states[after]}
    floor = _rebuild(population, species, states[before], _nominal_views, threads, progress, "floor")
    ceiling = _rebuild(
        population,
        species,
        states[before],
        lambda state, one: _true_view(state, one, planted[state.item.name]),
        threads,
        progress,
        "ceiling",
    )
    evaluated = []
    for one in species:
        maps = population.maps(one)
        halves = Stages(floor[one.id], (maps["half1"], maps["half2"]), ceiling[one.id])
        true_map = resize(read_map(truth / f"{one.name}_map.mrc")[0], one.box)
        errors = {r: _position_rms(one, states[r], planted) for r in (before, after)}
        evaluated.append(
            _evaluate_species(
                one, halves, true_map, maps["mask"], Stages(errors[before], errors[after], 0.0), states[after]
            )
        )
    warps = [_evaluate_warp(state, planted[state.item.name]) for state in states[after]]
    return Evaluation(evaluated, warps)


def _load(population: Population, revision: str) -> list[SeriesState]:
    species = population.species(revision).values()
    return [
        SeriesState.load(population, item, species)
        for item in sorted(population.items(revision).values(), key=lambda item: item.name)
    ]


def _nominal_views(state: SeriesState, species: SpeciesRecord) -> ParticleView:
    return ParticleView.of(state.model, state.particles[species.id])


def _true_view(state: SeriesState, species: SpeciesRecord, planted: dict[str, NDArray]) -> ParticleView:
    """The view that the simulator knows; astigmatism was not planted and comes from the model."""
    nominal = _nominal_views(state, species)
    return ParticleView(
        planted[f"{species.name}/projected_A"],
        planted[f"{species.name}/rotation"][:, :, :2],
        planted[f"{species.name}/defocus_um"],
        nominal.defocus_delta_um,
        nominal.defocus_angle_deg,
        nominal.phase_shift_pi,
    )


def _rebuild(
    population: Population,
    species: list[SpeciesRecord],
    states: list[SeriesState],
    view: Callable[[SeriesState, SpeciesRecord], ParticleView],
    threads: int,
    progress: Progress,
    label: str,
) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Half-maps of all species from given views; nothing is stored."""
    targets = {one.id: SpeciesTarget.empty(one.box, one.pixel_size_A, one.diameter_A) for one in species}
    for number, state in enumerate(states, start=1):
        held = [one for one in species if one.id in state.particles]
        add_series(
            [targets[one.id] for one in held],
            lambda tilt, item=state.item: population.tilt_image(item, tilt),
            state.model,
            [view(state, one) for one in held],
            [state.particles[one.id].half for one in held],
            state.pixel_size_A,
            threads,
        )
        progress(f"evaluate: {label}", number, len(states))
    halves = {}
    for one in species:
        matrices = symmetry_matrices(one.symmetry)
        first, second = (reconstruct(half, one.box, matrices) for half in targets[one.id].halves)
        halves[one.id] = (first, second)
    return halves


def _evaluate_species(
    species: SpeciesRecord,
    halves: Stages[tuple[NDArray[np.float32], NDArray[np.float32]]],
    truth: NDArray[np.float32],
    mask: NDArray[np.float32],
    position_rms_A: Stages[float],
    states: list[SeriesState],
) -> SpeciesEvaluation:
    pixel = species.pixel_size_A

    def each(compute: Callable[[tuple[NDArray[np.float32], NDArray[np.float32]]], T]) -> Stages[T]:
        return Stages(compute(halves.before), compute(halves.after), compute(halves.ceiling))

    reports = each(lambda pair: fsc_report(pair[0], pair[1], mask, pixel))
    curves = each(lambda pair: fsc((pair[0] + pair[1]) / 2 * mask, truth * mask, pixel))
    limit = reports.ceiling.resolution_A or 2 * pixel
    area = Stages(*(_area(c, limit) for c in (curves.before, curves.after, curves.ceiling)))
    gap = area.ceiling - area.before
    return SpeciesEvaluation(
        name=species.name,
        symmetry=species.symmetry,
        pixel_size_A=pixel,
        resolution_A=Stages(*(r.resolution_A for r in (reports.before, reports.after, reports.ceiling))),
        fsc_area=area,
        position_rms_A=position_rms_A,
        gap_closed=(area.after - area.before) / gap if gap > 0 else float("nan"),
        to_truth=curves,
        half_maps=Stages(*(r.corrected for r in (reports.before, reports.after, reports.ceiling))),
        maps=Stages(
            _filtered(halves.before, reports.before),
            _filtered(halves.after, reports.after),
            _filtered(halves.ceiling, reports.ceiling),
        ),
        truth=truth,
        angles_deg=np.concatenate(
            [s.particles[species.id].angles_deg[:, 0] for s in states if species.id in s.particles]
        ),
    )


def _filtered(halves: tuple[NDArray[np.float32], NDArray[np.float32]], report: FSCReport) -> NDArray[np.float32]:
    curve = report.corrected
    weights = fsc_weights(curve.correlation)
    if report.resolution_A is not None:
        weights = np.where(curve.frequency <= 1 / report.resolution_A, weights, 0.0)
    return multiply_radially((halves[0] + halves[1]) / 2, weights)


def _area(curve: FSCCurve, limit_A: float) -> float:
    """Mean FSC between 40 A and a resolution."""
    chosen = (curve.frequency >= 1 / LOW_RESOLUTION_A) & (curve.frequency <= 1 / limit_A)
    return float(curve.correlation[chosen].mean())


def _position_rms(
    species: SpeciesRecord, states: list[SeriesState], planted: dict[str, dict[str, NDArray]]
) -> float:
    """RMS distance (A) in the images between where particles are thought to be and where they are.

    The common shift s of the map frame moves an image by R s (first two rows of R); the s that explains most
    is removed.
    """
    differences, rows = [], []
    for state in states:
        if species.id not in state.particles:
            continue
        view, truth = _nominal_views(state, species), planted[state.item.name]
        difference = view.position_A - truth[f"{species.name}/projected_A"]
        used = state.model.use
        differences.append(difference[:, used].reshape(-1, 2))
        rows.append(truth[f"{species.name}/rotation"][:, used, :2].reshape(-1, 2, 3))
    d, r = np.concatenate(differences), np.concatenate(rows)
    shift = np.linalg.lstsq(np.einsum("nij,nik->jk", r, r), np.einsum("nij,ni->j", r, d), rcond=None)[0]
    return float(np.sqrt(np.square(d - r @ shift).sum(axis=1).mean()))


def _evaluate_warp(state: SeriesState, planted: dict[str, NDArray]) -> WarpEvaluation:
    lattice = planted["image_warp_lattice"]
    model = state.model
    return WarpEvaluation(
        series=state.item.name,
        tilt_deg=model.angles_deg,
        lattice=lattice,
        planted_A=planted["image_warp_A"],
        recovered_A=_warp_on_lattice(model, lattice),
    )


def _warp_on_lattice(model: TiltSeriesModel, lattice: Array) -> Array:
    """(n, 5, 5, 2) image warp of a model, [tilt, y, x]."""
    n = model.n_tilts
    t = torch.arange(n, dtype=torch.float64)[:, None, None] / max(n - 1, 1)
    points = torch.as_tensor(lattice)
    fields = [
        evaluate_grid(torch.as_tensor(grid.values), points[None, None, :], points[None, :, None], t, grid.margin)
        for grid in (model.grid_movement_x, model.grid_movement_y)
    ]
    return torch.stack([field.expand(n, len(lattice), len(lattice)) for field in fields], dim=-1).numpy()
