"""A small refinement by the installed RELION, with mpop as its program for reconstructions."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from mpop.simulation.stacks import StackParameters, simulate_stack

needs_relion = pytest.mark.skipif(not shutil.which("relion_refine_mpi"), reason="needs RELION 3.1")

MPOP = f"{Path(sys.executable).parent / 'mpop'} relion-external-reconstruct"
SMALL = StackParameters(
    particles=60,
    box=32,
    pixel_size_A=6.0,
    signal_to_noise=1.0,
    preferred_spread_deg=30.0,
    others=0.1,
    pose_angle_rms_deg=4.0,
    per_micrograph=30,
)


@dataclass(frozen=True)
class RelionRun:
    """A finished call: exit code and what it printed."""

    folder: Path
    returncode: int
    out: str
    err: str


def environment(executable: str) -> dict[str, str]:
    """For MPI as root on few cores, with a program for reconstructions."""
    return {
        **os.environ,
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_mpi_yield_when_idle": "1",
        "OMP_NUM_THREADS": "1",
        "RELION_EXTERNAL_RECONSTRUCT_EXECUTABLE": executable,
    }


def make_stack(folder: Path) -> Path:
    """The small stack that `refine` runs on."""
    simulate_stack(folder, SMALL)
    return folder


def refine(folder: Path, output: str, executable: str, *options: str) -> RelionRun:
    """`relion_refine_mpi --auto_refine` with local searches, in the folder of a stack."""
    (folder / output).parent.mkdir(parents=True, exist_ok=True)
    command = ["mpirun", "-n", "3", "--oversubscribe", "relion_refine_mpi", "--o", output, "--auto_refine"]
    command += ["--i", "particles.star", "--ref", "reference.mrc", "--ini_high", "30", "--split_random_halves"]
    command += ["--healpix_order", "3", "--auto_local_healpix_order", "3", "--sigma_ang", "3"]
    command += ["--offset_range", "2", "--offset_step", "2", "--ctf", "--ctf_corrected_ref"]
    command += ["--particle_diameter", "150", "--zero_mask"]
    command += [
        "--solvent_mask",
        "mask.mrc",
        "--solvent_correct_fsc",
        "--flatten_solvent",
        "--j",
        "1",
        "--pad",
        "2",
    ]
    command += ["--external_reconstruct", "--dont_combine_weights_via_disc", "--random_seed", "1", *options]
    done = subprocess.run(
        command, cwd=folder, env=environment(executable), capture_output=True, text=True, check=False
    )
    return RelionRun(folder, done.returncode, done.stdout, done.stderr)
