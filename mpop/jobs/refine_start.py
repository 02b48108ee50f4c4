"""Where the `refine` job starts from: half-maps of the images as they stand, what contradicts them, what is off.

Half-maps come with a species from another program, or from another state of it. What its images give with the
parameters that they have now is what a refinement has to improve on, and particles may be compared with either.
Which is better is found on an even sample of them, each compared with the map that it has no part in: half 1 with
half-map 2, half 2 with half-map 1. The same sample shows whether images and half-maps contradict each other
(`mpop.refinement.contradictions`), and how far parameters are off (`mpop.refinement.widths`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import numpy as np

from mpop.errors import RefinementError
from mpop.jobs.half_map_weights import UNUSABLE
from mpop.jobs.halfmaps import SeriesState, divide, empty_target
from mpop.jobs.progress import Progress
from mpop.maps.fsc import FSCReport, fsc_report
from mpop.population import Population
from mpop.records.models import SpeciesRecord
from mpop.records.stack import SeriesModel, StackModel
from mpop.records.tilt_series import ParticleSet
from mpop.refinement.contradictions import (
    MIRRORS,
    Evidence,
    ParticleFits,
    contrast,
    difference,
    particle_fits,
    with_defocus_negated,
    with_depth_turned,
)
from mpop.refinement.reconstruction import add_series
from mpop.refinement.references import prepare_species
from mpop.refinement.series import SpeciesReference, gather_images
from mpop.refinement.system import RefinedGroups, SeriesSystem
from mpop.refinement.target import SpeciesImages
from mpop.refinement.views import ParticleView
from mpop.refinement.widths import LearnedWidths, WidthSums

SAMPLE_ITEMS, SAMPLE_PARTICLES = 8, 200
"""So many series or stacks of a source, and so many particles of each species in all of them, answer the questions
of a start: widths to a tenth, and contradictions with many standard errors."""
WAY_ON = "Put right which is wrong and import again"

Kind = Literal["imported", "images"]
References = dict[str, SpeciesReference | None]


@dataclass(frozen=True)
class HalfMaps:
    """Half-maps (z, y, x) of a species, and how they agree."""

    half1: np.ndarray
    half2: np.ndarray
    report: FSCReport


@dataclass(frozen=True)
class Start:
    """What a refinement starts from. maps: by species id, those that its particles are compared with first; kinds:
    which they are; resolution_A: of the half-maps that the images give as they stand."""

    maps: dict[str, HalfMaps]
    kinds: dict[str, Kind]
    resolution_A: dict[str, float | None]
    widths: LearnedWidths
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Sampled:
    """Some particles of a series or stack, and their images; of species by id, all packed to the finer of the two
    references."""

    state: SeriesState
    particles: dict[str, ParticleSet]
    images: dict[str, SpeciesImages]

    def compared_with(self, references: References) -> dict[str, SpeciesImages]:
        """The same images beside other references, as far as these reach."""
        return {
            identity: _compared_with(images, reference)
            for identity, images in self.images.items()
            if (reference := references.get(identity)) is not None
        }

    def fits(
        self, references: References, crossed: bool = False, mirror: np.ndarray | None = None
    ) -> dict[str, ParticleFits]:
        """Of the particles of every species."""
        return {
            identity: particle_fits(
                images, ParticleView.of(self.state.model, self.particles[identity]), crossed, mirror
            )
            for identity, images in self.compared_with(references).items()
        }


def find_start(
    population: Population,
    species: Sequence[SpeciesRecord],
    states: Sequence[SeriesState],
    others: Sequence[SeriesState],
    groups: RefinedGroups,
    threads: int,
    progress: Progress,
) -> Start:
    """states: the series to refine; others: those that hold particles of the species beside them.

    Raises RefinementError when images contradict the half-maps that they came with, with the figure that shows it.
    """
    imported = {one.id: stored_maps(population, one) for one in species}
    images = image_maps(population, species, [*states, *others], threads, progress)
    masks = {one.id: population.maps(one)["mask"] for one in species}
    references: dict[Kind, References] = {
        "imported": {one.id: _reference(one, imported[one.id], masks[one.id]) for one in species},
        "images": {one.id: _reference(one, images[one.id], masks[one.id]) for one in species},
    }
    finest = {one.id: _finer(references["imported"][one.id], references["images"][one.id]) for one in species}
    sampled = [
        found
        for state, rows in _sample(states)
        if (found := _gathered(population, state, state.model, rows, finest, threads)) is not None
    ]
    kinds: dict[str, Kind] = {one.id: _better(one.id, sampled, references) for one in species}
    chosen: References = {one.id: references[kinds[one.id]][one.id] for one in species}
    warnings = _contradictions(population, species, sampled, references["imported"], chosen, finest, threads)
    sums = WidthSums()
    for one in sampled:
        if not isinstance(one.state.model, StackModel):
            system = SeriesSystem(one.state.tilt_series, list(one.particles.values()), groups)
            compared = one.compared_with(chosen)
            sums.add(system, np.zeros(system.size), list(one.particles), [compared.get(i) for i in one.particles])
    return Start(
        {one.id: (imported if kinds[one.id] == "imported" else images)[one.id] for one in species},
        kinds,
        {one.id: images[one.id].report.resolution_A for one in species},
        LearnedWidths().with_more(sums),
        warnings,
    )


def stored_maps(population: Population, species: SpeciesRecord) -> HalfMaps:
    """The half-maps that a species has."""
    maps = population.maps(species)
    report = fsc_report(maps["half1"], maps["half2"], maps["mask"], species.pixel_size_A)
    return HalfMaps(maps["half1"], maps["half2"], report)


def image_maps(
    population: Population,
    species: Sequence[SpeciesRecord],
    states: Sequence[SeriesState],
    threads: int,
    progress: Progress,
) -> dict[str, HalfMaps]:
    """Half-maps by species id from all series that can be read, with their parameters as they stand. Nothing is
    stored."""
    totals = {one.id: empty_target(one) for one in species}
    for number, state in enumerate(states, start=1):
        parts = {one.id: empty_target(one) for one in species if one.id in state.particles}
        try:
            add_series(
                list(parts.values()),
                population.image_loader(state.item, state.model),
                state.model,
                [ParticleView.of(state.model, state.particles[identity]) for identity in parts],
                [state.particles[identity].half for identity in parts],
                state.pixel_size_A,
                threads,
            )
        except UNUSABLE:
            continue  # the first iteration meets it again, and names it
        for identity, part in parts.items():
            for total, more in zip(totals[identity].halves, part.halves, strict=True):
                total.add(more)
        progress("reconstruct as imported", number, len(states))
    found = {}
    for one in species:
        maps, report = divide(one, totals[one.id].halves, population.maps(one)["mask"])
        found[one.id] = HalfMaps(maps["half1"], maps["half2"], report)
    return found


def _reference(species: SpeciesRecord, maps: HalfMaps, mask: np.ndarray) -> SpeciesReference | None:
    return prepare_species(
        maps.half1, maps.half2, mask, maps.report, species.diameter_A, species.pixel_size_A, "fsc"
    )


def _finer(one: SpeciesReference | None, other: SpeciesReference | None) -> SpeciesReference | None:
    if one is None or other is None:
        return one or other
    return one if one.resolution_A < other.resolution_A else other


def _sample(states: Sequence[SeriesState]) -> list[tuple[SeriesState, dict[str, np.ndarray]]]:
    """Some series of every source, and rows of their particles by species, evenly."""
    by_source: dict[str, list[SeriesState]] = {}
    for state in states:
        by_source.setdefault(state.item.source, []).append(state)
    some = [
        members[number]
        for members in by_source.values()
        for number in np.unique(np.linspace(0, len(members) - 1, min(len(members), SAMPLE_ITEMS)).astype(int))
    ]
    counts: dict[str, int] = {}
    for state in some:
        for identity, particles in state.particles.items():
            counts[identity] = counts.get(identity, 0) + len(particles)
    steps = {identity: -(-count // SAMPLE_PARTICLES) for identity, count in counts.items()}
    return [
        (state, {one: np.arange(0, len(particles), steps[one]) for one, particles in state.particles.items()})
        for state in some
    ]


def _gathered(
    population: Population,
    state: SeriesState,
    model: SeriesModel,
    rows: dict[str, np.ndarray],
    references: References,
    threads: int,
) -> _Sampled | None:
    """None for a series that cannot be read: the first iteration meets it again, and names it."""
    particles = {identity: state.particles[identity].part(chosen) for identity, chosen in rows.items()}
    try:
        images = gather_images(
            population.image_loader(state.item, model),
            model,
            list(particles.values()),
            [references[identity] for identity in particles],
            state.pixel_size_A,
            threads,
        )
    except UNUSABLE:
        return None
    seen = {one: part for one, part in zip(particles, images, strict=True) if part and len(part.particle)}
    return _Sampled(replace(state, model=model), particles, seen)


def _compared_with(images: SpeciesImages, reference: SpeciesReference) -> SpeciesImages:
    extent_A = images.disc.size * images.pixel_size_A
    disc, kept = images.disc.inner(min(extent_A / reference.resolution_A, images.disc.r_max))
    if disc is images.disc:
        return replace(images, references=reference.halves)
    return replace(
        images,
        references=reference.halves,
        disc=disc,
        data=np.ascontiguousarray(images.data[:, kept]),
        power=np.ascontiguousarray(images.power[:, kept]),
    )


def _better(species: str, sampled: Sequence[_Sampled], references: dict[Kind, References]) -> Kind:
    """The half-maps that particles of the other half fit better."""
    values: dict[Kind, float] = {}
    for kind in references:
        fits = [one.fits(references[kind], crossed=True).get(species) for one in sampled]
        parts = [one for one in fits if one is not None]
        values[kind] = ParticleFits.together(parts).value if parts else 0.0
    return "images" if values["images"] > values["imported"] else "imported"


def _contradictions(
    population: Population,
    species: Sequence[SpeciesRecord],
    sampled: Sequence[_Sampled],
    imported: References,
    chosen: References,
    finest: References,
    threads: int,
) -> list[str]:
    """Warnings of what is doubtful, by source. Raises RefinementError for what is certain."""
    warnings: list[str] = []
    for source in dict.fromkeys(one.state.item.source for one in sampled):
        members = [one for one in sampled if one.state.item.source == source]
        name = population.source(source).name
        for one in species:
            cause = partial(_cause_of_negative, population, members, one.id, imported, finest, threads)
            warnings += _judge_maps(name, one, members, imported, cause)
        if not isinstance(members[0].state.model, StackModel):
            warnings += _judge_depth(population, name, members[0], chosen, finest, threads)
    return warnings


def _judge_maps(
    source: str,
    species: SpeciesRecord,
    members: Sequence[_Sampled],
    imported: References,
    cause: Callable[[], str],
) -> list[str]:
    """Contrast, the sign of defocus, and the hand of a species' half-maps. cause: of inverted contrast."""
    fits = _all_fits(species.id, members, imported)
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
        mirrored = difference(fits, _all_fits(species.id, members, imported, signs) or fits)
        if mirrored.doubtful:
            text = (
                f"{source}: particles fit {species.name}'s half-maps mirrored ({axis}) better than as they are "
                f"({mirrored.words}); half-maps and orientations are of opposite hands. {WAY_ON}, or run "
                "`mpop reconstruct` first for half-maps of the hand that the orientations have"
            )
            return _warning(mirrored, text)
    return []


def _all_fits(
    species: str, members: Sequence[_Sampled], references: References, mirror: np.ndarray | None = None
) -> ParticleFits | None:
    """Of a species' particles in all members; None where there are none."""
    found = [part for one in members if (part := one.fits(references, mirror=mirror).get(species)) is not None]
    return ParticleFits.together(found) if found else None


def _cause_of_negative(
    population: Population,
    members: Sequence[_Sampled],
    species: str,
    imported: References,
    finest: References,
    threads: int,
) -> str:
    """Overfocus inverts nearly everything, but for what amplitude contrast does: the images tell which it is."""
    first = next(one for one in members if species in one.images)
    over = _turned_over(population, first, with_defocus_negated(first.state.model), finest, threads)
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


def _judge_depth(
    population: Population,
    source: str,
    member: _Sampled,
    chosen: References,
    finest: References,
    threads: int,
) -> list[str]:
    """On which side of a tilted image defocus is larger. Half-maps may be those of the images as they stand, so
    that each particle is compared with the one that it has no part in."""
    turned = _turned_over(population, member, with_depth_turned(member.state.tilt_series), finest, threads)
    if turned is None:
        return []
    as_imported, other = member.fits(chosen, crossed=True), turned.fits(chosen, crossed=True)
    if not other:
        return []
    evidence = Evidence.of(
        np.concatenate([other[identity].gains() - as_imported[identity].gains() for identity in other])
    )
    text = (
        f"{source}: particles of {member.state.item.name} fit better when their depth is counted the other way "
        f"({evidence.words}); the handedness of the tilt series is wrong: change AreAnglesInverted in its XML "
        "files (as WarpTools' ts_defocus_hand does) and import again"
    )
    return _warning(evidence, text)


def _turned_over(
    population: Population, member: _Sampled, model: SeriesModel, references: References, threads: int
) -> _Sampled | None:
    """The same particles, with another model of their series."""
    state = replace(member.state, particles=member.particles)
    rows = {identity: np.arange(len(part)) for identity, part in member.particles.items()}
    return _gathered(population, state, model, rows, references, threads)


def _warning(evidence: Evidence, text: str) -> list[str]:
    """What is doubtful. Raises RefinementError for what is certain."""
    if evidence.certain:
        raise RefinementError(text)
    return [text] if evidence.doubtful else []
