"""Training steps per CPU-second, beside spIsoNet: the same network, batch and size of cubes, one thread.

    python -m benchmarks training [--quick] [--spisonet CHECKOUT --spisonet-python PYTHON]

CHECKOUT: of github.com/IsoNet-cryoET/spIsoNet. PYTHON: one with mrcfile, numpy, scikit-image, torch and tqdm.
Each program is started for few and for many steps, by turns; the difference is what steps cost, without the start.
With spIsoNet's loss mpop does spIsoNet's arithmetic, gradients through targets included; `mpop correct` has a loss
of its own, which asks the network once per step.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import mrcfile
import numpy as np
import torch

from benchmarks.measure import console, machine, run_measured, show
from benchmarks.peers.steps.paper_loss import FourTermLoss
from mpop.networks.correction_loss import CorrectionLoss
from mpop.networks.cubes import Places, Split
from mpop.networks.devices import arithmetic
from mpop.networks.filters import filter_of_cubes
from mpop.networks.rotations import CUBE_ROTATIONS
from mpop.networks.training import Plan, train
from mpop.networks.unet import UNet

WIDTH, EDGE, BATCH, BOX = 16, 32, 2, 64
CUBES = 16
"""Written for the peer, which goes through them once per epoch: 8 steps."""

PEER, SAME_LOSS, OWN_LOSS = "spIsoNet", "mpop, same loss", "mpop correct"

Case = tuple[str, int, bool]
"""Program, half-maps, and whether all multiplications are in float32."""

CASES: tuple[Case, ...] = (
    (PEER, 2, True),
    (SAME_LOSS, 2, True),
    (SAME_LOSS, 2, False),
    (PEER, 1, True),
    (SAME_LOSS, 1, True),
    (SAME_LOSS, 1, False),
    (OWN_LOSS, 1, True),
    (OWN_LOSS, 1, False),
)


def run(
    quick: bool = False, spisonet: Path | None = None, spisonet_python: Path | None = None, repeats: int = 3
) -> None:
    """Measure and print."""
    driver = Path(__file__).with_name("steps") / "spisonet_training.py"
    peer = [str(spisonet_python), str(driver), str(spisonet)] if spisonet and spisonet_python else None
    cases = [case for case in CASES if case[0] != PEER or peer]
    if len(cases) < len(CASES):
        console.print("spIsoNet is left out: say --spisonet CHECKOUT and --spisonet-python PYTHON to have it")
    few, many = (1, 2) if quick else (1, 3)
    seconds: dict[Case, list[float]] = {case: [] for case in cases}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_cubes(folder)
        for _ in range(1 if quick else repeats):
            for case in cases:
                short, long = (_cpu_seconds(case, epochs, folder, peer or []) for epochs in (few, many))
                seconds[case].append((long - short) / ((many - few) * CUBES // BATCH))
    rows = []
    for case, found in seconds.items():
        program, halves, exact = case
        step = statistics.median(found)
        against = seconds.get((PEER, halves, True))
        ratio = f"{statistics.median(against) / step:.2f}" if against else "-"
        spread = f"{min(found):.2f}, {max(found):.2f}"
        numbers = "float32" if exact else str(arithmetic(torch.device("cpu")).multiply).removeprefix("torch.")
        rows.append([program, numbers, str(halves), f"{step:.3f}", spread, f"{1 / step:.2f}", ratio])
    title = f"Training, {BATCH} cubes of {EDGE}^3, U-Net of width {WIDTH}; {machine()}"
    show(title, ["", "numbers", "halves", "CPU-s / step", "from, to", "steps / CPU-s", "ratio"], rows)


def _cpu_seconds(case: Case, epochs: int, folder: Path, peer: list[str]) -> float:
    program, halves, exact = case
    if program == PEER:
        command = [*peer, str(folder), str(WIDTH), str(epochs), str(halves)]
    else:
        command = [sys.executable, "-m", "benchmarks.peers.training", "--steps", str(epochs * CUBES // BATCH)]
        command += ["--halves", str(halves), *(["--exact"] if exact else [])]
        command += ["--own-loss"] if program == OWN_LOSS else []
    return run_measured(command, folder).cpu_s


def _write_cubes(folder: Path) -> None:
    """For the peer, which reads them from disk at every step."""
    radius = np.hypot(*np.meshgrid(*[np.fft.fftfreq(EDGE)] * 2, indexing="ij"))
    cone = np.abs(np.fft.fftfreq(EDGE))[:, None, None] <= radius
    np.save(folder / "filter.npy", np.fft.fftshift(cone).astype(np.float32))
    maps = _maps(2)
    corners = np.random.default_rng(1).integers(0, BOX - EDGE + 1, size=(CUBES, 3))
    for number, volume in enumerate(maps, start=1):
        (folder / f"half{number}").mkdir()
        for name, corner in enumerate(corners):
            with mrcfile.new(folder / f"half{number}/{name:03}.mrc") as file:
                file.set_data(volume[tuple(slice(at, at + EDGE) for at in corner)].copy())


def _maps(halves: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((halves, BOX, BOX, BOX)).astype(np.float32)


def train_here(steps: int, halves: int, exact: bool, own_loss: bool) -> None:
    """What one measured process of mpop does."""
    axis = np.abs(np.fft.fftfreq(BOX))
    cone = axis[:, None, None] <= np.hypot(axis[:, None], np.fft.rfftfreq(BOX))
    filters = {EDGE: filter_of_cubes(cone.astype(np.float32), EDGE)}
    loss, maps = FourTermLoss(filters, through_targets=True), _maps(halves)
    if own_loss:
        loss, maps = CorrectionLoss(filters, CUBE_ROTATIONS, halves), _maps(halves * (3 + len(CUBE_ROTATIONS)))
    corners = np.random.default_rng(1).integers(0, BOX - EDGE + 1, size=(CUBES, 3))
    cubes = Split(Places(EDGE, corners + EDGE // 2), None)
    plan = Plan(steps=steps, batch=BATCH, micro_batch=BATCH, learning_rate=3e-4)
    train(UNet(WIDTH), loss, torch.from_numpy(maps), cubes, plan, [arithmetic(torch.device("cpu"), exact)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks training", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer steps, once")
    parser.add_argument("--spisonet", type=Path, help="a checkout of IsoNet-cryoET/spIsoNet")
    parser.add_argument("--spisonet-python", type=Path, help="a Python with what its training needs")
    parser.add_argument("--steps", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--halves", type=int, default=2, help=argparse.SUPPRESS)
    parser.add_argument("--exact", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--own-loss", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--repeats", type=int, default=3, help="how often everything is measured")
    arguments = parser.parse_args()
    if arguments.steps is not None:
        train_here(arguments.steps, arguments.halves, arguments.exact, arguments.own_loss)
    else:
        run(arguments.quick, arguments.spisonet, arguments.spisonet_python, arguments.repeats)
