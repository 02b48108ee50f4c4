"""The demo: simulate, import, commit, refine, verify, and compare with the truth.

data/         the simulated Warp project, its truth apart
population/   what mpop makes of it
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mpop.errors import StateError
from mpop.jobs.environment import peak_GiB
from mpop.jobs.evaluate import Evaluation, evaluate
from mpop.jobs.importing.source import add_source
from mpop.jobs.importing.species import add_species
from mpop.jobs.refine import RefineResult, refine
from mpop.jobs.refine_parameters import RefineParameters
from mpop.jobs.verify import VerifyReport, verify
from mpop.population import Population
from mpop.run import Progress, Run, silent
from mpop.simulation.parameters import SimulationParameters
from mpop.simulation.tilt_series import SimulationSummary, simulate_tilt_series
from mpop_store.paths import inside

IMPORT_DATE = "1767225600 +0000"
"""2026-01-01: the import commit of the same data has the same hash whenever it is made."""


@dataclass(frozen=True)
class DemoRun:
    """What the demo made and what there is to say about it. imported: the commit before refinement."""

    population: Population
    simulated: SimulationSummary
    imported: str
    refined: RefineResult
    verified: VerifyReport
    evaluation: Evaluation
    wall_s: float
    peak_GiB: float

    @property
    def resolutions_A(self) -> dict[str, list[float | None]]:
        """Species -> resolution of the imported half-maps, then after each iteration."""
        jobs = self.refined.jobs
        return {
            one.name: [
                jobs[0].resolution_before_A[one.name],
                *(job.resolution_after_A[one.name] for job in jobs),
            ]
            for one in self.evaluation.species
        }


def _quiet(stage: str) -> None:
    pass


def run_demo(
    folder: str | Path,
    parameters: SimulationParameters,
    refinement: RefineParameters,
    run: Run = Run(),
    announce: Callable[[str], None] = _quiet,
) -> DemoRun:
    """Everything in one go into a new or empty folder; `announce` hears what happens next.

    Raises StateError when the folder holds something.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise StateError(f"{folder} is not empty; remove it or name another folder")
    started = time.perf_counter()
    announce("simulating tilt series with planted deformations")
    simulated = simulate_tilt_series(folder / "data", parameters, run)
    announce("importing them into a population")
    population, imported = import_simulation(folder / "population", simulated, run.progress)
    announce("refining")
    refined = refine(population, refinement, run)
    announce("verifying every object and every version")
    verified = verify(population, run.progress)
    announce("comparing with the truth")
    truth = simulated.directory / "truth"
    evaluation = evaluate(population, truth, imported, refined.commits[-1], run)
    wall_s = time.perf_counter() - started
    return DemoRun(population, simulated, imported, refined, verified, evaluation, wall_s, peak_GiB())


def import_simulation(
    folder: str | Path, simulated: SimulationSummary, progress: Progress = silent, force: bool = False
) -> tuple[Population, str]:
    """A new population with the simulated project and its species; it, and the commit that holds them.

    force: in spite of what is doubted of the species.
    """
    population = Population.init(folder, "demo")
    project = simulated.directory
    add_source(population, "simulated", project / "warp_tiltseries.settings", progress=progress)
    for one in simulated.species:
        folder = project / "species"
        half1, half2, mask = (inside(folder, f"{one.name}_{kind}.mrc") for kind in ("half1", "half2", "mask"))
        particles = inside(folder, f"{one.name}_particles.star")
        add_species(population, one.name, half1, half2, mask, particles, one.diameter_A, one.symmetry, force=force)
    with _commit_date(IMPORT_DATE):
        return population, population.commit("Import simulated tilt series")


@contextlib.contextmanager
def _commit_date(date: str) -> Iterator[None]:
    """Commits inside the block carry this date."""
    names = ("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, date))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
