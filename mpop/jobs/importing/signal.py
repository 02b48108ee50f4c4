"""Is there signal of a species where its particles are said to be? Asked of a few images of one series or stack.

The same images are compared with the half-maps as the table says, and as if particles were elsewhere: in a tilt
series at places beside, in a stack in the poses of other particles. What a particle fits better where it is said
to be has an error that comes from how particles differ, so chance has a known part in the answer, whatever the
noise.

That particles fit no better means little where few or noisy images could not tell. The half-maps say how much to
expect: their noise is that of all particles together, so a coefficient whose signal stands out of it by S holds
S / N from each of N particles. Only where far more is expected than what chance gives, and is not there, are
particles somewhere else: wrong units, other tomograms, a table of other images. That they fit better with an axis
counted from its other end needs no expectation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mpop.doubts import Doubt
from mpop.errors import UNUSABLE
from mpop.maps.fsc import FSCReport
from mpop.population import Population
from mpop.records.models import ItemRecord
from mpop.records.stack import SeriesModel, StackModel
from mpop.records.tilt_series import ParticleSet, TiltSeriesModel
from mpop.refinement.contradictions import FEWEST_PARTICLES, Evidence, particle_fits
from mpop.refinement.references import prepare_species
from mpop.refinement.series import DETECTED, SpeciesReference, gather_images
from mpop.series.opening import views_of

Array = NDArray[np.float64]
Placed = Callable[[ParticleSet], ParticleSet]

UNTILTED, TILTED = 3, 2
"""So many of the least exposed tilts are looked at, and so many of those that are tilted by more than this angle,
in degrees: in the others, all particles of a column lie at about one place."""
TILTED_DEG = 20.0
MOST_PARTICLES = 100
"""Of one series: more take too long."""
BESIDE = (1.0, 3.0)
"""Diameters from where a particle is said to be to the place beside."""
POWER = 160.0
"""Times the threshold that `refine` has must be expected for nothing to mean something: maps may be of more and
better images than these, and poses are not perfect yet. Of simulated particles a twentieth of what is expected was
found."""


def signal_doubts(
    population: Population,
    maps: Mapping[str, NDArray[np.float32]],
    report: FSCReport,
    diameter_A: float,
    pixel_size_A: float,
    sets: Mapping[str, ParticleSet],
    threads: int = 1,
) -> list[Doubt]:
    """What is doubtful about the places of particles, by item id. maps: half1, half2, mask."""
    identity, particles = max(sets.items(), key=lambda one: (len(one[1]), one[0]))
    if len(particles) < FEWEST_PARTICLES:
        return []
    reference = prepare_species(
        maps["half1"], maps["half2"], maps["mask"], report, diameter_A, pixel_size_A, prior="fsc"
    )
    if reference is None:
        return []
    item = population.items()[identity]
    whole = population.model(item)
    rows = np.linspace(0, len(particles) - 1, min(len(particles), MOST_PARTICLES)).astype(np.int64)
    looked_at = particles.part(rows)
    if isinstance(whole, StackModel):
        model, images = whole, 1.0
        ways = {"other": _pose_of_another(looked_at)}
    else:
        model = _few_tilts(whole)
        images = float(model.use.sum() / max(whole.use.sum(), 1))
        volume = np.array(model.volume_dims_A)
        ways = {"other": _beside(looked_at, diameter_A)}
        ways |= {
            axis: _at(looked_at, np.where(here, volume - looked_at.position_A, looked_at.position_A))
            for axis, here in zip("xyz", np.eye(3, dtype=bool), strict=True)
        }
    found = _compared(population, item, model, looked_at, list(ways.values()), reference, threads)
    other, *mirrored = found or [None]
    doubts = [
        Doubt(
            "axis-mirrored",
            item.name,
            f"{evidence.particles} particles fit the maps better with {axis} counted from the other end of the "
            f"tomogram ({evidence.z:.1f} standard deviations)",
            way_on="turn the coordinates round, or use those of the tomograms of Warp",
            grave=evidence.certain,
        )
        for axis, evidence in zip("xyz", mirrored, strict=False)
        if evidence is not None and evidence.doubtful
    ]
    part = images * len(looked_at) / (sum(map(len, sets.values())) / 2)
    expected = part * _signal(report, 1 / reference.resolution_A)
    if doubts or other is None or other.doubtful or expected < POWER * DETECTED:
        return doubts
    stack = isinstance(model, StackModel)
    return [
        Doubt(
            "no-signal",
            item.name,
            f"{other.particles} particles fit the maps no better "
            + ("in their poses than in those of others" if stack else "where they are said to be than beside")
            + f" ({other.z:.1f} standard deviations)",
            "maps like these promise far more",
            way_on="look whether the table is that of these images, and at contrast"
            if stack
            else "look at units (--angpix-coords), axes and contrast, and whether the tomograms are those of Warp",
            grave=True,
        )
    ]


def _at(particles: ParticleSet, position_A: Array) -> ParticleSet:
    return replace(particles, position_A=position_A)


def _beside(particles: ParticleSet, diameter_A: float) -> ParticleSet:
    """The same particles at places beside, at the same height."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, len(particles))
    distance = diameter_A * rng.uniform(*BESIDE, len(particles))
    step = distance * np.array([np.cos(angle), np.sin(angle), np.zeros(len(particles))])
    return _at(particles, particles.position_A + step.T[:, None])


def _pose_of_another(particles: ParticleSet) -> ParticleSet:
    """The same images in poses of others."""
    order = np.random.default_rng(0).permutation(len(particles))
    other = np.empty_like(order)
    other[order] = np.roll(order, 1)
    return replace(particles, position_A=particles.position_A[other], angles_deg=particles.angles_deg[other])


def _compared(
    population: Population,
    item: ItemRecord,
    model: SeriesModel,
    as_said: ParticleSet,
    others: list[ParticleSet],
    reference: SpeciesReference,
    threads: int,
) -> list[Evidence | None]:
    """For `as_said` against the first of the others, and for each of the rest against `as_said`; None where too
    few particles lie in images either way. Nothing where images are not here, or bad, which is for who works with
    them to say."""
    sets = [as_said, *others]
    try:
        gathered = gather_images(
            population.image_loader(item, model),
            model,
            sets,
            [reference] * len(sets),
            population.source(item.source).pixel_size_A,
            threads,
        )
    except UNUSABLE:
        return []
    ab = np.full((len(sets), len(as_said)), np.nan)
    for number, (images, placed) in enumerate(zip(gathered, sets, strict=True)):
        if images is not None:
            seen = np.unique(images.particle)
            ab[number, seen] = particle_fits(images, views_of(model, placed)).ab
    differences = [one[np.isfinite(one)] for one in (ab[0] - ab[1], *(ab[2:] - ab[0]))]
    return [Evidence.of(one) if len(one) >= FEWEST_PARTICLES else None for one in differences]


def _few_tilts(model: TiltSeriesModel) -> TiltSeriesModel:
    """The series with no more than a few of the least exposed of its tilts in use."""
    used = np.flatnonzero(model.use)
    used = used[np.argsort(model.exposure[used], kind="stable")]
    tilted = used[np.abs(model.angles_deg[used]) > TILTED_DEG]
    chosen = np.union1d(used[:UNTILTED], tilted[:TILTED])
    return replace(model, use=np.isin(np.arange(model.n_tilts), chosen))


def _signal(report: FSCReport, highest: float) -> float:
    """Sum of signal over noise of one half-map over its coefficients up to a frequency, 1/A, whole maps."""
    fsc = np.clip(report.unmasked.correlation, 0.0, 0.99)
    shells = np.arange(len(fsc))
    seen = report.unmasked.frequency <= highest
    return float((2 * np.pi * shells**2 * fsc / (1 - fsc))[seen].sum())
