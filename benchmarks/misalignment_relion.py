"""Misaligned particles with a preferred orientation: RELION 3.1 alone, and with mpop's reconstructions.

    python -m benchmarks.misalignment_relion [--folder DIR] [--particles N]

The data and what is reported are those of `benchmarks.misalignment`; give both the same folder. RELION refines by
local searches from the same poses and reference until it has converged by itself.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.measure import run_measured
from benchmarks.misalignment import DATA, DIAMETER_A, Outcome, judge
from mpop.formats.images import read_map
from mpop.formats.stack_tables import read_stack_table
from mpop.simulation.stacks import simulate_stack

MPOP = f"{Path(sys.executable).parent / 'mpop'} relion-external-reconstruct --start-resolution 30"
EXECUTABLES = {"RELION": "relion_external_reconstruct", "RELION, mpop": MPOP}
ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_mpi_yield_when_idle": "1",  # or waiting would count as CPU time
}


def refined(data: Path, name: str, executable: str, healpix_order: int = 3) -> Outcome:
    """Refine to convergence, judge. Output goes to a folder of that name beside the data."""
    output = data / name
    output.mkdir(parents=True)
    settings = {**ENVIRONMENT, "RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE": executable}
    command = ["env", "-C", str(data), *(f"{key}={value}" for key, value in settings.items())]
    command += ["mpirun", "-n", "3", "--oversubscribe", "relion_refine_mpi", "--o", f"{name}/run"]
    command += ["--i", "particles.star", "--ref", "reference.mrc", "--ini_high", "20", "--auto_refine"]
    command += ["--split_random_halves", "--healpix_order", str(healpix_order), "--sigma_ang", "4"]
    command += ["--auto_local_healpix_order", str(healpix_order), "--offset_range", "6", "--offset_step", "2"]
    command += ["--ctf", "--particle_diameter", str(1.25 * DIAMETER_A), "--zero_mask", "--flatten_solvent"]
    command += ["--solvent_mask", "mask.mrc", "--solvent_correct_fsc", "--pad", "2", "--j", "1"]
    command += ["--external_reconstruct", "--dont_combine_weights_via_disc", "--random_seed", "1"]
    with tempfile.TemporaryDirectory() as log:
        usage = run_measured(command, Path(log))
    half1, half2 = (read_map(output / f"run_half{half}_class001_unfil.mrc")[0] for half in (1, 2))
    pixel = DATA.pixel_size_A
    return judge(read_stack_table(output / "run_data.star"), (half1, half2), pixel, data, usage.cpu_s)


def run(folder: Path | None = None, particles: int = DATA.particles) -> dict[str, Outcome]:
    """Simulate, unless the data are there, refine both ways, print."""
    outcomes = {}
    if not shutil.which("relion_refine_mpi"):
        print("RELION is not installed: left out")
        return outcomes
    with tempfile.TemporaryDirectory() as scratch:
        data = folder or Path(scratch) / "data"
        if not (data / "particles.star").exists():
            simulate_stack(data, replace(DATA, particles=particles))
        print(f"{'program':12} {'CPU-s':>8} {'median':>8} {'RMS':>8} {'rare':>8} {'in cone':>8} {'outside':>8}")
        for number, (name, executable) in enumerate(EXECUTABLES.items()):
            outcomes[name] = refined(data, f"relion_{number}", executable)
            print(outcomes[name].line(name), flush=True)
    return outcomes


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.misalignment_relion", description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the data are, or are to be left")
    parser.add_argument("--particles", type=int, default=DATA.particles)
    arguments = parser.parse_args()
    run(arguments.folder, arguments.particles)
