"""Import of 200,000 particles, beside reading their table alone with starfile.

    python -m benchmarks importing [--quick]

1,000 stacks of 200 images with the 26 columns of RELION's refined tables, and 20 tilt series with 10,000 particles
each. Images are tiny: hashing and looking at large ones takes what the disk takes, whoever does it. Each command
runs in a process of its own, on one thread. Aims: less than 10 CPU-seconds for each; a tenth of it in checks.
For small images, half of what checks take is the start of compiled kernels, which nothing else needs here.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd

from benchmarks.measure import Usage, machine, run_measured, show
from mpop.formats.star import write_star
from mpop.simulation.parameters import SimulationParameters
from mpop.simulation.stacks import StackParameters, simulate_stack
from mpop.simulation.tilt_series import simulate_tilt_series

MPOP = str(Path(sys.executable).with_name("mpop"))
STACKS, IMAGES = 1_000, 200
SERIES, PARTICLES = 20, 10_000
PIXEL_A, IMAGE_SIZE = 4.0, 8
TILT_PIXEL_A = 5.0
PEER = "starfile.read"
READ_WITH_STARFILE = "import sys, starfile; starfile.read(sys.argv[1], always_dict=True)"


@dataclass(frozen=True)
class Data:
    """A project on disk. name: in words; source: what `source add` is given; maps: half1, half2, mask."""

    name: str
    source: list[str]
    table: Path
    maps: list[Path]
    diameter_A: float

    @property
    def species(self) -> list[str]:
        """What `species add` is given."""
        half1, half2, mask = map(str, self.maps)
        files = ["--half1", half1, "--half2", half2, "--mask", mask, "--particles", str(self.table)]
        return ["one", *files, "--diameter", f"{self.diameter_A:g}", "--force"]


def columns(rng: np.random.Generator, count: int) -> dict[str, object]:
    """What RELION writes of each particle beside its image, place and optics."""
    return {
        "rlnCtfMaxResolution": rng.uniform(3, 6, count),
        "rlnCtfFigureOfMerit": rng.uniform(0, 0.3, count),
        "rlnClassNumber": np.ones(count, np.int64),
        "rlnAutopickFigureOfMerit": rng.uniform(0, 2, count),
        "rlnAngleRot": rng.uniform(-180, 180, count),
        "rlnAngleTilt": np.rad2deg(np.arccos(rng.uniform(-1, 1, count))),
        "rlnAnglePsi": rng.uniform(-180, 180, count),
        "rlnOriginXAngst": rng.normal(0, 3, count),
        "rlnOriginYAngst": rng.normal(0, 3, count),
        "rlnNormCorrection": rng.normal(1, 0.05, count),
        "rlnLogLikeliContribution": rng.normal(5e4, 100, count),
        "rlnMaxValueProbDistribution": rng.uniform(0, 1, count),
        "rlnNrOfSignificantSamples": rng.integers(1, 100, count),
        "rlnGroupNumber": rng.integers(1, 40, count),
        "rlnRandomSubset": np.arange(count) % 2 + 1,
        "rlnOpticsGroup": np.ones(count, np.int64),
    }


def optics() -> pd.DataFrame:
    """One optics group."""
    return pd.DataFrame(
        {
            "rlnOpticsGroup": [1],
            "rlnOpticsGroupName": ["opticsGroup1"],
            "rlnVoltage": [300.0],
            "rlnSphericalAberration": [2.7],
            "rlnAmplitudeContrast": [0.1],
            "rlnImagePixelSize": [PIXEL_A],
            "rlnImageSize": [IMAGE_SIZE],
            "rlnImageDimensionality": [2],
        }
    )


def make_stacks(folder: Path, stacks: int) -> Data:
    """Stacks with a table of all their images, one stack per micrograph."""
    simulate_stack(folder / "maps", StackParameters(particles=4, box=48, pixel_size_A=PIXEL_A))
    rng = np.random.default_rng(0)
    count = stacks * IMAGES
    numbers = np.repeat(np.arange(stacks), IMAGES)
    for number in range(stacks):
        path = folder / f"Extract/mic_{number:05d}.mrcs"
        path.parent.mkdir(exist_ok=True)
        with mrcfile.new(path) as mrc:
            mrc.set_data(rng.standard_normal((IMAGES, IMAGE_SIZE, IMAGE_SIZE), dtype=np.float32))
            mrc.set_image_stack()
    defocus = rng.uniform(1e4, 2e4, stacks)[numbers]
    table = pd.DataFrame(
        {
            "rlnCoordinateX": rng.uniform(0, 4000, count),
            "rlnCoordinateY": rng.uniform(0, 4000, count),
            "rlnImageName": [
                f"{n % IMAGES + 1:06d}@Extract/mic_{number:05d}.mrcs" for n, number in enumerate(numbers)
            ],
            "rlnMicrographName": [f"MotionCorr/mic_{number:05d}.mrc" for number in numbers],
            "rlnDefocusU": defocus + 200,
            "rlnDefocusV": defocus - 200,
            "rlnDefocusAngle": rng.uniform(0, 180, count),
            "rlnCtfBfactor": np.zeros(count),
            "rlnCtfScalefactor": np.ones(count),
            "rlnPhaseShift": np.zeros(count),
            **columns(rng, count),
        }
    )
    write_star(folder / "run_data.star", {"optics": optics(), "particles": table})
    maps = [folder / f"maps/{name}.mrc" for name in ("half1", "half2", "mask")]
    source = ["--stack", str(folder / "run_data.star")]
    return Data(f"{count:,} particles in {stacks:,} stacks", source, folder / "run_data.star", maps, 120.0)


def make_tilt_series(folder: Path, series: int) -> Data:
    """Simulated series with a table of particles at random places."""
    parameters = SimulationParameters(
        series=series, tilts=5, particles=2, image_size=512, pixel_size_A=TILT_PIXEL_A
    )
    summary = simulate_tilt_series(folder, parameters)
    rng = np.random.default_rng(0)
    count = series * PARTICLES
    size = np.array(parameters.volume_dims_A) / parameters.pixel_size_A
    table = pd.DataFrame(
        {
            "rlnTomoName": np.repeat([f"{name}.tomostar" for name in summary.series], PARTICLES),
            "rlnTomoParticleId": np.arange(1, count + 1),
            "rlnImageName": [f"Extract/{number:06d}_stack2d.mrcs" for number in range(count)],
            **{
                f"rlnCoordinate{axis}": rng.uniform(0, length, count)
                for axis, length in zip("XYZ", size, strict=True)
            },
            "rlnOriginZAngst": rng.normal(0, 3, count),
            "rlnAngleTiltPrior": np.full(count, 90.0),
            "rlnAnglePsiPrior": rng.uniform(-180, 180, count),
            "rlnTomoVisibleFrames": ["[1,1,1,1,1]"] * count,
            **columns(rng, count),
        }
    )
    groups = optics().assign(rlnTomoTiltSeriesPixelSize=TILT_PIXEL_A, rlnImagePixelSize=TILT_PIXEL_A)
    write_star(folder / "run_data.star", {"optics": groups, "particles": table})
    one = summary.species[0]
    maps = [folder / f"species/{one.name}_{kind}.mrc" for kind in ("half1", "half2", "mask")]
    source = ["--warp", str(folder / "warp_tiltseries.settings")]
    return Data(
        f"{count:,} particles in {series} tilt series", source, folder / "run_data.star", maps, one.diameter_A
    )


def measure(data: Data, folder: Path) -> dict[str, Usage]:
    """What `source add`, `species add` and reading the table alone cost."""
    place = str(folder / "population")
    folder.mkdir()
    run_measured([MPOP, "init", place], folder)
    run = [MPOP, "-C", place]
    return {
        PEER: run_measured([sys.executable, "-c", READ_WITH_STARFILE, str(data.table)], folder),
        "source add": run_measured([*run, "source", "add", "all", *data.source], folder),
        "species add": run_measured([*run, "species", "add", *data.species], folder),
    }


def part_of_checks(data: Data, folder: Path) -> list[tuple[str, float, float]]:
    """Of `source add`, `species add` and both: CPU-seconds of checks, and of all."""
    place, result = str(folder / "population"), folder / "checks.json"
    folder.mkdir()
    run_measured([MPOP, "init", place], folder)
    command = [sys.executable, "-m", "benchmarks.peers.steps.checks", str(result), "-C", place]
    found = []
    for name, arguments in (("source add", ["all", *data.source]), ("species add", data.species)):
        run_measured([*command, *name.split(), *arguments], folder)
        took = json.loads(result.read_text())
        found.append((name, took["checks"], took["whole"]))
    return [*found, ("both", sum(one[1] for one in found), sum(one[2] for one in found))]


def run(quick: bool) -> None:
    """Measure both kinds of data and print what each command costs."""
    parts = 10 if quick else 1
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for make, size in ((make_stacks, STACKS), (make_tilt_series, SERIES)):
            data = make(folder / make.__name__, size // parts)
            found = measure(data, folder / f"{data.table.parent.name}-imported")
            peer = found[PEER].cpu_s
            rows = [
                [
                    name,
                    f"{used.cpu_s:.1f}",
                    f"{used.cpu_s / peer:.2f}",
                    f"{used.wall_s:.1f}",
                    f"{used.peak_MiB:.0f}",
                ]
                for name, used in found.items()
            ]
            title = f"{data.name}, {machine()}, load {os.getloadavg()[0]:.0f}"
            checks = part_of_checks(data, folder / f"{data.table.parent.name}-checked")
            show(title, ["", "CPU-seconds", f"times {PEER}", "wall seconds", "peak MiB"], rows)
            show(
                "of that, checks",
                ["", "CPU-seconds", "of", "part"],
                [[name, f"{part:.2f}", f"{whole:.1f}", f"{part / whole:.0%}"] for name, part, whole in checks],
            )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks importing", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the data")
    run(parser.parse_args().quick)
