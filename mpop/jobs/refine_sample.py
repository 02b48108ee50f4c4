"""Some particles of some series, by which the `refine` job answers what concerns all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mpop.errors import UNUSABLE
from mpop.jobs.halfmaps import SeriesState
from mpop.population import Population
from mpop.records.stack import SeriesModel
from mpop.records.tilt_series import ParticleSet
from mpop.refinement.contradictions import particle_fits
from mpop.refinement.evidence import ParticleFits
from mpop.refinement.series import SpeciesReference, gather_images
from mpop.refinement.target import SpeciesImages
from mpop.series.opening import views_of
from mpop.series.views import ImageViews

SAMPLE_ITEMS, SAMPLE_PARTICLES = 8, 200
"""So many series or stacks of a source, and so many particles of each species in all of them: they tell widths to
a tenth, and contradictions with many standard errors."""

References = Mapping[str, SpeciesReference | None]
"""By species id; None for half-maps that agree nowhere."""


@dataclass(frozen=True)
class Sampled:
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

    def view(self, species: str) -> ImageViews[NDArray[np.float64]]:
        """How the particles of a species appear."""
        return views_of(self.state.model, self.particles[species])

    def fits(
        self, references: References, crossed: bool = False, mirror: np.ndarray | None = None
    ) -> dict[str, ParticleFits]:
        """Of the particles of every species."""
        return {
            identity: particle_fits(images, self.view(identity), crossed, mirror)
            for identity, images in self.compared_with(references).items()
        }


def sample(population: Population, states: Sequence[SeriesState], references: References) -> list[Sampled]:
    """Some series of every source, without those that cannot be read: the pass over all names them."""
    found = (gathered(population, state, state.model, rows, references) for state, rows in _rows(states))
    return [one for one in found if one is not None]


def _rows(states: Sequence[SeriesState]) -> list[tuple[SeriesState, dict[str, np.ndarray]]]:
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


def gathered(
    population: Population,
    state: SeriesState,
    model: SeriesModel,
    rows: dict[str, np.ndarray],
    references: References,
) -> Sampled | None:
    """None for a series that cannot be read: the first iteration meets it again, and names it."""
    particles = {identity: state.particles[identity].part(chosen) for identity, chosen in rows.items()}
    try:
        images = gather_images(
            population.image_loader(state.item, model),
            model,
            list(particles.values()),
            [references[identity] for identity in particles],
            state.pixel_size_A,
        )
    except UNUSABLE:
        return None
    seen = {one: part for one, part in zip(particles, images, strict=True) if part and len(part.particle)}
    return Sampled(replace(state, model=model), particles, seen)


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
