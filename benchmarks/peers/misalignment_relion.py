"""Misaligned particles with a preferred orientation: RELION 3.1 alone, and with mpop's reconstructions.

    python -m benchmarks misalignment_relion [--folder DIR] [--particles N] [--seed N]

The data and what is reported are those of `benchmarks.quality.misalignment`; give both the same folder. RELION
refines by local searches from the same poses and half-maps (their mean, as it takes one reference) until it has
converged by itself.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import run_measured
from benchmarks.phantoms.misaligned_stack import DATA, DIAMETER_A, Outcome, judge, make_stack
from mpop.formats.images import read_map
from mpop.formats.stack_tables import read_stack_table

MPOP = f"{Path(sys.executable).parent / 'mpop'} relion-external-reconstruct --start-resolution 30"
EXECUTABLES = {"RELION": "relion_external_reconstruct", "RELION with mpop": MPOP}
ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_mpi_yield_when_idle": "1",  # or waiting would count as CPU time
}
SETTINGS = {
    "--i": "particles.star",
    "--ref": "reference.mrc",
    "--ini_high": "12",  # half-maps agree to 10 A
    "--healpix_order": "4",  # 3.75 degrees, 1.9 oversampled; priors of 3.75 around the poses, which are off by 2.9
    "--auto_local_healpix_order": "4",
    "--sigma_ang": "3",
    "--offset_range": "3",  # pixels
    "--offset_step": "1",
    "--particle_diameter": str(1.25 * DIAMETER_A),
    "--solvent_mask": "mask.mrc",
    "--pad": "2",
    "--j": "1",
    "--random_seed": "1",
}
FLAGS = [
    "--auto_refine",
    "--split_random_halves",
    "--ctf",
    "--ctf_corrected_ref",  # or the first iteration leaves out the CTF, and the poses are lost
    "--zero_mask",
    "--flatten_solvent",
    "--solvent_correct_fsc",
    "--external_reconstruct",
    "--dont_combine_weights_via_disc",
]


def refined(data: Path, name: str, executable: str) -> Outcome:
    """Refine to convergence, judge. Output goes to a folder of that name beside the data."""
    output = data / name
    output.mkdir(parents=True)
    environment = {**ENVIRONMENT, "RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE": executable}
    command = ["env", "-C", str(data), *(f"{key}={value}" for key, value in environment.items())]
    command += ["mpirun", "-n", "3", "--oversubscribe", "relion_refine_mpi", "--o", f"{name}/run", *FLAGS]
    command += [word for setting in SETTINGS.items() for word in setting]
    with tempfile.TemporaryDirectory() as log:
        usage = run_measured(command, Path(log))
    half1, half2 = (read_map(output / f"run_half{half}_class001_unfil.mrc")[0] for half in (1, 2))
    pixel = DATA.pixel_size_A
    return judge(read_stack_table(output / "run_data.star"), (half1, half2), pixel, data, usage.cpu_s)


def run(folder: Path | None = None, particles: int = DATA.particles, seed: int = DATA.seed) -> dict[str, Outcome]:
    """Make the data, unless they are there, refine both ways, print."""
    outcomes = {}
    if not shutil.which("relion_refine_mpi"):
        print("RELION is not installed: left out")
        return outcomes
    with tempfile.TemporaryDirectory() as scratch:
        data = folder or Path(scratch) / "data"
        make_stack(data, particles, seed)
        print(Outcome.HEADING)
        for number, (name, executable) in enumerate(EXECUTABLES.items()):
            outcomes[name] = refined(data, f"relion_{number}", executable)
            print(outcomes[name].line(name), flush=True)
    return outcomes


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks misalignment_relion", description=__doc__)
    parser.add_argument("--folder", type=Path, help="where the data are, or are to be left")
    parser.add_argument("--particles", type=int, default=DATA.particles)
    parser.add_argument("--seed", type=int, default=DATA.seed)
    arguments = parser.parse_args()
    run(arguments.folder, arguments.particles, arguments.seed)
