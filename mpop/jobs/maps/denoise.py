"""`mpop denoise`: two half-maps without their noise, and whether that is better than a low-pass.

Works on half-maps from files or on a species of a population. Of a species, the denoised maps are committed with
the job and the network with the species, whose half-maps stay as they were measured; the next job goes on from it.

How far a denoised half-map is from the signal can be estimated without knowing the signal: the other half-map is
the signal plus noise that has nothing to do with the first one's. What is left between them, less that noise, is
error.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpop.doubts import Doubt, reported, settle
from mpop.formats.images import write_map
from mpop.geometry.frequencies import last_shell
from mpop.jobs.leasing import leased
from mpop.jobs.maps.analysis import Analysis
from mpop.jobs.maps.checking import map_doubts
from mpop.jobs.maps.finding import Finding
from mpop.jobs.maps.input import HalfMaps, Map, of_job
from mpop.jobs.maps.slices import slices_of
from mpop.jobs.maps.verdict import Verdict
from mpop.jobs.spec import JobSpec
from mpop.maps.filters import low_pass, multiply_radially, transform
from mpop.maps.fsc import fsc, fsc_report
from mpop.maps.shells import shell_means
from mpop.maps.whitening import amplitudes
from mpop.networks.denoiser import Denoised, DenoiseOptions, Denoiser, Networks, denoise, fitting
from mpop.population import Population
from mpop.records.models import SpeciesHead
from mpop.run import Run, limited
from mpop_store.paths import inside

CLEARLY = 0.05
"""A change of the error by less than this part is none."""
SHARED_COST = (
    "One network learned from both half-maps, as in M: noise that they share by chance may be kept in both. "
    "Networks of their own exclude that (--networks independent)."
)
NO_RESOLUTION = "Do not measure resolution between denoised half-maps: both were cut to one shape."


@limited
def denoise_half_maps(
    maps: HalfMaps,
    options: DenoiseOptions | None = None,
    denoiser: Denoiser | None = None,
    run: Run = Run(),
    force: bool = False,
) -> tuple[Finding, Denoiser]:
    """Denoise and judge; also the networks, to go on from. Raises InputError for maps without a mask, and
    DoubtfulInputError for maps of which something grave is doubted, unless forced.

    Arrays of the finding: half1, half2, map, low_pass (z, y, x), the last the mean of the half-maps weighted by
    their FSC up to the resolution; by shell fsc_before, fsc_after, and power (3, k) of the mean as it was,
    low-passed, denoised. Slices of the mean as it was, of the two maps, of what was removed, and of the mask.

    Of half-maps without a resolution the solvent's level is left: in the coarsest shells of noise, which hold few
    coefficients, a network finds agreement that is chance.
    """
    options = options or DenoiseOptions()
    mask = maps.required_mask()
    report = fsc_report(maps.half1, maps.half2, mask, maps.pixel_size_A, copies=maps.copies)
    doubts = settle(map_doubts(maps, mask, report), force)
    done = denoise(maps.half1, maps.half2, mask, maps.pixel_size_A, options, denoiser, run, maps.copies)
    if done.report.resolution_A is None:
        level1, level2, level = (_level(half, mask) for half in (maps.half1, maps.half2, maps.mean()))
        half1, half2, mean = (np.full_like(maps.half1, one) for one in (level1, level2, level))
        done = replace(done, half1=half1, half2=half2, mean=mean)
    return _finding(maps, options, done, doubts), done.denoiser


def _writes(population: Population, maps: HalfMaps, *_: object, **__: object) -> list[str]:
    return [] if maps.species is None else [maps.species.id]


@limited
@leased("denoise", _writes)
def denoise_species(
    population: Population,
    maps: HalfMaps,
    options: DenoiseOptions | None = None,
    run: Run = Run(),
    force: bool = False,
) -> tuple[Finding, str]:
    """Denoise the half-maps of a species from its last denoiser on, and commit the maps and the new denoiser.

    A denoiser of another kind is replaced by one that is trained anew; numbers["replaced"] then names its kind.
    """
    assert maps.species is not None
    options = options or DenoiseOptions()
    last = stored_denoiser(population, maps.species)
    if last is not None and last.suits(options):
        planned = fitting(options.model_copy(update={"width": last.width}), maps.box, continued=True)
    else:
        planned = fitting(options, maps.box)
    analysis = Analysis.of(population, maps.species, "denoise", planned.parameters, planned.seed, run)
    found, learned = denoise_half_maps(maps, planned, last, run, force)
    if last is not None and not found.numbers["continued"]:
        found = replace(found, numbers={**found.numbers, "replaced": last.kind})
    changed = {"denoiser_object": population.write_group(learned.to_arrays())}
    numbers = found.numbers
    done = analysis.commit(found.arrays, numbers, numbers["verdict"], numbers["warnings"], changed)
    return found, done.commit


def run(population: Population, spec: JobSpec, run: Run) -> str:
    """Run a recorded job; the commit."""
    options = DenoiseOptions(**dict(spec.parameters), seed=spec.seed)
    return denoise_species(population, of_job(population, spec), options, run, force=True)[1]


def networks_of(population: Population | None, species: SpeciesHead | None) -> Networks:
    """The kind of denoiser to train when none is asked for: what the species has, else one for both half-maps."""
    last = None if population is None or species is None else stored_denoiser(population, species)
    return "shared" if last is None else last.kind


def stored_denoiser(population: Population, species: SpeciesHead) -> Denoiser | None:
    """The denoiser that a species has; None when it has none yet."""
    if species.denoiser_object is None:
        return None
    return Denoiser.from_arrays(population.read_group(species.denoiser_object))


def write_files(found: Finding, directory: Path) -> list[Path]:
    """half1.mrc, half2.mrc, map.mrc; returns their paths."""
    names = ("half1", "half2", "map")
    for name in names:
        write_map(inside(directory, f"{name}.mrc"), found.arrays[name], found.numbers["pixel_size_A"])
    return [inside(directory, f"{name}.mrc") for name in names]


def _finding(maps: HalfMaps, options: DenoiseOptions, done: Denoised, doubts: list[Doubt]) -> Finding:
    mask = maps.required_mask()
    halves = [_without_level(half, mask) for half in (maps.half1, maps.half2)]
    results = [_without_level(half, mask) for half in (done.half1, done.half2)]
    kept = _fsc_weights(done)
    low_passed = [multiply_radially(half, kept) * mask for half in halves]
    mean_kept = 2 * kept / (1 + kept)
    mean = (halves[0] + halves[1]) / np.float32(2)
    weighted = multiply_radially(mean, mean_kept) * mask
    before = low_pass((maps.half1 + maps.half2) / 2, maps.pixel_size_A, done.limit_A)
    removed = (before - done.mean) * mask
    drawn = {"before": before, "low_pass": weighted, "map": done.mean, "removed": removed, "mask": mask}
    flat = _flattening(halves, maps, done)
    arrays = {
        "half1": done.half1,
        "half2": done.half2,
        "map": done.mean,
        "low_pass": weighted,
        "fsc_before": done.report.corrected.correlation,
        "fsc_after": fsc(results[0], results[1], maps.pixel_size_A).correlation,
        "power": np.stack([_power(each) for each in (mean * mask, weighted, _without_level(done.mean, mask))]),
        **slices_of(drawn),
    }
    errors = (_error(low_passed, halves, mask, flat), _error(results, halves, mask, flat))
    return Finding(_numbers(maps, options, done, errors, doubts), arrays)


def _without_level(half: Map, mask: Map) -> Map:
    return half - _level(half, mask)


def _level(half: Map, mask: Map) -> np.float32:
    """Of the solvent."""
    solvent = mask == 0
    return np.float32(half[solvent].mean() if solvent.any() else 0.0)


def _fsc_weights(done: Denoised) -> NDArray[np.float64]:
    """What the best filter by shells keeps of a half-map."""
    curve, resolution = done.report.corrected, done.report.resolution_A
    if resolution is None:
        return np.zeros(len(curve.correlation))
    return np.where(curve.frequency <= 1 / resolution, np.clip(curve.correlation, 0.0, 1.0), 0.0)


def _power(volume: Map) -> NDArray[np.float64]:
    spectrum = transform(volume)
    return shell_means(np.square(np.abs(spectrum)))


def _flattening(halves: list[Map], maps: HalfMaps, done: Denoised) -> NDArray[np.float64]:
    """By shells up to the finest that the denoiser looked at."""
    amplitude = amplitudes(halves[0], halves[1], maps.required_mask(), maps.pixel_size_A)
    last = last_shell(maps.box, maps.pixel_size_A, done.limit_A)
    return 1 / amplitude[: last + 1]


def _error(results: list[Map], halves: list[Map], mask: Map, flat: NDArray[np.float64]) -> float | None:
    """Square difference of results and signal, flattened, as part of the signal's square; None without signal."""
    first, second = (multiply_radially(half * mask, flat) for half in halves)
    signal = float(np.vdot(first, second))
    if signal <= 0:
        return None
    noise = float(np.square(first - second).sum()) / 2
    apart = [
        float(np.square(multiply_radially(result, flat) - other).sum())
        for result, other in zip(results, (second, first), strict=True)
    ]
    return (sum(apart) / 2 - noise) / signal


def _numbers(
    maps: HalfMaps,
    options: DenoiseOptions,
    done: Denoised,
    errors: tuple[float | None, float | None],
    doubts: list[Doubt],
) -> dict[str, Any]:
    """None for what could not be said."""
    verdict = _verdict(options, done, errors)
    return {
        "name": maps.name,
        "box": maps.box,
        "pixel_size_A": maps.pixel_size_A,
        "verdict": verdict.sentence,
        "tone": verdict.tone,
        "reasons": list(verdict.reasons),
        "resolution_A": done.report.resolution_A,
        "limit_A": done.limit_A,
        "error_low_passed": errors[0],
        "error_denoised": errors[1],
        "networks": options.networks,
        "continued": done.continued,
        "replaced": None,
        "seed": options.seed,
        **reported(doubts),
        "training": [asdict(course) for course in done.courses],
    }


def _verdict(options: DenoiseOptions, done: Denoised, errors: tuple[float | None, float | None]) -> Verdict:
    """The plain sentence."""
    low_passed, denoised = errors
    if done.report.resolution_A is None or low_passed is None or denoised is None:
        return Verdict("bad", "The half-maps have no resolution: all of them was removed, as noise is.")
    reasons = [
        f"Error of a half-map, in parts of the signal: {100 * low_passed:.1f} % low-passed by its FSC, "
        f"{100 * denoised:.1f} % denoised (spectra flat beyond 10 A; estimated from the other half-map).",
        NO_RESOLUTION,
        *([SHARED_COST] if options.networks == "shared" else []),
    ]
    if denoised < (1 - CLEARLY) * low_passed:
        part = 100 * (1 - denoised / low_passed)
        return Verdict("good", f"Denoised: {part:.0f} % less error than the low-passed map has.", reasons)
    if denoised <= (1 + CLEARLY) * low_passed:
        return Verdict("good", "Denoised, to no better than a low-pass: noise is alike everywhere.", reasons)
    return Verdict("bad", "Worse than a low-pass: train longer (--steps), or use the map of mpop fsc.", reasons)
