"""New half-maps and FSC of species from the current models of their series.

The Fourier sums of each source are kept beside the species as derived objects, under a key of everything that
went into them. A source whose models and particles did not change is not read again, and its raw images need
not even be here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mpop.doubts import Doubt
from mpop.errors import MissingObjectError, RefinementError, StateError
from mpop.geometry.symmetry import symmetry_matrices
from mpop.maps.filtered import filtered_and_fsc
from mpop.maps.filters import transform
from mpop.maps.fsc import FSCReport, fsc_report, up_to
from mpop.maps.half_map_checks import half_map_doubts
from mpop.maps.reconstruction import last_shell, reconstruct
from mpop.maps.shells import mean_amplitudes
from mpop.maps.symmetry_checks import symmetry_doubts
from mpop.population import Population
from mpop.projection.insertion import FourierSums
from mpop.records.arrays import model_from_arrays, particles_from_arrays
from mpop.records.models import ItemRecord, SpeciesHead, SpeciesRecord
from mpop.records.stack import SeriesModel, StackModel
from mpop.records.tilt_series import ParticleSet, TiltSeriesModel
from mpop.refinement.reconstruction import SpeciesTarget, add_series
from mpop.run import Progress
from mpop.series.dirt import Erased
from mpop.series.opening import views_of
from mpop_store import version_of
from mpop_store.arrays.groups import read_group

SUMS_UNITS = "noise per A^2"
"""Of stored Fourier sums (docs/format.md); part of their key, so that sums in other units are never added to them.
Those of the first versions, in the units of each image, have none in theirs."""


@dataclass
class SeriesState:
    """One series or stack as it stands, and the objects that hold it. Particles by species id."""

    item: ItemRecord
    pixel_size_A: float
    model: SeriesModel
    model_object: str
    particles: dict[str, ParticleSet]
    particle_objects: dict[str, str]

    @classmethod
    def load(cls, population: Population, item: ItemRecord, species: Iterable[SpeciesRecord]) -> SeriesState:
        """The state of a series as its records tell it, with the species that it holds."""
        held = {one.id: one.particles[item.id] for one in species if item.id in one.particles}
        return cls.named(population, item, item.model_object, held)

    @classmethod
    def named(
        cls, population: Population, item: ItemRecord, model: str, particles: Mapping[str, str]
    ) -> SeriesState:
        """The state of a series that groups hold: of its model, and of its particles by species id."""
        return cls(
            item,
            population.source(item.source).pixel_size_A,
            model_from_arrays(*read_group(population.objects, model)),
            model,
            {one: particles_from_arrays(*read_group(population.objects, name)) for one, name in particles.items()},
            dict(particles),
        )

    @property
    def tilt_series(self) -> TiltSeriesModel:
        """The model of a tilt series. Raises StateError for a stack."""
        if isinstance(self.model, StackModel):
            raise StateError(f"{self.item.name} is a stack of particle images and no tilt series")
        return self.model


@dataclass
class RebuiltSpecies:
    """New maps of a species: the group that holds them, the FSC, and the derived sums by source id.

    erased: the dirt found in the images of each item that was read; those of sources whose sums were kept were
    not. doubts: of the half-maps.
    """

    maps_object: str
    report: FSCReport
    sums: dict[str, dict[str, str]]
    erased: dict[str, Erased]
    doubts: list[Doubt]


def rebuild(
    population: Population,
    species: Sequence[SpeciesRecord],
    states: Sequence[SeriesState],
    progress: Progress,
) -> dict[str, RebuiltSpecies]:
    """Half-maps of every species from all series in `states`, by species id."""
    totals = {one.id: empty_target(one) for one in species}
    sums: dict[str, dict[str, dict[str, str]]] = {one.id: {} for one in species}
    erased: dict[str, dict[str, Erased]] = {one.id: {} for one in species}
    for source in sorted({state.item.source for state in states}):
        members = [state for state in states if state.item.source == source]
        to_sum: dict[str, SpeciesTarget] = {}
        for one in species:
            if not any(one.id in state.particles for state in members):
                continue
            key = state_key(one, members)
            kept = stored_sums(population, one, source, key)
            if kept is None:
                to_sum[one.id] = empty_target(one)
            else:
                sums[one.id][source] = one.derived["sums"][source]
                add_sums(totals[one.id], kept)
        for number, state in enumerate(members if to_sum else (), start=1):
            held = [identity for identity in to_sum if identity in state.particles]
            ledger = add_series(
                [to_sum[identity] for identity in held],
                population.image_loader(state.item, state.model),
                state.model,
                [views_of(state.model, state.particles[identity]) for identity in held],
                [state.particles[identity].half for identity in held],
                state.pixel_size_A,
            )
            for identity in held:
                erased[identity][state.item.id] = ledger.erased
            progress("reconstruct", number, len(members))
        for one in species:
            if one.id in to_sum:
                group = population.write_group(sums_as_arrays(to_sum[one.id].halves))
                sums[one.id][source] = {"key": state_key(one, members), "group": group}
                add_sums(totals[one.id], to_sum[one.id].halves)
    rebuilt = {}
    for one in species:
        halves = totals[one.id].halves
        maps, report = divide(one, halves, population.maps(one)["mask"])
        doubts = rebuilt_doubts(one, halves, maps, report)
        group = population.write_group(maps)
        rebuilt[one.id] = RebuiltSpecies(group, report, sums[one.id], erased[one.id], doubts)
    return rebuilt


def empty_target(species: SpeciesHead) -> SpeciesTarget:
    """Where the images of a species go; nothing is there yet."""
    return SpeciesTarget.empty(species.box, species.pixel_size_A, species.diameter_A)


def add_sums(target: SpeciesTarget, halves: tuple[FourierSums, FourierSums]) -> None:
    """Add the sums of some images of a species to those of others."""
    for total, part in zip(target.halves, halves, strict=True):
        total.add(part)


def state_key(species: SpeciesRecord, members: Sequence[SeriesState]) -> str:
    """`sums_key` of series as they stand."""
    return sums_key(
        species,
        {
            state.item.id: (state.model_object, state.particle_objects[species.id])
            for state in members
            if species.id in state.particles
        },
    )


def sums_key(species: SpeciesHead, contributions: Mapping[str, tuple[str, str]]) -> str:
    """Hash of everything that decides the sums of one source. contributions: item -> its model and particles."""
    return version_of(
        {
            "box": species.box,
            "pixel_size_A": species.pixel_size_A,
            "diameter_A": species.diameter_A,
            "units": SUMS_UNITS,
            "items": {item: list(objects) for item, objects in contributions.items()},
        }
    )


def sums_as_arrays(halves: tuple[FourierSums, FourierSums]) -> dict[str, np.ndarray]:
    """The sums of both halves as a group holds them."""
    return {f"half{number}": half.values for number, half in enumerate(halves, start=1)}


def stored_sums(
    population: Population, species: SpeciesHead, source: str, key: str
) -> tuple[FourierSums, FourierSums] | None:
    """The sums of a source if they are kept and still right."""
    kept = species.derived.get("sums", {}).get(source)
    if kept is None or kept["key"] != key:
        return None
    try:
        arrays = population.read_group(kept["group"])
    except MissingObjectError:
        return None
    return FourierSums(np.array(arrays["half1"])), FourierSums(np.array(arrays["half2"]))


def divide(
    species: SpeciesHead, halves: tuple[FourierSums, FourierSums], mask: np.ndarray
) -> tuple[dict[str, np.ndarray], FSCReport]:
    """The arrays of a species' maps, from the Fourier sums of all its particles, and how the halves agree.

    Raises RefinementError for half-maps that are empty, or hold NaN or infinity.
    """
    matrices = symmetry_matrices(species.symmetry)
    for number, half in enumerate(halves, start=1):
        if not half.values[..., 2].any():
            raise RefinementError(
                f"species {species.name}: its half-map {number} is empty: no image of a particle of this half has "
                "any weight. Look whether its particles lie inside their images, whether both halves have some, "
                "and which tilts and weights its series use"
            )
    half1, half2 = (reconstruct(half, species.box, matrices) for half in halves)
    for number, volume in enumerate((half1, half2), start=1):
        if not np.isfinite(volume).all():
            raise RefinementError(f"species {species.name}: its half-map {number} holds NaN or infinity")
        if not volume.any():
            raise RefinementError(f"species {species.name}: its half-map {number} is zero: so are its images")
    report = fsc_report(half1, half2, mask, species.pixel_size_A, copies=len(matrices))
    report = up_to(report, min(last_shell(half) for half in halves))
    return {"half1": half1, "half2": half2, "mask": mask, **filtered_and_fsc(half1, half2, report)}, report


WAYS_ON = {
    "half-maps-unlike": "look whether particles and images of one half-set differ from those of the other",
    "half-maps-not-independent": "look whether particles are in both half-sets",
}
"""Of half-maps that nobody chose or treated."""


def rebuilt_doubts(
    species: SpeciesHead,
    halves: tuple[FourierSums, FourierSums],
    maps: Mapping[str, np.ndarray],
    report: FSCReport,
) -> list[Doubt]:
    """What there is to doubt of half-maps that were made from Fourier sums.

    The point group is held against what the images say without it, as it makes any map its own.
    """
    where, pixel = f"half-maps of {species.name}", species.pixel_size_A
    half1, half2, mask = maps["half1"], maps["half2"], maps["mask"]
    last = min(last_shell(half) for half in halves)
    amplitude = mean_amplitudes(transform((half1 + half2) / 2))
    amplitude = amplitude[np.minimum(np.arange(len(amplitude)), last)]  # no data beyond, which is no filter
    doubts = [
        replace(doubt, read=doubt.read.partition(": ")[0], way_on=WAYS_ON[doubt.kind])
        if doubt.kind in WAYS_ON
        else doubt
        for doubt in half_map_doubts(where, half1, half2, mask, report, amplitude, pixel)
    ]
    if any(doubt.grave for doubt in doubts):
        return doubts
    if species.symmetry != "C1":
        half1, half2 = (reconstruct(half, species.box, symmetry_matrices("C1")) for half in halves)
        report = up_to(fsc_report(half1, half2, mask, pixel, copies=1), last)
    return doubts + symmetry_doubts(where, half1, half2, mask, report, pixel, species.symmetry)


def map_doubts(species: Sequence[SpeciesHead], rebuilt: Mapping[str, RebuiltSpecies]) -> list[Doubt]:
    """Of the new half-maps of all species."""
    return [doubt for one in species for doubt in rebuilt[one.id].doubts]
