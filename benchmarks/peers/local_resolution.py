"""Local resolution beside relion_postprocess --locres (Debian package `relion`), on half-maps with planted truth.

    python -m benchmarks local_resolution [--quick]

Both programs are whole processes on one thread and read the same MRC files. The truth is what `planted_resolution`
planted: a ball of wedges, each with a local FSC that falls to 0.143 at its own frequency.
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
from scipy.ndimage import distance_transform_edt

from benchmarks.measure import Usage, machine, run_measured, show
from benchmarks.phantoms.planted_resolution import Planted, planted
from mpop.formats.images import read_map, write_map

PIXEL_A = 1.5
PHANTOMS = {
    "four domains, SNR 30": ((4.0, 5.5, 8.0, 12.0), 30.0),
    "three domains, SNR 100": ((3.6, 5.0, 7.0), 100.0),
    "one domain, SNR 8": ((6.0,), 8.0),
}
"""Resolutions, and the ratio of signal to noise power at low frequency."""
UNRESOLVED_A = 50.0
"""What a voxel without a resolution counts as."""


@dataclass(frozen=True)
class Result:
    """Errors of a program on one phantom.

    error: mean |ln(found / planted)| over the particle. inner: by planted resolution, median and standard
    deviation over voxels that are farther than their resolution from another region. filtered: squared error of
    the filtered map against the signal, scaled to fit, over the signal's square.
    """

    error: float
    inner: dict[float, tuple[float, float]]
    filtered: float
    usage: Usage


def command(program: str, folder: Path) -> list[str]:
    """What measures the half-maps in a folder."""
    if program == "mpop":
        files = [str(folder / f"run_half{half}_class001_unfil.mrc") for half in (1, 2)]
        mask, out = str(folder / "mask.mrc"), str(folder / "mpop")
        start = "from mpop.cli.main import main; main()"
        return [sys.executable, "-c", start, "local-resolution", *files, "--mask", mask, "--out", out]
    options = f"--locres --angpix {PIXEL_A} --mask mask.mrc --adhoc_bfac 0 --o relion"
    # RELION writes a PDF into a folder of the name of its output, which must be there
    relion = f"mkdir relion && exec relion_postprocess --i run_half1_class001_unfil.mrc {options}"
    return ["sh", "-c", f"cd {folder} && {relion}"]


def outputs(program: str, folder: Path) -> tuple[Path, Path]:
    """Local resolution and filtered map."""
    stem = folder / "mpop/locres" if program == "mpop" else folder / "relion_locres"
    return stem.with_suffix(".mrc"), stem.with_name(f"{stem.name}_filtered.mrc")


def measure(program: str, one: Planted, folder: Path) -> Result:
    """Run one program and compare with the truth."""
    usage = run_measured(command(program, folder), folder)
    resolution, filtered = (read_map(path)[0].astype(np.float64) for path in outputs(program, folder))
    truth, particle = one.resolution_A, one.resolution_A > 0
    found = np.where(resolution > 0, resolution, UNRESOLVED_A)
    error = float(np.abs(np.log(found[particle] / truth[particle])).mean())
    inner = {}
    for value in sorted(set(truth[particle].tolist())):
        region = truth == value
        deep = np.asarray(distance_transform_edt(region)) * one.pixel_size_A > value
        inner[value] = (float(np.median(found[deep])), float(found[deep].std()))
    return Result(error, inner, filter_error(filtered[particle], one.signal[particle]), usage)


def filter_error(found: np.ndarray, signal: np.ndarray) -> float:
    """Squared error after the best scale, over the signal's square."""
    scale = float((found * signal).sum() / max(float(np.square(found).sum()), 1e-30))
    return float(np.square(scale * found - signal).sum() / np.square(signal).sum())


def run(quick: bool = False) -> None:
    """Plant, measure, print."""
    box = 80 if quick else 128
    programs = ["mpop"]
    if shutil.which("relion_postprocess"):
        programs.append("RELION")
    else:
        print("relion_postprocess is not installed (Debian: apt install relion): mpop alone is measured")
    for number, (name, (resolutions_A, low_snr)) in enumerate(PHANTOMS.items()):
        one = planted(box, PIXEL_A, resolutions_A, low_snr, seed=number)
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            for half, volume in enumerate((one.half1, one.half2), start=1):
                write_map(folder / f"run_half{half}_class001_unfil.mrc", volume, PIXEL_A)
            write_map(folder / "mask.mrc", one.mask, PIXEL_A)
            results = [measure(program, one, folder) for program in programs]
        show(f"{name}, {box}^3, {machine()}", ["", *programs], rows(results))


def rows(results: Sequence[Result]) -> list[list[str]]:
    """Lines of the table."""
    lines = [["mean |ln(found / planted)|", *(f"{one.error:.3f}" for one in results)]]
    for value in results[0].inner:
        cells = (one.inner[value] for one in results)
        lines.append([f"planted {value:g} A: median, sd", *(f"{median:.2f}, {sd:.2f}" for median, sd in cells)])
    lines.append(["error of the filtered map", *(f"{one.filtered:.3f}" for one in results)])
    lines.append(["CPU time, s", *(f"{one.usage.cpu_s:.1f}" for one in results)])
    lines.append(["peak memory, MiB", *(f"{one.usage.peak_MiB:.0f}" for one in results)])
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks local_resolution", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smaller box")
    run(parser.parse_args().quick)
