"""Refinement of one tilt series against the current half-maps of its species."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mpop.optics.sizes import image_size
from mpop.projection.disc import HalfDisc
from mpop.projection.reference import Reference
from mpop.records.stack import SeriesModel
from mpop.records.tilt_series import ParticleSet
from mpop.refinement.target import SpeciesImages
from mpop.series.extraction import TiltLoader
from mpop.series.opening import request_of, series_of, views_of

if TYPE_CHECKING:  # what cuts images out waits for no torch
    from mpop.networks.denoiser import Denoiser
    from mpop.refinement.system import SeriesSystem

MAX_EVALUATIONS = 40
"""Of cost and gradient, per series and iteration; the optimiser usually stops earlier."""

DETECTED = 12.5
"""Score L below which a species is not refined: for images without particles L is chi^2/2 of one degree of
freedom, so this is five standard deviations."""


@dataclass(frozen=True)
class SpeciesReference:
    """The half-maps of one species through the prior, and how far they are to be trusted. denoiser: what the prior
    learned, if it is one that learns."""

    halves: tuple[Reference, Reference]
    diameter_A: float
    resolution_A: float
    denoiser: Denoiser | None = None


@dataclass(frozen=True)
class SeriesScore:
    """How one pass over a series went. Scores in nats, one per species (nan: not detected, not refined)."""

    before: list[float]
    after: list[float]
    evaluations: int


def _disc(reference: SpeciesReference, size: int, extent_A: float, magnification: NDArray[np.float64]) -> HalfDisc:
    """Components of an image (size pixels, extent_A long) up to the resolution, as far as the reference goes.

    A magnified image's frequencies lie further out in the reference than in the image.
    """
    half = reference.halves[0]
    scale = half.extent_A / extent_A * float(np.linalg.norm(magnification, 2))
    return HalfDisc.make(size, min(extent_A / reference.resolution_A, half.reach / scale))


def gather_images(
    load_tilt: TiltLoader,
    model: SeriesModel,
    particles: list[ParticleSet],
    references: list[SpeciesReference | None],
    pixel_size_A: float,
) -> list[SpeciesImages | None]:
    """Extract and pack the images of all species of a series, up to their resolution; None without reference."""
    discs, requests, chosen = [], [], []
    for number, (species, reference) in enumerate(zip(particles, references, strict=True)):
        if reference is None:
            continue
        chosen.append((number, species, reference))
        size = image_size(reference.diameter_A, pixel_size_A)
        discs.append(_disc(reference, size, size * pixel_size_A, model.magnification))
        view = views_of(model, species)
        requests.append(request_of(model, view, reference.diameter_A, reference.resolution_A, size, pixel_size_A))
    parts: list[list[tuple[NDArray, ...]]] = [[] for _ in chosen]
    for batch in series_of(model).extract(load_tilt, pixel_size_A, requests):
        disc = discs[batch.request]
        tilt = np.full(len(batch.particle), batch.tilt)
        parts[batch.request].append(
            (batch.particle, tilt, batch.origin_px, disc.pack(batch.data), disc.pack(batch.power))
        )
    images: list[SpeciesImages | None] = [None] * len(particles)
    for (number, species, reference), disc, part in zip(chosen, discs, parts, strict=True):
        images[number] = _sorted_by_half(species, reference, disc, part, pixel_size_A)
    return images


def _sorted_by_half(
    species: ParticleSet,
    reference: SpeciesReference,
    disc: HalfDisc,
    parts: list[tuple[NDArray, ...]],
    pixel_size_A: float,
) -> SpeciesImages:
    if not parts:
        nothing = np.zeros(0, np.int64)
        shape = (0, len(disc))
        parts = [
            (
                nothing,
                nothing,
                np.zeros((0, 2), np.int64),
                np.zeros(shape, np.complex64),
                np.zeros(shape, "f4"),
            )
        ]
    particle, tilt, origin, data, power = (np.concatenate(column) for column in zip(*parts, strict=True))
    half = species.half[particle]
    order = np.argsort(half, kind="stable")
    return SpeciesImages(
        references=reference.halves,
        disc=disc,
        particle=particle[order],
        tilt=tilt[order],
        origin_px=origin[order],
        data=data[order],
        power=power[order],
        n_half1=int((half == 1).sum()),
        pixel_size_A=pixel_size_A,
    )


def optimise(
    system: SeriesSystem,
    theta: NDArray[np.float64],
    images: Sequence[SpeciesImages | None],
    device: str = "cpu",
    max_evaluations: int = MAX_EVALUATIONS,
) -> tuple[NDArray[np.float64], SeriesScore]:
    """Minimise the cost from theta by L-BFGS.

    Species whose score does not stand out of noise are left out; if none does, theta comes back as it was.
    """
    from scipy.optimize import minimize  # who only gathers images does without

    before = _scores(system, theta, images, device)
    seen = [None if value < DETECTED else species for value, species in zip(before, images, strict=True)]
    before = [np.nan if species is None else value for value, species in zip(before, seen, strict=True)]
    if all(species is None for species in seen):
        return theta, SeriesScore(before, before, 1)
    scale = system.scales(theta, seen)

    def scaled_cost(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, gradient = system.cost(np.where(scale > 0, x * scale, theta), seen, device)
        return value, gradient * scale

    result = minimize(
        scaled_cost,
        np.divide(theta, scale, out=np.zeros_like(theta), where=scale > 0),
        jac=True,
        method="L-BFGS-B",
        options={"maxcor": 20, "maxfun": max_evaluations, "maxiter": max_evaluations, "ftol": 1e-6},
    )
    theta = np.where(scale > 0, result.x * scale, theta)
    after = _scores(system, theta, seen, device)
    return theta, SeriesScore(before, after, int(result.nfev))


def _scores(
    system: SeriesSystem, theta: NDArray[np.float64], images: Sequence[SpeciesImages | None], device: str
) -> list[float]:
    """L of every species, nan for those that do not take part."""
    scores = iter(system.score(theta, images, device))
    return [np.nan if species is None else next(scores).value for species in images]
