"""Where images and what they were imported with contradict each other: the `refine` job stops, or warns.

Half-maps of another contrast or hand, defocus of another sign, a tilt series of another handedness: a refinement
goes on with each of them, and what it finds looks better than before and is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mpop.errors import RefinementError
from mpop.jobs.refine_sample import References, Sampled, gathered
from mpop.population import Population
from mpop.records.models import SpeciesRecord
from mpop.records.stack import SeriesModel
from mpop.refinement.contradictions import with_depth_turned
from mpop.refinement.evidence import MIRRORS, Evidence, ParticleFits, contrast, difference
from mpop.series.opening import series_of

WAY_ON = "Put right which is wrong and import again"


def contradicted_maps(
    population: Population,
    species: Sequence[SpeciesRecord],
    sampled: Sequence[Sampled],
    imported: References,
    finest: References,
) -> list[str]:
    """Warnings where images may contradict the half-maps that came with them.

    Raises RefinementError where they certainly do.
    finest: the references up to whose resolution the images were gathered.
    """
    warnings: list[str] = []
    for name, members in _by_source(population, sampled).items():
        for one in species:
            cause = partial(_cause_of_negative, population, members, one.id, imported, finest)
            warnings += _judge_maps(name, one, members, imported, cause)
    return warnings


@dataclass(frozen=True)
class Depth:
    """What the images tell of the handedness of their tilt series. unclear: that of a source is not certain."""

    warnings: list[str]
    unclear: bool


def contradicted_depth(population: Population, sampled: Sequence[Sampled], references: References) -> Depth:
    """On which side of a tilted image defocus is larger, by source. Raises RefinementError where it is not the
    imported one.

    references: those up to whose resolution the images were gathered. They may be those of the images as they
    stand: each particle is compared with the half-map that it has no part in.
    """
    warnings: list[str] = []
    unclear = False
    tilt_series = [one for one in sampled if series_of(one.state.model).shares_parameters]
    for name, members in _by_source(population, tilt_series).items():
        differences, apart = [], []
        for one in members:
            turned = _turned_over(population, one, with_depth_turned(one.state.tilt_series), references)
            if turned is not None:
                as_imported, other = one.fits(references, crossed=True), turned.fits(references, crossed=True)
                for identity, fits in other.items():
                    differences.append(fits.gains() - as_imported[identity].gains())
                    change_um = turned.view(identity).optics.defocus_um - one.view(identity).optics.defocus_um
                    apart.append(np.square(change_um).mean(axis=1)[np.unique(one.images[identity].particle)])
        if not differences:
            continue
        evidence = Evidence.of(np.concatenate(differences), np.concatenate(apart))
        unclear |= not evidence.refuted
        text = (
            f"{name}: particles fit better when their depth is counted the other way ({evidence.words}); the "
            "handedness of the tilt series is wrong: change AreAnglesInverted in their XML files (as WarpTools' "
            "ts_defocus_hand does) and import again"
        )
        warnings += _warning(evidence, text)
    return Depth(warnings, unclear)


def _by_source(population: Population, sampled: Sequence[Sampled]) -> dict[str, list[Sampled]]:
    """By name of source."""
    found: dict[str, list[Sampled]] = {}
    for one in sampled:
        found.setdefault(population.source(one.state.item.source).name, []).append(one)
    return found


def _judge_maps(
    source: str,
    species: SpeciesRecord,
    members: Sequence[Sampled],
    imported: References,
    cause: Callable[[], str],
) -> list[str]:
    """Contrast, the sign of defocus, and the hand of a species' half-maps. cause: of inverted contrast."""
    fits = all_fits(species.id, members, imported)
    if fits is None:
        return []
    negative = contrast(fits)
    if negative.doubtful:
        text = (
            f"{source}: particles fit the negative of {species.name}'s half-maps better than these "
            f"({negative.words}); {cause()}"
        )
        return _warning(negative, text)
    for axis, signs in MIRRORS.items():
        mirrored = difference(fits, all_fits(species.id, members, imported, mirror=signs) or fits)
        if mirrored.doubtful:
            text = (
                f"{source}: particles fit {species.name}'s half-maps mirrored ({axis}) better than as they are "
                f"({mirrored.words}); half-maps and orientations are of opposite hands. {WAY_ON}, or run "
                "`mpop reconstruct` first for half-maps of the hand that the orientations have"
            )
            return _warning(mirrored, text)
    return []


def all_fits(
    species: str,
    members: Sequence[Sampled],
    references: References,
    crossed: bool = False,
    mirror: np.ndarray | None = None,
) -> ParticleFits | None:
    """Of a species' particles in all members; None where there are none."""
    found = [part for one in members if (part := one.fits(references, crossed, mirror).get(species)) is not None]
    return ParticleFits.together(found) if found else None


def _cause_of_negative(
    population: Population,
    members: Sequence[Sampled],
    species: str,
    imported: References,
    finest: References,
) -> str:
    """Overfocus inverts nearly everything, but for what amplitude contrast does: the images tell which it is."""
    first = next(one for one in members if species in one.images)
    over = _turned_over(population, first, series_of(first.state.model).with_defocus_negated(), finest)
    if over is not None and species in over.images:
        under = first.fits(imported)[species]
        better = Evidence.of(over.fits(imported)[species].gains() - under.gains(negative=True))
        if better.doubtful:
            return (
                f"with defocus of the other sign they fit as they are ({better.words} than with inverted "
                f"contrast): defocus is positive for underfocus. {WAY_ON}"
            )
    return (
        "their contrast, or that of the half-maps, is inverted (images of tilt series show protein dark, those of "
        f"stacks bright, half-maps bright), or the sign of defocus is wrong. {WAY_ON}"
    )


def _turned_over(
    population: Population, member: Sampled, model: SeriesModel, references: References
) -> Sampled | None:
    """The same particles, with another model of their series."""
    state = replace(member.state, particles=member.particles)
    rows = {identity: np.arange(len(part)) for identity, part in member.particles.items()}
    return gathered(population, state, model, rows, references)


def _warning(evidence: Evidence, text: str) -> list[str]:
    """What is doubtful. Raises RefinementError for what is certain."""
    if evidence.certain:
        raise RefinementError(text)
    return [text] if evidence.doubtful else []
