"""`mpop fsc` beside relion_postprocess (Debian package `relion`): the same half-maps and mask, to the same files.

    python -m benchmarks resolution [--quick]

Speed and memory count whole processes, so that mpop's hold the start of Python and the pictures of its report. The
second table is what random phases do to the B-factor and the resolution of one pair of half-maps.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.measure import Usage, machine, run_measured, show
from mpop.formats.images import write_map
from mpop.formats.star import read_star
from mpop.maps.filters import multiply_radially
from mpop.maps.masks import soft_sphere

PIXEL_SIZE_A = 1.5
BOXES = (128, 256, 400)
SEEDS = range(1, 9)  # to RELION, 0 and 1 are one
SCATTER_BOX = 96


@dataclass(frozen=True)
class Found:
    """What a program found in one run, and what that took."""

    resolution_A: float
    b_factor_A2: float
    usage: Usage


def write_half_maps(folder: Path, box: int, b_factor_A2: float, noise: float) -> None:
    """half1.mrc, half2.mrc, mask.mrc: points in a sphere of a third of the box, blurred by a B-factor, with white
    noise of a standard deviation relative to the signal's."""
    rng = np.random.default_rng(box)
    radius = box * PIXEL_SIZE_A / 3
    mask = soft_sphere(box, PIXEL_SIZE_A, radius + 2 * PIXEL_SIZE_A, 8 * PIXEL_SIZE_A)
    points = (rng.random((box,) * 3, dtype=np.float32) < 0.05) & (mask == 1)
    frequency = np.arange(box) / (box * PIXEL_SIZE_A)
    truth = multiply_radially(points.astype(np.float32), np.exp(-b_factor_A2 / 4 * np.square(frequency)))
    truth /= truth[mask == 1].std()
    write_map(folder / "mask.mrc", mask, PIXEL_SIZE_A)
    for name in ("half1", "half2"):
        half = truth + noise * rng.standard_normal(truth.shape, dtype=np.float32)
        write_map(folder / f"{name}.mrc", half, PIXEL_SIZE_A)


def mpop_fsc(folder: Path, seed: int) -> Found:
    """`mpop fsc --out`."""
    maps = [str(folder / f"{name}.mrc") for name in ("half1", "half2", "mask")]
    out = folder / "mpop"
    start = [sys.executable, "-c", "from mpop.cli.main import main; main()"]
    options = ["--mask", maps[2], "--seed", str(seed), "--out", str(out)]
    usage = run_measured([*start, "fsc", *maps[:2], *options], folder)
    report = json.loads((out / "report.json").read_text())
    return Found(report["relion_final_resolution_A"], report["b_factor_A2"], usage)


def relion_postprocess(folder: Path, seed: int) -> Found:
    """The same by RELION."""
    out = folder / "relion"
    out.mkdir(exist_ok=True)
    maps = [str(folder / f"{name}.mrc") for name in ("half1", "half2", "mask")]
    command = ["relion_postprocess", "--i", maps[0], "--i2", maps[1], "--mask", maps[2], "--o", str(out / "post")]
    options = ["--auto_bfac", "--low_pass", "-1", "--angpix", f"{PIXEL_SIZE_A}", "--random_seed", str(seed)]
    usage = run_measured([*command, *options], folder)
    general = read_star(out / "post.star")["general"].iloc[0]
    return Found(float(general["rlnFinalResolution"]), float(general["rlnBfactorUsedForSharpening"]), usage)


def programs() -> dict[str, Callable[[Path, int], Found]]:
    """Those that are installed."""
    found: dict[str, Callable[[Path, int], Found]] = {"mpop": mpop_fsc}
    if shutil.which("relion_postprocess"):
        found["RELION"] = relion_postprocess
    else:
        print("relion_postprocess is not installed (Debian: apt install relion): mpop alone is measured")
    return found


def run(quick: bool = False) -> None:
    """Generate, measure, print."""
    rows = []
    for box in BOXES[:1] if quick else BOXES:
        with tempfile.TemporaryDirectory() as folder:
            write_half_maps(Path(folder), box, 100.0, 0.5)
            for name, program in programs().items():
                found = program(Path(folder), 1)
                used = found.usage
                row = (f"{used.cpu_s:.1f}", f"{used.wall_s:.1f}", f"{used.peak_MiB:.0f}")
                rows.append((f"{box}^3, {name}", *row, f"{found.resolution_A:.2f}", f"{found.b_factor_A2:.1f}"))
    header = ("", "CPU s", "wall s", "peak MiB", "resolution, A", "B, A^2")
    show(f"Resolution and sharpened map of two half-maps ({machine()})", header, rows)
    scatter()


def scatter() -> None:
    """B-factor and resolution of one pair of half-maps with one set of random phases after the other."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write_half_maps(Path(folder), SCATTER_BOX, 300.0, 0.5)
        for name, program in programs().items():
            every = [program(Path(folder), seed) for seed in SEEDS]
            factors, resolutions = [one.b_factor_A2 for one in every], [one.resolution_A for one in every]
            cells = [f"{value:.1f}" for value in (np.mean(factors), np.std(factors), min(factors), max(factors))]
            rows.append((name, *cells, f"{min(resolutions):.2f} to {max(resolutions):.2f}"))
    header = ("", "mean B, A^2", "sd", "least", "most", "resolution, A")
    show(f"One pair of half-maps, {len(SEEDS)} seeds of the random phases, {SCATTER_BOX}^3", header, rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Resolution of half-maps: mpop beside relion_postprocess")
    parser.add_argument("--quick", action="store_true", help="small maps only")
    run(parser.parse_args().quick)
