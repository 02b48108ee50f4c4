"""Is there signal of a species where its particles are said to be, and do maps and particles go together?

A few images of one series or stack are compared with the half-maps as the table says, and as if particles were
elsewhere: in a tilt series at places beside, in a stack in the poses of other particles. What a particle fits
better where it is said to be has an error that comes from how particles differ, so chance has a known part in the
answer. Where something else fits better than what was said (`mpop.jobs.importing.otherwise`), that is named.

That particles fit no better means little where few or noisy images could not tell. The half-maps say how much to
expect: their noise is that of all particles together, so a coefficient whose signal stands out of it by S holds
S / N from each of N particles. Only where far more is expected than what chance gives, and is not there in a
longer look either, are particles somewhere else: wrong units, other tomograms, a table of other images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mpop.doubts import Doubt
from mpop.jobs.importing.looking import STARE, Description, Look
from mpop.jobs.importing.otherwise import alternatives, mirrored_axes, other_angles
from mpop.maps.fsc import FSCReport
from mpop.population import Population
from mpop.records.tilt_series import ParticleSet
from mpop.refinement.evidence import CERTAIN_Z, DOUBTFUL_Z

Array = NDArray[np.float64]

PROMISED = "maps like these promise far more, unless they are of many more particles than these"
NOT_IN_STACK = (
    "in their poses than in those of others",
    "look whether the table is that of these images, and at contrast",
)
NOT_IN_SERIES = (
    "where they are said to be than beside",
    "look at units (--angpix-coords), axes and contrast, and whether the tomograms are those of Warp",
)
BESIDE = (1.0, 3.0)
"""Diameters from where a particle is said to be to the place beside."""
UNSEEN_Z = 2.0
"""Orientations that are right make a difference of fewer standard deviations only where particles look round."""
NOTHING_Z = 3.5
"""Particles that fit better by more standard deviations, by chance one in 4,000, are seen, however much more the
maps promise: these may be of many more particles, or some picks may be wrong. Less than this is left where heights
alone are wrong, as images at low tilt hardly know them."""
FOUND_PART = 1 / 80
"""Of what is expected, so much is found of particles with three times the usual errors, or a third of the
contrast, where half-maps are of these particles (decision 025)."""
EXPECTED_NATS = (DOUBTFUL_Z + CERTAIN_Z) ** 2 / 2 / FOUND_PART
"""So much must be expected for nothing to mean something: L nats are a z of sqrt(2 L), and a z below DOUBTFUL_Z
has to be a certain fall below what FOUND_PART of it would show."""


def signal_doubts(
    population: Population,
    maps: Mapping[str, NDArray[np.float32]],
    report: FSCReport,
    diameter_A: float,
    pixel_size_A: float,
    sets: Mapping[str, ParticleSet],
) -> list[Doubt]:
    """What is doubtful about particles and maps, by item id. maps: half1, half2, mask."""
    at = partial(Look.at, population, maps, report, diameter_A, pixel_size_A, sets)
    look = at()
    if look is None:
        return []
    said, elsewhere = look.describe(look.placed()), _elsewhere(look, diameter_A)
    seen = said.above(elsewhere)
    if seen is None:
        return []
    turned = replace(_pose_of_another(look.particles), position_A=look.particles.position_A)
    oriented = said.above(look.describe(look.placed_as(turned)))
    found = [*alternatives(look, said, diameter_A), *mirrored_axes(look, said, elsewhere)]
    if oriented is not None and not oriented.doubtful:
        found += other_angles(look, said)
    if found:
        best = max(found, key=lambda one: one.evidence.nats)
        read = f"{best.evidence.particles} particles {best.read} ({best.evidence.z:.1f} standard deviations)"
        grave = best.severe and best.evidence.certain
        return [Doubt(best.kind, look.name, read, way_on=best.way_on, grave=grave)]
    if seen.certain and oriented is not None and oriented.z <= UNSEEN_Z:
        read = (
            f"{oriented.particles} particles fit the maps no better in their orientations than in those of others "
            f"({oriented.z:.1f} standard deviations)"
        )
        way_on = "look at the angles of the table, unless the particle is round at the resolution of the maps"
        return [Doubt("orientations-not-seen", look.name, read, way_on=way_on)]
    if seen.doubtful or look.part * _signal(report, 1 / look.resolution_A) < EXPECTED_NATS:
        return []
    longer = at(sample=STARE)
    more = None if longer is None else longer.describe(longer.placed()).above(_elsewhere(longer, diameter_A))
    if more is None or more.z > NOTHING_Z:
        return []
    where, way_on = NOT_IN_STACK if look.tilts is None else NOT_IN_SERIES
    read = f"{more.particles} particles fit the maps no better {where} ({more.z:.1f} standard deviations)"
    return [Doubt("no-signal", look.name, read, PROMISED, way_on=way_on, grave=True)]


def _elsewhere(look: Look, diameter_A: float) -> Description:
    """As if particles lay beside, or in a stack in the poses of others."""
    others = _pose_of_another(look.particles) if look.tilts is None else _beside(look.particles, diameter_A)
    return look.describe(look.placed_as(others))


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


def _signal(report: FSCReport, highest: float) -> float:
    """Sum of signal over noise of one half-map over its coefficients up to a frequency, 1/A, whole maps."""
    fsc = np.clip(report.unmasked.correlation, 0.0, 0.99)
    shells = np.arange(len(fsc))
    seen = report.unmasked.frequency <= highest
    return float((2 * np.pi * shells**2 * fsc / (1 - fsc))[seen].sum())
