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

from collections.abc import Mapping
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

AXES = ("x", "y", "z")
AS_SAID, ELSEWHERE, TURNED = "as said", "elsewhere", "turned"
"""Ways of placing particles beside those that mirror an axis: as the table says; at places beside, or in a stack
in the poses of others; in a series, with the orientations of others."""
PROMISED = "maps like these promise far more"
NOT_IN_STACK = (
    "in their poses than in those of others",
    "look whether the table is that of these images, and at contrast",
)
NOT_IN_SERIES = (
    "where they are said to be than beside",
    "look at units (--angpix-coords), axes and contrast, and whether the tomograms are those of Warp",
)
UNTILTED, TILTED = 3, 2
"""So many of the least exposed tilts are looked at, and so many of those that are tilted by more than this angle,
in degrees: in the others, all particles of a column lie at about one place."""
TILTED_DEG = 20.0
MOST_PARTICLES = 100
"""Of one series: more take too long."""
BESIDE = (1.0, 3.0)
"""Diameters from where a particle is said to be to the place beside."""
UNSEEN_Z = 2.0
"""Orientations that are right make a difference of fewer standard deviations only where particles look round."""
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
) -> list[Doubt]:
    """What is doubtful about the places of particles, by item id. maps: half1, half2, mask."""
    identity, particles = max(sets.items(), key=lambda one: (len(one[1]), one[0]))
    reference = prepare_species(
        maps["half1"], maps["half2"], maps["mask"], report, diameter_A, pixel_size_A, prior="fsc"
    )
    if len(particles) < FEWEST_PARTICLES or reference is None:
        return []
    item = population.items()[identity]
    whole = population.model(item)
    rows = np.linspace(0, len(particles) - 1, min(len(particles), MOST_PARTICLES)).astype(np.int64)
    looked_at = particles.part(rows)
    if isinstance(whole, StackModel):
        model, images = whole, 1.0
        ways = {AS_SAID: looked_at, ELSEWHERE: _pose_of_another(looked_at)}
    else:
        model = _few_tilts(whole)
        images = float(model.use.sum() / max(whole.use.sum(), 1))
        ways = _other_places(looked_at, diameter_A, np.array(model.volume_dims_A))
    fits = _fits(population, item, model, ways, reference)
    seen = _for(AS_SAID, fits)
    if seen is None:
        return []
    doubts = [*_negative(item.name, seen), *_mirrored(item.name, fits), *_unoriented(item.name, seen, fits)]
    part = images * len(looked_at) / (sum(map(len, sets.values())) / 2)
    expected = part * _signal(report, 1 / reference.resolution_A)
    if doubts or seen.doubtful or expected < POWER * DETECTED:
        return doubts
    where, way_on = NOT_IN_STACK if isinstance(whole, StackModel) else NOT_IN_SERIES
    read = f"{seen.particles} particles fit the maps no better {where} ({seen.z:.1f} standard deviations)"
    return [Doubt("no-signal", item.name, read, PROMISED, way_on=way_on, grave=True)]


def _negative(name: str, seen: Evidence) -> list[Doubt]:
    """Where the images show the opposite of the maps."""
    negative = replace(seen, z=-seen.z)
    if not negative.doubtful:
        return []
    read = (
        f"{negative.particles} particles fit the negative of the maps better than the maps "
        f"({negative.z:.1f} standard deviations)"
    )
    way_on = "look whether the maps are of this species, and at pixel sizes, contrast and the sign of defocus"
    return [Doubt("negative-signal", name, read, way_on=way_on, grave=negative.certain)]


def _mirrored(name: str, fits: Mapping[str, Array]) -> list[Doubt]:
    """Axes that count from the other end: there is signal, and more than where particles are said to be."""
    found = {
        axis: mirrored
        for axis in AXES
        if (signal := _for(axis, fits)) is not None
        and signal.doubtful
        and (mirrored := _for(axis, fits, against=AS_SAID)) is not None
        and mirrored.doubtful
    }
    return [
        Doubt(
            "axis-mirrored",
            name,
            f"{mirrored.particles} particles fit the maps better with {axis} counted from the other end of the "
            f"tomogram ({mirrored.z:.1f} standard deviations)",
            way_on="turn the coordinates round, or use those of the tomograms of Warp",
            grave=mirrored.certain,
        )
        for axis, mirrored in found.items()
    ]


def _unoriented(name: str, seen: Evidence, fits: Mapping[str, Array]) -> list[Doubt]:
    """Where there is signal that their orientations say nothing of."""
    oriented = _for(AS_SAID, fits, against=TURNED)
    if not seen.certain or oriented is None or oriented.z > UNSEEN_Z:
        return []
    read = (
        f"{oriented.particles} particles fit the maps no better in their orientations than in those of others "
        f"({oriented.z:.1f} standard deviations)"
    )
    way_on = "look at the angles of the table, unless the particle is round at the resolution of the maps"
    return [Doubt("orientations-not-seen", name, read, way_on=way_on)]


def _other_places(particles: ParticleSet, diameter_A: float, volume_A: Array) -> dict[str, ParticleSet]:
    """Ways of placing particles in a tomogram."""
    position = particles.position_A
    ways = {
        AS_SAID: particles,
        ELSEWHERE: _beside(particles, diameter_A),
        TURNED: replace(_pose_of_another(particles), position_A=position),
    }
    for axis, here in zip(AXES, np.eye(3, dtype=bool), strict=True):
        ways[axis] = replace(particles, position_A=np.where(here, volume_A - position, position))
    return ways


def _beside(particles: ParticleSet, diameter_A: float) -> ParticleSet:
    """The same particles at places beside, at the same height."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * np.pi, len(particles))
    distance = diameter_A * rng.uniform(*BESIDE, len(particles))
    step = distance * np.array([np.cos(angle), np.sin(angle), np.zeros(len(particles))])
    return replace(particles, position_A=particles.position_A + step.T[:, None])


def _pose_of_another(particles: ParticleSet) -> ParticleSet:
    """The same images in poses of others."""
    order = np.random.default_rng(0).permutation(len(particles))
    other = np.empty_like(order)
    other[order] = np.roll(order, 1)
    return replace(particles, position_A=particles.position_A[other], angles_deg=particles.angles_deg[other])


def _fits(
    population: Population,
    item: ItemRecord,
    model: SeriesModel,
    ways: Mapping[str, ParticleSet],
    reference: SpeciesReference,
) -> dict[str, Array]:
    """AB (p,) of the particles by way of placing them, NaN for those that lie in no image then. Nothing where
    images are not here, or bad, which is for who works with them to say."""
    sets = list(ways.values())
    try:
        gathered = gather_images(
            population.image_loader(item, model),
            model,
            sets,
            [reference] * len(sets),
            population.source(item.source).pixel_size_A,
        )
    except UNUSABLE:
        return {}
    found = {way: np.full(len(placed), np.nan) for way, placed in ways.items()}
    for (way, placed), images in zip(ways.items(), gathered, strict=True):
        if images is not None:
            found[way][np.unique(images.particle)] = particle_fits(images, views_of(model, placed)).ab
    return found


def _for(way: str, fits: Mapping[str, Array], against: str = ELSEWHERE) -> Evidence | None:
    """For one way of placing particles, against another one; None where too few lie in images both ways, or one
    was not tried."""
    if not {way, against} <= fits.keys():
        return None
    differences = fits[way] - fits[against]
    differences = differences[np.isfinite(differences)]
    return Evidence.of(differences) if len(differences) >= FEWEST_PARTICLES else None


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
