"""Scores with all gradients beside projecting only, and beside torch-projectors' forward and backward.

    python -m benchmarks projection [--quick]

Particle images of 64 px against a map of twice that box, on one thread. A gradient step gives the score and its
derivatives by two shifts and all six slice coordinates of every image. torch-projectors is measured where it can
be imported (its wheels need the torch that they were built for:
`pip install --no-binary torch-projectors --no-build-isolation torch-projectors` builds it anew).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from importlib.util import find_spec

import numba
import numpy as np
from scipy.spatial.transform import Rotation

from benchmarks.measure import machine, show
from mpop.projection.disc import HalfDisc
from mpop.projection.reference import Reference, prepare_reference
from mpop.projection.score import project_slices, score_with_gradients

SIZE = 64
PADDING = 2
REPEATS = 7


def cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of the fastest of several runs, after one to compile and warm up."""
    work()
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def run(quick: bool = False) -> None:
    """Measure and print."""
    images = 200 if quick else 2000
    numba.set_num_threads(1)
    rng = np.random.default_rng(0)
    volume = rng.normal(size=(PADDING * SIZE,) * 3).astype(np.float32)
    reference = prepare_reference(volume, 1.0, resolution_A=2.0)
    rotations = Rotation.random(images, rng=rng).as_matrix()
    shifts = rng.normal(size=(images, 2))
    disc = HalfDisc.make(SIZE, SIZE / 2 - 1)
    data = (rng.normal(size=(images, len(disc), 2)) @ [1, 1j]).astype(np.complex64)
    power = rng.random((images, len(disc)), dtype=np.float32)
    rows = PADDING * rotations[:, :2]
    times = {
        "mpop, projecting only": cpu_s(lambda: project_slices(reference, disc, rows)),
        "mpop, score and all gradients": cpu_s(
            lambda: score_with_gradients(reference, disc, data, power, rows, shifts)
        ),
    }
    if find_spec("torch_projectors") is None:
        print("torch-projectors is not installed: mpop alone is measured")
    else:
        times |= _torch_projectors(reference, disc, rotations, shifts, data, power)
    _print(times, images)


def _torch_projectors(
    reference: Reference,
    disc: HalfDisc,
    rotations: np.ndarray,
    shifts: np.ndarray,
    data: np.ndarray,
    power: np.ndarray,
) -> dict[str, float]:
    """The same two steps: slices of the same images, and the same score with gradients by pose and shift."""
    import torch
    from torch_projectors import project_3d_to_2d_forw

    torch.set_num_threads(1)
    box = reference.box
    rng = np.random.default_rng(0)
    volume = torch.from_numpy(rng.normal(size=(box,) * 3).astype(np.float32))
    spectrum = torch.fft.rfftn(volume)[None]
    poses = torch.from_numpy(rotations.astype(np.float32))[None].requires_grad_()
    moves = torch.from_numpy(shifts.astype(np.float32))[None].requires_grad_()
    target = torch.from_numpy(disc.unpack(data))[None]
    weight = torch.from_numpy(disc.unpack(power))[None]

    def project() -> torch.Tensor:
        return project_3d_to_2d_forw(
            spectrum,
            poses,
            moves,
            output_shape=(SIZE, SIZE),
            oversampling=float(PADDING),
            fourier_radius_cutoff=disc.r_max,
        )

    def forward() -> None:
        with torch.no_grad():
            project()

    def step() -> None:
        slices = project()
        agreement = (target.conj() * slices).real.sum((-2, -1))
        energy = (weight * slices.abs().square()).sum((-2, -1))
        (agreement / energy.sqrt()).sum().backward()

    return {
        "torch-projectors, projecting only": cpu_s(forward),
        "torch-projectors, forward and backward": cpu_s(step),
    }


def _print(times: dict[str, float], images: int) -> None:
    gradients = times["mpop, score and all gradients"]
    rows = [(label, f"{images / seconds:.0f}", f"{seconds / gradients:.2f}") for label, seconds in times.items()]
    title = f"{images} images of {SIZE} px from a map of {PADDING * SIZE} ({machine()})"
    show(title, ("", "images per CPU-second", "CPU time / mpop's gradients"), rows)
    forward = times["mpop, projecting only"]
    print(f"All gradients cost {gradients / forward:.2f} projections.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Scores with gradients beside projecting")
    parser.add_argument("--quick", action="store_true", help="fewer images")
    run(parser.parse_args().quick)
