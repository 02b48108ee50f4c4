"""Misaligned particles with a preferred orientation: what the reference's prior does for their poses.

    python -m benchmarks misalignment [--folder DIR] [--particles N] [--seed N]

Makes a stack of which most particles are seen along one axis, with poses that are off and the half-maps that they
give, and refines it from there with each prior. Reported for each: CPU seconds, angular errors of all particles
and of the rare views, and the FSC with the true map, in the cone around the preferred axis, where few views
measure anything, and outside of it. The data stay in the folder, so that other programs can be run on the very
same (`benchmarks.peers.misalignment_relion`).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.phantoms.misaligned_stack import DATA, Outcome, import_stack, judge, make_stack
from mpop.formats.stack_tables import read_stack_table
from mpop.jobs.export_stacks import export_relion
from mpop.jobs.refine import refine
from mpop.jobs.refine_parameters import RefineParameters
from mpop.refinement.priors import Prior

PRIORS: tuple[Prior, ...] = ("none", "fsc", "isotropic")
SEARCH_DEG, SEARCH_A = 10.0, 6.0


def refined(data: Path, folder: Path, prior: Prior, iterations: int) -> Outcome:
    """Import, refine with one prior, judge."""
    population = import_stack(data, folder)
    started = time.process_time()
    refine(
        population, RefineParameters(iterations=iterations, search_deg=SEARCH_DEG, search_A=SEARCH_A, prior=prior)
    )
    cpu_s = time.process_time() - started
    (table,) = export_relion(population, folder.with_suffix(".export"))
    (species,) = population.species().values()
    arrays = population.maps(species)
    return judge(read_stack_table(table), (arrays["half1"], arrays["half2"]), species.pixel_size_A, data, cpu_s)


def run(
    folder: Path | None = None, particles: int = DATA.particles, iterations: int = 4, seed: int = DATA.seed
) -> dict[str, Outcome]:
    """Make the data, unless they are there, refine with every prior, print."""
    outcomes = {}
    with tempfile.TemporaryDirectory() as scratch:
        data = folder or Path(scratch) / "data"
        make_stack(data, particles, seed)
        print(Outcome.HEADING)
        for prior in PRIORS:
            outcomes[prior] = refined(data, Path(scratch) / prior, prior, iterations)
            print(outcomes[prior].line(f"mpop, {prior}"), flush=True)
    return outcomes


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks misalignment", description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the data are, or are to be left")
    parser.add_argument("--particles", type=int, default=DATA.particles)
    parser.add_argument("--iterations", type=int, default=4)
    parser.add_argument("--seed", type=int, default=DATA.seed)
    arguments = parser.parse_args()
    run(arguments.folder, arguments.particles, arguments.iterations, arguments.seed)
