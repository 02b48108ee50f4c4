"""Is there signal of a species where its particles are said to be? Asked of a few images of one series.

The half-maps say how much to expect: their noise is that of all particles together, so a coefficient whose signal
stands out of it by S holds S / N from each of N particles. Where far more is expected than the threshold that
`refine` has, and less is there, the particles are somewhere else: wrong units, a mirrored axis, other tomograms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mpop.doubts import Doubt
from mpop.jobs.half_map_weights import UNUSABLE
from mpop.maps.fsc import FSCReport
from mpop.population import Population
from mpop.records.tilt_series import ParticleSet, TiltSeriesModel
from mpop.refinement.references import prepare_species
from mpop.refinement.series import DETECTED, gather_images
from mpop.refinement.system import SeriesSystem

TILTS = 3
"""So many of the least exposed are looked at."""
PARTICLES = (10, 200)
"""Of one series: fewer say nothing, more take too long."""
POWER = 160.0
"""Times the threshold must be expected for nothing to mean something: maps may be of more and better images than
these, and poses are not perfect yet. Of simulated particles a twentieth of what is expected was found."""


def signal_doubt(
    population: Population,
    maps: Mapping[str, NDArray[np.float32]],
    report: FSCReport,
    diameter_A: float,
    pixel_size_A: float,
    sets: Mapping[str, ParticleSet],
    threads: int = 1,
) -> Doubt | None:
    """What is doubtful about the places of particles in tilt series, by item id. maps: half1, half2, mask."""
    total = sum(map(len, sets.values()))
    identity, particles = max(sets.items(), key=lambda one: (len(one[1]), one[0]))
    if len(particles) < PARTICLES[0]:
        return None
    reference = prepare_species(
        maps["half1"], maps["half2"], maps["mask"], report, diameter_A, pixel_size_A, prior="fsc"
    )
    if reference is None:
        return None
    item = population.items()[identity]
    whole = population.tilt_series(item)
    model = _least_exposed(whole)
    rows = np.linspace(0, len(particles) - 1, min(len(particles), PARTICLES[1])).astype(np.int64)
    looked_at = particles.part(rows)
    part = len(looked_at) / (total / 2) * model.use.sum() / max(whole.use.sum(), 1)
    expected = part * _signal(report, 1 / reference.resolution_A)
    if expected < POWER * DETECTED:
        return None
    try:
        images = gather_images(
            population.image_loader(item, model),
            model,
            [looked_at],
            [reference],
            population.source(item.source).pixel_size_A,
            threads,
        )
    except UNUSABLE:  # images that are not here, or bad: for who works with them to say
        return None
    system = SeriesSystem(model, [looked_at], ())
    found = system.score(np.zeros(0), images)[0].value
    if not found < DETECTED:
        return None
    return Doubt(
        "no-signal",
        item.name,
        f"{len(looked_at)} particles in {int(model.use.sum())} tilts have a score of {found:.3g} against the maps",
        f"maps like these promise far more, and less than {DETECTED:g} is noise",
        way_on="look at units (--angpix-coords), axes and contrast, and whether the tomograms are those of Warp",
        grave=True,
    )


def _least_exposed(model: TiltSeriesModel) -> TiltSeriesModel:
    """The series with no more than the least exposed of its tilts in use."""
    used = np.flatnonzero(model.use)
    chosen = used[np.argsort(model.exposure[used], kind="stable")[:TILTS]]
    return replace(model, use=np.isin(np.arange(model.n_tilts), chosen))


def _signal(report: FSCReport, highest: float) -> float:
    """Sum of signal over noise of one half-map over its coefficients up to a frequency, 1/A, whole maps."""
    fsc = np.clip(report.unmasked.correlation, 0.0, 0.99)
    shells = np.arange(len(fsc))
    seen = report.unmasked.frequency <= highest
    return float((2 * np.pi * shells**2 * fsc / (1 - fsc))[seen].sum())
