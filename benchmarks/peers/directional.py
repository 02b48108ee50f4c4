"""3DFSC: mpop fsc3d beside spIsoNet's fsc3d, and beside cones summed coefficient by coefficient.

    python -m benchmarks directional [--quick] [--spisonet CHECKOUT --spisonet-python PYTHON]

Whole processes on one thread, from their start to the written volume, at Nyquist. mpop is measured with and
without the report, which is mostly matplotlib. spIsoNet is measured where a checkout of IsoNet-cryoET/spIsoNet is
given, and a Python that has numpy, scipy, mrcfile, fire, tqdm and scikit-image. Its volume is compared with mpop's
function for the same quantity, the mean cosine of phase differences.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import machine, run_measured, show
from mpop.formats.images import read_map, write_map
from mpop.maps.conventions import HALF_ANGLE_DEG
from mpop.maps.directional import conical_fsc, phase_similarity
from mpop.maps.filters import inverse, multiply_radially, transform
from mpop.maps.masks import soft_sphere
from mpop.maps.shells import shell_radius

PIXEL_A = 2.0
CONE_DEG = 45.0
IN_CONE = 0.03
"""Amplitude of the signal within CONE_DEG of z."""
SAMPLE = 3000
"""Coefficients, and directions, at which cones are summed by brute force."""


def run(quick: bool = False, spisonet: Path | None = None, spisonet_python: Path | None = None) -> None:
    """Measure and print."""
    boxes = (64,) if quick else (128, 400)
    with tempfile.TemporaryDirectory() as name:
        rows = []
        for box in boxes:
            folder = Path(name) / str(box)
            folder.mkdir()
            write_maps(folder, box)
            rows.append(_mpop(folder, box, "--no-report"))
            if box == boxes[0]:
                rows.append(_mpop(folder, box))
            if box == boxes[0] and spisonet is not None and spisonet_python is not None:
                rows.append(_spisonet(folder, box, spisonet, spisonet_python))
        show(f"3DFSC to Nyquist, one thread ({machine()})", ("", "box", "CPU s", "wall s", "peak MiB"), rows)
        folder = Path(name) / str(boxes[0])
        _accuracy(folder)
        if (folder / "spisonet.mrc").is_file():
            _agreement(folder)


def write_maps(folder: Path, box: int) -> None:
    """Half-maps of a random ball that lost most of its signal in a cone around z, and a mask."""
    rng = np.random.default_rng(box)
    mask = soft_sphere(box, 1.0, box / 3, 5.0)
    signal = multiply_radially(
        rng.standard_normal(mask.shape, dtype=np.float32) * mask, np.exp(-8 * np.arange(box) / box)
    )
    kz = np.abs(np.fft.fftfreq(box) * box)[:, None, None]
    gain = np.where(kz > shell_radius(box) * np.cos(np.deg2rad(CONE_DEG)), IN_CONE, 1).astype(np.float32)
    signal = inverse(transform(signal / signal[mask > 0.5].std()) * gain, box)
    for half in (1, 2):
        noise = 0.3 * rng.standard_normal(mask.shape, dtype=np.float32)
        write_map(folder / f"half{half}.mrc", signal + noise, PIXEL_A)
    write_map(folder / "mask.mrc", mask, PIXEL_A)


def _mpop(folder: Path, box: int, *options: str) -> list[str]:
    mpop = str(Path(sys.executable).with_name("mpop"))
    maps = [str(folder / f"{name}.mrc") for name in ("half1", "half2")]
    files = ["--mask", str(folder / "mask.mrc"), "--out", str(folder / "-".join(["out", *options]))]
    return _row(" ".join(["mpop fsc3d", *options]), box, [mpop, "fsc3d", *maps, *files, *options], folder)


def _spisonet(folder: Path, box: int, checkout: Path, python: Path) -> list[str]:
    program = checkout / "spIsoNet/bin/spisonet.py"
    maps = [str(folder / f"{name}.mrc") for name in ("half1", "half2", "mask")]
    options = ["--ncpus", "1", "--limit_res", str(2 * PIXEL_A), "--o", str(folder / "spisonet.mrc")]
    environment = ["env", f"PYTHONPATH={checkout}{os.pathsep}"]
    return _row("spIsoNet fsc3d", box, [*environment, str(python), str(program), "fsc3d", *maps, *options], folder)


def _row(name: str, box: int, command: list[str], folder: Path) -> list[str]:
    usage = run_measured(command, folder)
    return [name, str(box), f"{usage.cpu_s:.2f}", f"{usage.wall_s:.2f}", f"{usage.peak_MiB:.0f}"]


def _accuracy(folder: Path) -> None:
    """mpop's curves and volume beside cones summed one coefficient after the other."""
    mask = read_map(folder / "mask.mrc")[0]
    halves = [read_map(folder / f"half{half}.mrc")[0] * mask for half in (1, 2)]
    box = len(mask)
    conical = conical_fsc(halves[0], halves[1], PIXEL_A, volume=True)
    assert conical.volume is not None
    rng = np.random.default_rng(0)
    cones = _Cones(halves[0], halves[1])
    direction = rng.integers(len(conical.correlation), size=SAMPLE)
    shell = rng.integers(FIRST_SHELL, box // 2 + 1, SAMPLE)
    at_directions = [cones.fsc(n, s) for n, s in zip(conical.rings.directions[direction], shell, strict=True)]
    chosen = rng.choice(np.flatnonzero((cones.shell >= FIRST_SHELL).ravel()), SAMPLE)
    k = cones.k.reshape(-1, 3)[chosen]
    expected = [cones.fsc(n / np.linalg.norm(n), s) for n, s in zip(k, cones.shell.ravel()[chosen], strict=True)]
    z, y, x = np.rint(k).astype(int).T[::-1] + box // 2
    rows = [
        _errors("curves of directions", conical.correlation[direction, shell] - at_directions),
        _errors("volume", conical.volume[z, y, x] - expected),
    ]
    header = ("", "rms", "99 % below", "greatest")
    show(f"Difference from brute force in cones of {HALF_ANGLE_DEG:g} degrees, box {box}", header, rows)


FIRST_SHELL = 3
"""Cones may be empty before."""


class _Cones:
    """Coefficients of two maps, kept whole. k: (..., 3) x, y, z; shell: 0 where a coefficient does not count."""

    def __init__(self, half1: NDArray[np.float32], half2: NDArray[np.float32]) -> None:
        box = len(half1)
        axis = np.fft.fftfreq(box) * box
        kz, ky, kx = np.meshgrid(axis, axis, np.arange(box // 2 + 1.0), indexing="ij")
        self.k = np.stack([kx, ky, kz], axis=-1)
        shell = np.rint(np.linalg.norm(self.k, axis=-1)).astype(int)
        paired = np.all(np.abs(self.k) < box / 2, axis=-1)
        self.shell = np.where(paired & (shell <= box // 2), shell, 0)
        first, second = np.fft.rfftn(half1), np.fft.rfftn(half2)
        once = np.where(kx == 0, 0.5, 1.0)
        products = (first * second.conj()).real, np.abs(first) ** 2, np.abs(second) ** 2
        self.products = np.stack([product * once for product in products], axis=-1)
        self.members = [np.flatnonzero(self.shell.ravel() == one) for one in range(box // 2 + 1)]

    def fsc(self, direction: NDArray[np.float64], shell: int) -> float:
        """FSC in the cone around a unit vector."""
        member = self.members[shell]
        k = self.k.reshape(-1, 3)[member]
        inside = np.abs(k @ direction) >= np.cos(np.deg2rad(HALF_ANGLE_DEG)) * np.linalg.norm(k, axis=1)
        cross, power1, power2 = self.products.reshape(-1, 3)[member[inside]].sum(axis=0)
        return float(cross / np.sqrt(power1 * power2))


def _errors(name: str, difference: NDArray[np.floating]) -> list[str]:
    size = np.abs(difference)
    return [name, f"{np.sqrt(np.mean(size**2)):.4f}", f"{np.quantile(size, 0.99):.4f}", f"{size.max():.4f}"]


def _agreement(folder: Path) -> None:
    """spIsoNet's volume beside mpop's of the same quantity, and beside the FSC in cones of the same size."""
    mask = read_map(folder / "mask.mrc")[0]
    halves = []
    for half in (1, 2):
        volume = read_map(folder / f"half{half}.mrc")[0]
        halves.append((volume - volume.mean()) / volume.std() * mask)
    theirs = read_map(folder / "spisonet.mrc")[0]
    axis = np.arange(len(mask)) - len(mask) // 2
    radius = np.rint(np.sqrt(sum(np.square(np.meshgrid(axis, axis, axis)))))
    used = (radius >= FIRST_SHELL) & (radius < len(mask) // 2)
    rows = []
    for name, conical in (
        (
            "mean cosine of phase differences, 10 degrees",
            phase_similarity(halves[0], halves[1], PIXEL_A, volume=True),
        ),
        ("FSC, 10 degrees", conical_fsc(halves[0], halves[1], PIXEL_A, 10.0, volume=True)),
        ("FSC, 20 degrees", conical_fsc(halves[0], halves[1], PIXEL_A, volume=True)),
    ):
        assert conical.volume is not None
        ours = conical.volume[used]
        correlation = np.corrcoef(ours, theirs[used])[0, 1]
        rows.append([name, f"{correlation:.4f}", f"{np.sqrt(np.mean((ours - theirs[used]) ** 2)):.4f}"])
    show("mpop's volume beside spIsoNet's", ("", "correlation", "rms difference"), rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="3DFSC beside spIsoNet's and brute force")
    parser.add_argument("--quick", action="store_true", help="a box of 64 only")
    parser.add_argument("--spisonet", type=Path, help="a checkout of IsoNet-cryoET/spIsoNet")
    parser.add_argument("--spisonet-python", type=Path, help="a Python with what its fsc3d needs")
    arguments = parser.parse_args()
    run(arguments.quick, arguments.spisonet, arguments.spisonet_python)
