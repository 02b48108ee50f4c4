"""A look at some particles of a species: a few images of one series or stack, and how half-maps fit them.

The same images are asked many times: as the table says, and with one thing otherwise. What a particle gains has an
error that comes from how particles differ, so chance has a known part in every answer, whatever the noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mpop.errors import UNUSABLE
from mpop.maps.fsc import FSCReport
from mpop.maps.reach import reach_A
from mpop.population import Population
from mpop.records.stack import StackModel
from mpop.records.tilt_series import ParticleSet, TiltSeriesModel
from mpop.refinement.coarse import CoarseReference, Placed
from mpop.refinement.evidence import FEWEST_PARTICLES, Evidence, ParticleFits
from mpop.refinement.priors import through_prior
from mpop.series.coarse import CoarseImages, CoarseTilts, Lens, coarse_stack
from mpop.series.opening import views_of
from mpop.series.views import ImageViews

Array = NDArray[np.float64]

TILTED_DEG = 20.0
FINEST_A, FINEST_PART = 10.0, 12.0
"""No detail finer than that is looked at, nor finer than this part of the diameter."""


@dataclass(frozen=True)
class Sample:
    """How much is looked at: so many particles of one series or stack, so many of the least exposed tilts, and so
    many of those that are tilted by more than TILTED_DEG: in the others, all particles of a column lie at about
    one place.
    """

    particles: int
    untilted: int
    tilted: int


GLANCE, STARE = Sample(100, 3, 2), Sample(400, 10, 10)
"""Enough for what is as it was said; and before it is said that there is nothing."""


@dataclass(frozen=True)
class Description:
    """p particles as something is assumed about them: AB and A2, NaN for those that lie in no image then."""

    ab: Array
    a2: Array

    def seen(self) -> NDArray[np.bool_]:
        """(p,) those that lie in images."""
        return np.isfinite(self.ab)

    def of(self, kept: NDArray[np.bool_]) -> ParticleFits:
        """Of some of them."""
        return ParticleFits(self.ab[kept], self.a2[kept])

    @property
    def value(self) -> float:
        """L of those that lie in images."""
        return self.of(self.seen()).value

    def better_than(self, other: Description) -> Evidence | None:
        """For this description of the same images; None where too few particles lie in images both ways."""
        both = self.seen() & other.seen()
        if np.count_nonzero(both) < FEWEST_PARTICLES:
            return None
        return Evidence.of(self.of(both).gains() - other.of(both).gains())

    def above(self, other: Description) -> Evidence | None:
        """That particles fit this way and not only as they fit the other one, in other images or orientations;
        None where too few particles lie in images both ways."""
        both = self.seen() & other.seen()
        return Evidence.of((self.ab - other.ab)[both]) if np.count_nonzero(both) >= FEWEST_PARTICLES else None


@dataclass(frozen=True)
class Look:
    """What was looked at. tilts: of a tilt series, to cut images of particles elsewhere out of them; images: of
    the particles where they were said to be. part: how much it is of all images of one half-set."""

    name: str
    model: TiltSeriesModel | StackModel
    particles: ParticleSet
    views: ImageViews[Array]
    references: tuple[CoarseReference, CoarseReference]
    tilts: CoarseTilts | None
    images: CoarseImages
    resolution_A: float
    part: float

    @classmethod
    def at(
        cls,
        population: Population,
        maps: Mapping[str, NDArray[np.float32]],
        report: FSCReport,
        diameter_A: float,
        pixel_size_A: float,
        sets: Mapping[str, ParticleSet],
        sample: Sample = GLANCE,
    ) -> Look | None:
        """At the series or stack with most particles. maps: half1, half2, mask; sets: by item id. None where
        nothing could be concluded: too few particles, maps without signal, images that are not here, or bad, which
        is for who works with them to say."""
        identity, particles = max(sets.items(), key=lambda one: (len(one[1]), one[0]))
        reach = reach_A(report)
        if len(particles) < FEWEST_PARTICLES or reach is None:
            return None
        resolution = max(reach, FINEST_A, diameter_A / FINEST_PART)
        item = population.item(identity)
        whole = population.model(item)
        rows = np.linspace(0, len(particles) - 1, min(len(particles), sample.particles)).astype(np.int64)
        particles = particles.part(rows)
        model, tilts_part = whole, 1.0
        if isinstance(whole, TiltSeriesModel):
            model = _few_tilts(whole, sample)
            tilts_part = float(model.use.sum() / max(whole.use.sum(), 1))
        passed = through_prior("fsc", maps["half1"], maps["half2"], maps["mask"], report, pixel_size_A)
        first, second = (
            CoarseReference.of(half * maps["mask"], pixel_size_A, resolution)
            for half in (passed.half1, passed.half2)
        )
        views = views_of(model, particles)
        raw_pixel_A = population.source(item.source).pixel_size_A
        lens, load = Lens.of(diameter_A, resolution, raw_pixel_A), population.image_loader(item, model)
        tilts: CoarseTilts | None = None
        try:
            if isinstance(model, StackModel):
                seen = coarse_stack(load, model, views, lens)
            else:
                tilts = CoarseTilts.of(load, model, views.optics, lens)
                seen = tilts.cut(views)
        except UNUSABLE:
            return None
        if seen is None:
            return None
        part = tilts_part * len(particles) / (sum(map(len, sets.values())) / 2)
        return cls(item.name, model, particles, views, (first, second), tilts, seen, resolution, part)

    def placed(self, turned: Array | None = None) -> Placed:
        """The images, with slices as the table says, or of rows that are multiplied by (3, 3) or (p, 3, 3)."""
        rows = self.views.rows
        if turned is not None:
            rows = rows @ (turned if turned.ndim == 2 else turned[:, None])
        return Placed.of(self.images, self.references, self.particles.half, self.views.position_A, rows)

    def placed_as(self, particles: ParticleSet) -> Placed | None:
        """Particles that lie elsewhere, or are turned otherwise; None where none lies in an image."""
        views = views_of(self.model, particles)
        images = self.images if self.tilts is None else self.tilts.cut(views)
        if images is None:
            return None
        return Placed.of(images, self.references, self.particles.half, views.position_A, views.rows)

    def describe(self, placed: Placed | None, shift_A: Array | None = None) -> Description:
        """How particles fit. shift_A: (m, 2) by which they lie elsewhere in images."""
        ab, a2 = np.full((2, len(self.particles)), np.nan)
        if placed is not None:
            fits, seen = placed.fits(shift_A)
            ab[seen], a2[seen] = fits.ab, fits.a2
        return Description(ab, a2)


def _few_tilts(model: TiltSeriesModel, sample: Sample) -> TiltSeriesModel:
    """The series with no more than a few of the least exposed of its tilts in use."""
    used = np.flatnonzero(model.use)
    used = used[np.argsort(model.exposure[used], kind="stable")]
    tilted = used[np.abs(model.angles_deg[used]) > TILTED_DEG]
    chosen = np.union1d(used[: sample.untilted], tilted[: sample.tilted])
    return replace(model, use=np.isin(np.arange(model.n_tilts), chosen))
