"""Half-maps from particle images: mpop beside relion_reconstruct (Debian package `relion`).

    python -m benchmarks reconstruction [--quick]

Both read the same STAR file and stack, apply the CTF, insert at twofold padding on one thread and write a map
of each half. All processes of a program are measured from their start to their end, so that mpop's figures hold
the start of Python, numpy and numba. mpop makes both halves in one process; relion_reconstruct makes one.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.measure import machine, run_measured, show
from benchmarks.phantoms.helices import BOX, PIXEL_SIZE_A, write_particles
from mpop.formats.images import read_map
from mpop.maps.fsc import FSCCurve, fsc
from mpop.maps.masks import soft_sphere

SHELLS = (5, 10, 15, 20, 25, 30, 35, 40)


@dataclass(frozen=True)
class Result:
    """Usage of both halves together, FSC of their mean with the truth, and of one with the other."""

    images_per_cpu_s: float
    wall_s: float
    peak_MiB: float
    to_truth: FSCCurve
    between_halves: FSCCurve


def commands(name: str, star: Path, outputs: Sequence[Path]) -> list[list[str]]:
    """What makes both half-maps. RELION finds images from the folder of the STAR file."""
    if name == "mpop":
        return [[sys.executable, "-m", "benchmarks.peers.steps.half_maps", str(star), *map(str, outputs)]]
    options = f"--ctf --pad 2 --angpix {PIXEL_SIZE_A}"
    return [
        [
            "sh",
            "-c",
            f"cd {star.parent} && exec relion_reconstruct --i {star.name} --o {output} --subset {half} {options}",
        ]
        for half, output in enumerate(outputs, start=1)
    ]


def measure(name: str, star: Path, images: int, truth: np.ndarray) -> Result:
    """Make both half-maps with one program."""
    outputs = [star.parent / f"{name}_half{half}.mrc" for half in (1, 2)]
    usages = [run_measured(command, star.parent) for command in commands(name, star, outputs)]
    mask = soft_sphere(BOX, PIXEL_SIZE_A, 0.4 * BOX * PIXEL_SIZE_A, 5 * PIXEL_SIZE_A)
    half1, half2 = (read_map(output)[0] * mask for output in outputs)
    return Result(
        images / sum(usage.cpu_s for usage in usages),
        sum(usage.wall_s for usage in usages),
        max(usage.peak_MiB for usage in usages),
        fsc(half1 + half2, truth * mask, PIXEL_SIZE_A),
        fsc(half1, half2, PIXEL_SIZE_A),
    )


def run(quick: bool = False) -> None:
    """Generate, measure, print."""
    images, beads = (400, 300) if quick else (2000, 600)
    programs = ["mpop"]
    if shutil.which("relion_reconstruct"):
        programs.append("RELION")
    else:
        print("relion_reconstruct is not installed (Debian: apt install relion): mpop alone is measured")
    with tempfile.TemporaryDirectory() as folder:
        truth = write_particles(Path(folder), images, beads)
        star = Path(folder) / "particles.star"
        measure("mpop", star, images, truth)  # fills numba's cache
        results = {name: measure(name, star, images, truth) for name in programs}
    _print(results, images)


def _print(results: dict[str, Result], images: int) -> None:
    title = f"Two half-maps of {images // 2} images, {BOX} px, padding 2 ({machine()})"
    header = ("", *results, "ratio") if len(results) == 2 else ("", *results)
    rows = []
    for label, digits, values in _lines(results):
        cells = [f"{value:.{digits}f}" for value in values]
        rows.append((label, *cells, *([f"{values[0] / values[1]:.2f}"] if len(values) == 2 else [])))
    show(title, header, rows)


def _lines(results: dict[str, Result]) -> list[tuple[str, int, list[float]]]:
    """Label, digits after the point, one value per program."""
    every = list(results.values())
    lines = [
        ("images per CPU-second", 0, [one.images_per_cpu_s for one in every]),
        ("wall time, s", 1, [one.wall_s for one in every]),
        ("peak memory of a process, MiB", 0, [one.peak_MiB for one in every]),
        ("half-map FSC = 0.143, A", 2, [one.between_halves.resolution(0.143) or np.nan for one in every]),
        ("FSC to truth = 0.5, A", 2, [one.to_truth.resolution(0.5) or np.nan for one in every]),
    ]
    for shell in SHELLS:
        label = f"FSC to truth at {BOX * PIXEL_SIZE_A / shell:.1f} A"
        lines.append((label, 4, [float(one.to_truth.correlation[shell]) for one in every]))
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Half-maps: mpop beside relion_reconstruct")
    parser.add_argument("--quick", action="store_true", help="fewer images")
    run(parser.parse_args().quick)
