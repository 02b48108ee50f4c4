"""How well a refinement of simulated data found the truth.

    floor      the half-maps that the imported parameters give
    ceiling    the half-maps that the true parameters give, from the same images
    gap closed (area after - area before) / (area of the ceiling - area before)

where the area is the mean of the FSC between map and true map, masked, from 40 A to the ceiling's resolution.
How far particles are from where they were planted: `mpop.jobs.truth`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from mpop.formats.images import read_map
from mpop.geometry.symmetry import copies, symmetry_matrices
from mpop.jobs.halfmaps import SeriesState
from mpop.jobs.truth import (
    Planted,
    PoseError,
    WarpEvaluation,
    evaluate_warp,
    nominal_view,
    pose_error,
    read_truth,
    true_view,
)
from mpop.maps.filters import multiply_radially, resize
from mpop.maps.fsc import FSCCurve, FSCReport, fsc_report, fsc_weights, masked_fsc, up_to
from mpop.maps.reconstruction import last_shell, reconstruct
from mpop.population import Population
from mpop.records.models import SpeciesRecord
from mpop.refinement.reconstruction import SpeciesTarget, add_series
from mpop.run import Progress, Run, limited
from mpop_store.paths import inside

Array = NDArray[np.float64]
HalfMaps = tuple[NDArray[np.float32], NDArray[np.float32]]
T = TypeVar("T")
U = TypeVar("U")
LOW_RESOLUTION_A = 40.0


@dataclass(frozen=True)
class Stages(Generic[T]):
    """One quantity before refinement, after it, and with the true parameters."""

    before: T
    after: T
    ceiling: T

    def map(self, compute: Callable[[T], U]) -> Stages[U]:
        """The same of each."""
        return Stages(compute(self.before), compute(self.after), compute(self.ceiling))


@dataclass(frozen=True)
class SpeciesEvaluation:
    """One species against the truth.

    maps: (z, y, x), FSC-weighted; truth_filtered: the true map with the weights of the ceiling's.
    angles_deg: (p, 3) of all particles, as refined.
    """

    name: str
    symmetry: str
    pixel_size_A: float
    resolution_A: Stages[float | None]
    fsc_area: Stages[float]
    position_rms_A: Stages[float]
    rotation_rms_deg: Stages[float]
    gap_closed: float | None
    """None where the true parameters give no better map than the imported ones: there is no gap."""
    to_truth: Stages[FSCCurve]
    half_maps: Stages[FSCCurve]
    maps: Stages[NDArray[np.float32]]
    truth_filtered: NDArray[np.float32]
    angles_deg: Array


@dataclass(frozen=True)
class Evaluation:
    """All species and series."""

    species: list[SpeciesEvaluation]
    warps: list[WarpEvaluation]


@limited
def evaluate(
    population: Population,
    truth: str | Path,
    before: str,
    after: str = "HEAD",
    run: Run = Run(),
) -> Evaluation:
    """Compare a population at two revisions with the truth folder of its simulation."""
    truth = Path(truth)
    species = sorted(population.species(after).values(), key=lambda one: one.name)
    states = {revision: _load(population, revision) for revision in (before, after)}
    planted = read_truth(truth, [state.item.name for state in states[after]])
    floor, ceiling, last_shell = _floor_and_ceiling(population, species, states[before], planted, run.progress)
    evaluated = []
    for one in species:
        maps = population.maps(one)
        halves = Stages(floor[one.id], (maps["half1"], maps["half2"]), ceiling[one.id])
        true_map = resize(read_map(inside(truth, f"{one.name}_map.mrc"))[0], one.box)
        errors = Stages(
            pose_error(one, states[before], planted), pose_error(one, states[after], planted), PoseError(0.0, 0.0)
        )
        held = [state.particles[one.id] for state in states[after] if one.id in state.particles]
        angles_deg = np.concatenate([particles.angles_deg[:, 0] for particles in held])
        evaluated.append(
            _evaluate_species(one, halves, last_shell[one.id], true_map, maps["mask"], errors, angles_deg)
        )
    warps = [evaluate_warp(state, planted[state.item.name]) for state in states[after]]
    return Evaluation(evaluated, warps)


def _load(population: Population, revision: str) -> list[SeriesState]:
    species = population.species(revision).values()
    return [
        SeriesState.load(population, item, species)
        for item in sorted(population.items(revision).values(), key=lambda item: item.name)
    ]


def _floor_and_ceiling(
    population: Population,
    species: list[SpeciesRecord],
    states: list[SeriesState],
    planted: dict[str, Planted],
    progress: Progress,
) -> tuple[dict[str, HalfMaps], dict[str, HalfMaps], dict[str, int]]:
    """By species id: half-maps from nominal, and from true parameters, and the last shell that images reach.
    Nothing is stored."""
    floor, ceiling = (
        {one.id: SpeciesTarget.empty(one.box, one.pixel_size_A, one.diameter_A) for one in species}
        for _ in range(2)
    )
    for number, state in enumerate(states, start=1):
        held = [one for one in species if one.id in state.particles]
        views = [nominal_view(state, one) for one in held]
        views += [true_view(state, one, planted[state.item.name]) for one in held]
        add_series(
            [kind[one.id] for kind in (floor, ceiling) for one in held],
            lambda tilt, item=state.item: population.tilt_image(item, tilt),
            state.model,
            views,
            2 * [state.particles[one.id].half for one in held],
            state.pixel_size_A,
        )
        progress("floor and ceiling", number, len(states))
    return (
        {one.id: _divide(floor[one.id], one) for one in species},
        {one.id: _divide(ceiling[one.id], one) for one in species},
        {one.id: min(last_shell(half) for half in ceiling[one.id].halves) for one in species},
    )


def _divide(target: SpeciesTarget, species: SpeciesRecord) -> HalfMaps:
    matrices = symmetry_matrices(species.symmetry)
    first, second = (reconstruct(half, species.box, matrices) for half in target.halves)
    return first, second


def _evaluate_species(
    species: SpeciesRecord,
    halves: Stages[HalfMaps],
    last_shell: int,
    truth: NDArray[np.float32],
    mask: NDArray[np.float32],
    errors: Stages[PoseError],
    angles_deg: Array,
) -> SpeciesEvaluation:
    pixel = species.pixel_size_A

    units = copies(species.symmetry)
    reports = halves.map(lambda pair: up_to(fsc_report(pair[0], pair[1], mask, pixel, copies=units), last_shell))
    means = halves.map(lambda pair: np.float32(0.5) * (pair[0] + pair[1]))
    curves = means.map(lambda mean: masked_fsc(mean, truth, mask, pixel, units))
    limit_A = min(reports.ceiling.resolution_A or 2 * pixel, LOW_RESOLUTION_A / 2)
    area = curves.map(lambda curve: _area(curve, limit_A))
    gap = area.ceiling - area.before
    return SpeciesEvaluation(
        name=species.name,
        symmetry=species.symmetry,
        pixel_size_A=pixel,
        resolution_A=reports.map(lambda report: report.resolution_A),
        fsc_area=area,
        position_rms_A=errors.map(lambda error: error.position_A),
        rotation_rms_deg=errors.map(lambda error: error.rotation_deg),
        gap_closed=(area.after - area.before) / gap if gap > 0 else None,
        to_truth=curves,
        half_maps=reports.map(lambda report: report.corrected),
        maps=Stages(
            _filtered(means.before, reports.before),
            _filtered(means.after, reports.after),
            _filtered(means.ceiling, reports.ceiling),
        ),
        truth_filtered=_filtered(truth, reports.ceiling),
        angles_deg=angles_deg,
    )


def _filtered(volume: NDArray[np.float32], report: FSCReport) -> NDArray[np.float32]:
    """A map weighted by what its half-maps say of it, up to their resolution."""
    curve = report.corrected
    weights = fsc_weights(curve.correlation)
    if report.resolution_A is not None:
        weights = np.where(curve.frequency <= 1 / report.resolution_A, weights, 0.0)
    return multiply_radially(volume, weights)


def _area(curve: FSCCurve, limit_A: float) -> float:
    """Mean FSC between 40 A and a resolution."""
    chosen = (curve.frequency >= 1 / LOW_RESOLUTION_A) & (curve.frequency <= 1 / limit_A)
    return float(curve.correlation[chosen].mean())
