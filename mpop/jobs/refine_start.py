"""Where the `refine` job starts from: half-maps of the images as they stand, what contradicts them, what is off.

Half-maps come with a species from another program, or from another state of it. What its images give with the
parameters that they have now is what a refinement has to improve on. An even sample of particles, each compared
with the half-map that it has no part in (half 1 with half-map 2, half 2 with half-map 1), shows whether images and
half-maps contradict each other (`mpop.refinement.contradictions`), and how far parameters are off
(`mpop.refinement.widths`). That comes from the half-maps of the images: they are blurred by the same errors, and
so show nothing that is too fine to tell them.

Particles are compared with the half-maps that came with their species first. Those of the images may be much
finer, but in them a particle finds itself, as it lies now, and that holds it there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mpop.errors import UNUSABLE
from mpop.geometry.symmetry import copies
from mpop.jobs.halfmaps import SeriesState, add_sums, divide, empty_target, state_key, stored_sums
from mpop.jobs.refine_contradictions import contradicted_depth, contradicted_maps
from mpop.jobs.refine_guard import Agreement
from mpop.jobs.refine_sample import References, sample
from mpop.maps.fsc import FSCReport, fsc_report
from mpop.population import Population
from mpop.records.models import SpeciesRecord
from mpop.refinement.groups.group import ParameterGroup
from mpop.refinement.reconstruction import add_series
from mpop.refinement.references import prepare_species
from mpop.refinement.series import SpeciesReference
from mpop.refinement.system import SeriesSystem
from mpop.refinement.widths import LearnedWidths, WidthSums
from mpop.run import Progress
from mpop.series.opening import series_of, views_of

Kind = Literal["imported", "images"]


@dataclass(frozen=True)
class HalfMaps:
    """Half-maps (z, y, x) of a species, and how they agree."""

    half1: np.ndarray
    half2: np.ndarray
    report: FSCReport


@dataclass(frozen=True)
class Start:
    """What a refinement starts from. maps: by species id, those that its particles are compared with first; kinds:
    which they are; images: how the half-maps agree that the images give as they stand."""

    maps: dict[str, HalfMaps]
    kinds: dict[str, Kind]
    images: Agreement
    widths: LearnedWidths
    warnings: list[str]
    depth_unclear: bool
    """Whether these half-maps were too coarse to tell the handedness of all tilt series."""

    def resolution_A(self, species: str) -> float | None:
        """Of the half-maps that the images of a species give as they stand."""
        report = self.images.reports.get(species)
        return report and report.resolution_A


def find_start(
    population: Population,
    species: Sequence[SpeciesRecord],
    states: Sequence[SeriesState],
    others: Sequence[SeriesState],
    groups: Sequence[ParameterGroup],
    progress: Progress,
) -> Start:
    """states: the series to refine; others: those that hold particles of the species beside them.

    Raises RefinementError when images contradict the half-maps that they came with, with the figure that shows it.
    """
    imported = {one.id: stored_maps(population, one) for one in species}
    images, items = image_maps(population, species, [*states, *others], progress)
    masks = {one.id: population.maps(one)["mask"] for one in species}
    references: dict[Kind, References] = {
        "imported": {one.id: _reference(one, imported[one.id], masks[one.id]) for one in species},
        "images": {one.id: _reference(one, images.get(one.id), masks[one.id]) for one in species},
    }
    finest = {one.id: _finer(references["imported"][one.id], references["images"][one.id]) for one in species}
    sampled = sample(population, states, finest)
    kinds: dict[str, Kind] = {
        one.id: "images" if references["imported"][one.id] is None and one.id in images else "imported"
        for one in species
    }
    warnings = contradicted_maps(population, species, sampled, references["imported"], finest)
    depth = contradicted_depth(population, sampled, finest)
    blurred = {one.id: references["images"][one.id] or references["imported"][one.id] for one in species}
    sums = WidthSums()
    for one in sampled:
        if series_of(one.state.model).shares_parameters:
            system = SeriesSystem(one.state.tilt_series, list(one.particles.values()), groups)
            compared = one.compared_with(blurred)
            sums.add(system, np.zeros(system.size), list(one.particles), [compared.get(i) for i in one.particles])
    return Start(
        {one.id: (imported if kinds[one.id] == "imported" else images)[one.id] for one in species},
        kinds,
        Agreement(items, {identity: maps.report for identity, maps in images.items()}),
        LearnedWidths().with_more(sums),
        warnings + depth.warnings,
        depth.unclear,
    )


def stored_maps(population: Population, species: SpeciesRecord) -> HalfMaps:
    """The half-maps that a species has."""
    maps = population.maps(species)
    report = fsc_report(
        maps["half1"], maps["half2"], maps["mask"], species.pixel_size_A, copies=copies(species.symmetry)
    )
    return HalfMaps(maps["half1"], maps["half2"], report)


def image_maps(
    population: Population,
    species: Sequence[SpeciesRecord],
    states: Sequence[SeriesState],
    progress: Progress,
) -> tuple[dict[str, HalfMaps], frozenset[str]]:
    """Half-maps by species id from all series that can be read, with their parameters as they stand; none of a
    species of which none can. And the items of these series. A source whose sums are kept is not read; nothing is
    stored.

    Raises RefinementError for half-maps that are empty, which the first iteration would leave too.
    """
    totals = {one.id: empty_target(one) for one in species}
    read: set[str] = set()
    items: set[str] = set()
    summed: set[tuple[str, str]] = set()
    for source in sorted({state.item.source for state in states}):
        members = [state for state in states if state.item.source == source]
        for one in species:
            kept = stored_sums(population, one, source, state_key(one, members))
            if kept is not None:
                add_sums(totals[one.id], kept)
                summed.add((one.id, source))
                read.add(one.id)
    for number, state in enumerate(states, start=1):
        to_sum = [
            one for one in species if one.id in state.particles and (one.id, state.item.source) not in summed
        ]
        parts = {one.id: empty_target(one) for one in to_sum}
        try:
            if parts:
                add_series(
                    list(parts.values()),
                    population.image_loader(state.item, state.model),
                    state.model,
                    [views_of(state.model, state.particles[identity]) for identity in parts],
                    [state.particles[identity].half for identity in parts],
                    state.pixel_size_A,
                )
        except UNUSABLE:
            continue  # the first iteration meets it again, and names it
        for identity, part in parts.items():
            add_sums(totals[identity], part.halves)
        read |= parts.keys()
        items.add(state.item.id)
        progress("reconstruct as imported", number, len(states))
    found = {}
    for one in species:
        if one.id in read:
            maps, report = divide(one, totals[one.id].halves, population.maps(one)["mask"])
            found[one.id] = HalfMaps(maps["half1"], maps["half2"], report)
    return found, frozenset(items)


def _reference(species: SpeciesRecord, maps: HalfMaps | None, mask: np.ndarray) -> SpeciesReference | None:
    if maps is None:
        return None
    return prepare_species(
        maps.half1, maps.half2, mask, maps.report, species.diameter_A, species.pixel_size_A, "fsc"
    )


def _finer(one: SpeciesReference | None, other: SpeciesReference | None) -> SpeciesReference | None:
    if one is None or other is None:
        return one or other
    return one if one.resolution_A < other.resolution_A else other
