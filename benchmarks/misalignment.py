"""Misaligned particles with a preferred orientation: what the reference's prior does for their poses.

    python -m benchmarks.misalignment [--folder DIR] [--particles N] [--seed N]

Simulates a stack of which most particles are seen along one axis, with poses that are off, and refines it from
the same start with each prior. Reported for each: CPU seconds, angular errors of all particles and of the rare
views, and the FSC with the true map, in the cone around the preferred axis, where few views measure anything, and
outside of it. The data stay in the folder, so that other programs can be run on the very same.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from mpop.formats.images import read_map
from mpop.formats.stack_tables import StackTable, read_stack_table
from mpop.jobs.export_stacks import export_relion
from mpop.jobs.importing.species import add_species
from mpop.jobs.importing.stack import add_stack
from mpop.jobs.refine import RefineParameters, refine
from mpop.maps.filters import resize, transform
from mpop.population import Population
from mpop.refinement.priors import Prior
from mpop.simulation.stacks import StackParameters, simulate_stack

PRIORS: tuple[Prior, ...] = ("none", "fsc", "isotropic")
DATA = StackParameters(
    particles=2000,
    signal_to_noise=0.2,
    preferred_spread_deg=20.0,
    others=0.1,
    pose_angle_rms_deg=5.0,
    pose_shift_rms_A=3.0,
)
DIAMETER_A = 120.0
RARE_DEG = 40.0
"""Views farther than this from the preferred axis, on either side, are rare."""
CONE_DEG = 45.0
FINEST_A = 7.0


@dataclass(frozen=True)
class Outcome:
    """Of one way to refine. Errors are medians and RMS in degrees; FSC are means over shells up to `FINEST_A`."""

    cpu_s: float
    median_deg: float
    rms_deg: float
    rare_rms_deg: float
    inside: float
    outside: float

    def line(self, name: str) -> str:
        """A row of the table."""
        return (
            f"{name:12} {self.cpu_s:8.1f} {self.median_deg:8.2f} {self.rms_deg:8.2f} {self.rare_rms_deg:8.2f} "
            f"{self.inside:8.3f} {self.outside:8.3f}"
        )


def judge(
    poses: StackTable, maps: tuple[np.ndarray, np.ndarray], pixel_size_A: float, data: Path, cpu_s: float
) -> Outcome:
    """Poses and half-maps, of whichever program, against the truth of the simulation."""
    truth = read_stack_table(data / "truth/particles.star")
    order, true_order = np.argsort(poses.image), np.argsort(truth.image)
    assert poses.angles_deg is not None
    assert truth.angles_deg is not None
    found, true = poses.angles_deg[order], truth.angles_deg[true_order]
    turns = [Rotation.from_euler("ZYZ", angles, degrees=True) for angles in (found, true)]
    error = np.rad2deg((turns[0].inv() * turns[1]).magnitude())
    rare = np.abs(true[:, 1] - 90) < 90 - RARE_DEG
    box = len(maps[0])
    mask, map_ = (resize(read_map(data / name)[0], box) for name in ("mask.mrc", "truth/map.mrc"))
    inside, outside = _fsc_by_cone((maps[0] + maps[1]) / 2 * mask, map_ * mask, pixel_size_A)
    return Outcome(
        cpu_s,
        float(np.median(error)),
        float(np.sqrt(np.square(error).mean())),
        float(np.sqrt(np.square(error[rare]).mean())),
        inside,
        outside,
    )


def _fsc_by_cone(first: np.ndarray, second: np.ndarray, pixel_size_A: float) -> tuple[float, float]:
    """Mean FSC inside and outside the double cone around z."""
    box = len(first)
    a, b = (transform(np.fft.ifftshift(volume)) for volume in (first, second))
    k = np.fft.fftfreq(box) * box
    z, y, x = np.meshgrid(k, k, np.fft.rfftfreq(box) * box, indexing="ij")
    radius = np.sqrt(x**2 + y**2 + z**2)
    cone = np.abs(z) > radius * np.cos(np.deg2rad(CONE_DEG))
    shells = slice(2, int(box * pixel_size_A / FINEST_A))
    means = []
    for chosen in (cone, ~cone):
        shell = np.rint(radius[chosen]).astype(int)
        cross = np.bincount(shell, (a * b.conj()).real[chosen])
        power = np.bincount(shell, np.abs(a[chosen]) ** 2) * np.bincount(shell, np.abs(b[chosen]) ** 2)
        means.append(float((cross / np.sqrt(np.maximum(power, 1e-30)))[shells].mean()))
    return means[0], means[1]


def refined(data: Path, folder: Path, prior: Prior, iterations: int) -> Outcome:
    """Import, refine with one prior, judge."""
    population = Population.init(folder)
    add_stack(population, "images", data / "particles.star")
    half1, half2, mask, star = (data / name for name in ("half1.mrc", "half2.mrc", "mask.mrc", "particles.star"))
    add_species(population, "molecule", half1, half2, mask, star, diameter_A=DIAMETER_A)
    population.commit("Import")
    started = time.process_time()
    parameters = RefineParameters(iterations=iterations, search_deg=10.0, search_A=6.0, prior=prior)
    refine(population, parameters)
    cpu_s = time.process_time() - started
    (table,) = export_relion(population, folder.with_suffix(".export"))
    (species,) = population.species().values()
    arrays = population.maps(species)
    return judge(read_stack_table(table), (arrays["half1"], arrays["half2"]), species.pixel_size_A, data, cpu_s)


def run(
    folder: Path | None = None, particles: int = DATA.particles, iterations: int = 4, seed: int = DATA.seed
) -> dict[str, Outcome]:
    """Simulate, unless the data are there, refine with every prior, print."""
    outcomes = {}
    with tempfile.TemporaryDirectory() as scratch:
        data = folder or Path(scratch) / "data"
        if not (data / "particles.star").exists():
            simulate_stack(data, replace(DATA, particles=particles, seed=seed))
        print(f"{'prior':12} {'CPU-s':>8} {'median':>8} {'RMS':>8} {'rare':>8} {'in cone':>8} {'outside':>8}")
        for prior in PRIORS:
            outcomes[prior] = refined(data, Path(scratch) / prior, prior, iterations)
            print(outcomes[prior].line(prior), flush=True)
    return outcomes


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.misalignment", description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the data are, or are to be left")
    parser.add_argument("--particles", type=int, default=DATA.particles)
    parser.add_argument("--iterations", type=int, default=4)
    parser.add_argument("--seed", type=int, default=DATA.seed)
    arguments = parser.parse_args()
    run(arguments.folder, arguments.particles, arguments.iterations, arguments.seed)
