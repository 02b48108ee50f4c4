"""Tilt series of molecules that lie alike: what the reference's prior does for multi-particle refinement.

    python -m benchmarks tilt_series_priors [--folder DIR] [--seed N] [--spread DEG] [--others PART]

Simulates tilt series with planted deformations whose molecules lie with one axis along the beam. Tilting to
60 degrees leaves a cone of 30 degrees around that axis in which next to nothing is measured. The same start is
refined with each prior. Reported for each species: CPU seconds of the job, errors of particles and of the image
warp, the part of the gap between the imported parameters and the true ones that is closed, and the mean FSC with
the true map to 12 A, within 35 degrees of the axis and elsewhere. The maps that are compared are reconstructions
alone.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.phantoms.misaligned_stack import fsc_by_cone
from mpop.formats.images import read_map
from mpop.jobs.demo import import_simulation
from mpop.jobs.evaluate import evaluate
from mpop.jobs.refine import refine
from mpop.jobs.refine_parameters import RefineParameters
from mpop.jobs.truth import WarpEvaluation
from mpop.maps.filters import resize
from mpop.refinement.priors import Prior
from mpop.simulation.parameters import SimulationParameters
from mpop.simulation.tilt_series import SimulationSummary, simulate_tilt_series

PRIORS: tuple[Prior, ...] = ("none", "fsc", "isotropic", "denoise")
DATA = SimulationParameters(
    series=3,
    tilts=31,
    particles=60,
    image_size=640,
    pixel_size_A=4.0,
    pose_shift_rms_A=4.0,
    pose_angle_rms_deg=5.0,
    preferred_spread_deg=15.0,
    others=0.05,
)
CONE_DEG = 35.0
FINEST_A = 12.0


@dataclass(frozen=True)
class Outcome:
    """Of one species. warp_A: RMS of what is left of all series' image warp; FSC are means to `FINEST_A`."""

    species: str
    cpu_s: float
    position_A: float
    rotation_deg: float
    warp_A: float
    gap_closed: float | None
    inside: float
    outside: float

    def line(self, name: str) -> str:
        """A row of the table."""
        closed = np.nan if self.gap_closed is None else self.gap_closed
        return (
            f"{name:10} {self.species:14} {self.cpu_s:7.1f} {self.position_A:7.2f} {self.rotation_deg:7.2f} "
            f"{self.warp_A:7.2f} {closed:7.3f} {self.inside:7.3f} {self.outside:7.3f}"
        )


def warp_error(evaluated: list[WarpEvaluation]) -> float:
    """RMS length of recovered minus planted warp, A; a shift that all tilts share is where the origin lies."""
    left = [one.recovered_A - one.planted_A for one in evaluated]
    return float(np.sqrt(np.mean([np.square(field - field.mean((0, 1, 2))).sum(-1).mean() for field in left])))


def refined(summary: SimulationSummary, folder: Path, prior: Prior, iterations: int) -> list[Outcome]:
    """Import, refine with one prior, judge."""
    population, imported = import_simulation(folder, summary)
    started = time.process_time()
    refine(population, RefineParameters(iterations=iterations, prior=prior))
    cpu_s = time.process_time() - started
    evaluation = evaluate(population, summary.directory / "truth", imported)
    warp_A = warp_error(evaluation.warps)
    outcomes = []
    for found in evaluation.species:
        species = population.one_species(found.name)
        maps = population.maps(species)
        truth = resize(read_map(summary.directory / "truth" / f"{species.name}_map.mrc")[0], species.box)
        mean = (maps["half1"] + maps["half2"]) / 2
        inside, outside = fsc_by_cone(
            mean * maps["mask"], truth * maps["mask"], species.pixel_size_A, CONE_DEG, FINEST_A
        )
        position_A, rotation_deg = found.position_rms_A.after, found.rotation_rms_deg.after
        outcomes.append(
            Outcome(found.name, cpu_s, position_A, rotation_deg, warp_A, found.gap_closed, inside, outside)
        )
    return outcomes


def run(
    parameters: SimulationParameters, folder: Path | None = None, iterations: int = 4
) -> dict[str, list[Outcome]]:
    """Simulate, refine with every prior, print."""
    outcomes = {}
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        summary = simulate_tilt_series(Path(scratch) / "data", parameters)
        print(
            f"{'prior':10} {'species':14} {'CPU-s':>7} {'A':>7} {'degrees':>7} {'warp, A':>7} {'closed':>7} "
            f"{'in cone':>7} {'outside':>7}"
        )
        for prior in PRIORS:
            outcomes[prior] = refined(summary, Path(scratch) / prior, prior, iterations)
            for one in outcomes[prior]:
                print(one.line(prior), flush=True)
    return outcomes


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks tilt_series_priors", description=__doc__)
    parser.add_argument("--folder", type=Path, help="an existing folder for what is in between")
    parser.add_argument("--iterations", type=int, default=4)
    parser.add_argument("--seed", type=int, default=DATA.seed)
    parser.add_argument("--spread", type=float, default=DATA.preferred_spread_deg)
    parser.add_argument("--others", type=float, default=DATA.others)
    arguments = parser.parse_args()
    chosen = replace(DATA, seed=arguments.seed, preferred_spread_deg=arguments.spread, others=arguments.others)
    run(chosen, arguments.folder, arguments.iterations)
