"""Map jobs run again from their records, for `mpop reproduce`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mpop.errors import StateError
from mpop.jobs.maps.input import HalfMaps, from_species
from mpop.jobs.progress import Progress
from mpop.population import Population
from mpop.records.models import JobRecord

Run = Callable[[Population, HalfMaps, JobRecord, str, Progress], Any]


def analyse_again(
    population: Population, job: JobRecord, device: str, threads: int, progress: Progress
) -> JobRecord:
    """Run a map job on the species that it names, as HEAD has it; returns the new record.

    Raises StateError for a job that depends on a file outside of the population.
    """
    before = set(population.jobs())
    species = next(iter(job.inputs)).split("/")[-1].removesuffix(".json")
    try:
        AGAIN[job.verb](population, from_species(population, species), job, device, progress)
    except TypeError as error:
        raise StateError(f"job {job.id[:10]} has parameters that this mpop does not know; update mpop?") from error
    made = set(population.jobs()) - before
    return population.jobs()[made.pop()]


def _fsc(population: Population, maps: HalfMaps, job: JobRecord, device: str, progress: Progress) -> None:
    from mpop.jobs.maps.fsc import FSCParameters, fsc_of_species

    if job.parameters.get("mtf") is not None or "against" in job.parameters:
        raise StateError(f"job {job.id[:10]} read a file that is not in the population, and cannot be run again")
    fsc_of_species(population, maps, FSCParameters(**job.parameters, seed=job.seed))


def _fsc3d(population: Population, maps: HalfMaps, job: JobRecord, device: str, progress: Progress) -> None:
    from mpop.jobs.maps.directional import directional_resolution_of_species

    directional_resolution_of_species(population, maps, **job.parameters)


def _local(population: Population, maps: HalfMaps, job: JobRecord, device: str, progress: Progress) -> None:
    from mpop.jobs.maps.local_resolution import Parameters, of_species

    of_species(population, maps, Parameters(**job.parameters))


def _orientations(population: Population, maps: HalfMaps, job: JobRecord, device: str, progress: Progress) -> None:
    from mpop.jobs.maps.orientations import orientations_of_species

    orientations_of_species(population, maps.name, **job.parameters, progress=progress)


def _denoise(population: Population, maps: HalfMaps, job: JobRecord, device: str, progress: Progress) -> None:
    from mpop.jobs.maps.denoise import denoise_species
    from mpop.networks.denoiser import DenoiseOptions

    options = DenoiseOptions(**job.parameters, seed=job.seed, devices=(device,))
    denoise_species(population, maps, options, progress, device, job.threads)


def _correct(population: Population, maps: HalfMaps, job: JobRecord, device: str, progress: Progress) -> None:
    from mpop.jobs.maps.correct import correct_species
    from mpop.networks.correction import CorrectionOptions

    chosen = dict(job.parameters)
    hold_out = chosen.pop("hold_out")
    options = CorrectionOptions(**chosen, seed=job.seed, devices=(device,))
    correct_species(population, maps, options, hold_out, progress, device, job.threads)


AGAIN: dict[str, Run] = {
    "fsc": _fsc,
    "fsc3d": _fsc3d,
    "local-resolution": _local,
    "orientations": _orientations,
    "denoise": _denoise,
    "correct": _correct,
}
