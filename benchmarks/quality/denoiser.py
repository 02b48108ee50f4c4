"""Denoising of half-maps of a particle with a rigid and a floppy part, against filters that know no places.

python -m benchmarks denoiser [--quick]
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import get_args

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from benchmarks.measure import show
from benchmarks.phantoms.helices import helices
from mpop.maps.filters import inverse, multiply_radially, resample, transform
from mpop.maps.fsc import fsc_report
from mpop.maps.local_filter import local_filter
from mpop.maps.local_resolution import local_resolution
from mpop.maps.masks import soft_edge
from mpop.networks.denoiser import DenoiseOptions, Networks, denoise

SWING_DEG, SLIDE_A = 8.0, 2.0
"""Standard deviations of the floppy part's rotation about its hinge, about each axis, and of its shift."""
ALL_CONFORMERS, CONFORMERS_OF_A_HALF = 4000, 300
B_FACTOR_A2 = 180.0
SNR_AT_RESOLUTION = 0.143 / (1 - 0.143)

Array = NDArray[np.float64]
Map = NDArray[np.float32]


@dataclass(frozen=True)
class FloppyPhantom:
    """truth: the mean of all conformers; rigid, floppy: where either part is; all (z, y, x)."""

    truth: Map
    half1: Map
    half2: Map
    mask: Map
    rigid: NDArray[np.bool_]
    floppy: NDArray[np.bool_]
    pixel_size_A: float

    def errors(self, volume: Map) -> tuple[float, float, float]:
        """Square error as part of the truth's square: within the mask, in the rigid part, in the floppy part."""
        parts = (self.mask > 0.5, self.rigid, self.floppy)
        errors = [np.square(volume - self.truth)[part].sum() / np.square(self.truth)[part].sum() for part in parts]
        return float(errors[0]), float(errors[1]), float(errors[2])


def floppy_phantom(
    box: int = 96, pixel_size_A: float = 2.0, resolution_A: float = 5.5, seed: int = 0
) -> FloppyPhantom:
    """A core of helices, and a domain that swings about a hinge, other conformers of it in either half.

    Noise is white, and louder below 30 A where CTFs transfer little; its power is such that the FSC of all within
    the mask would be 0.143 about at the resolution.
    """
    rng = np.random.default_rng(seed)
    core = helices(rng, 700, radius_A=52.9) * 0.95 - (20.7, 0, 0)
    domain = helices(rng, 220, radius_A=39.1) * 0.9 + (50.6, 0, 0)

    def swung(conformers: int) -> Map:
        return _density(_conformers(domain, conformers, rng), 1 / conformers, box, pixel_size_A)

    rigid, floppy = _density(core, 1.0, box, pixel_size_A), swung(ALL_CONFORMERS)
    truth = rigid + floppy
    signals = [rigid + swung(CONFORMERS_OF_A_HALF) for _ in range(2)]
    noises = [_noise(box, pixel_size_A, rng) for _ in range(2)]
    smooth, smooth_rigid, smooth_floppy = (
        gaussian_filter(each, 4 / pixel_size_A) for each in (truth, rigid, floppy)
    )
    mask = soft_edge(smooth > 0.06 * smooth.max(), pixel_size_A, 10.0)
    in_core = smooth_rigid > 0.06 * smooth.max()
    in_domain = (smooth_floppy > 0.03 * smooth.max()) & ~in_core
    shell = np.abs(_radius(box, pixel_size_A) - 1 / resolution_A) < 0.5 / (box * pixel_size_A)
    power = [np.square(np.abs(transform(each * mask)[shell])).mean() for each in (truth, noises[0])]
    loud = np.float32(np.sqrt(power[0] / power[1] / SNR_AT_RESOLUTION))
    half1, half2 = (np.asarray(s + loud * n, dtype=np.float32) for s, n in zip(signals, noises, strict=True))
    return FloppyPhantom(truth, half1, half2, mask, in_core, in_domain, pixel_size_A)


def _conformers(domain: Array, conformers: int, rng: np.random.Generator) -> Array:
    hinge = np.array([23.0, 0, 0])
    turns = Rotation.from_rotvec(np.deg2rad(SWING_DEG) * rng.normal(size=(conformers, 3)))
    shifts = SLIDE_A * rng.normal(size=(conformers, 3))
    return np.concatenate([turn.apply(domain - hinge) + hinge + s for turn, s in zip(turns, shifts, strict=True)])


def _density(points_A: Array, weight: float, box: int, pixel_size_A: float) -> Map:
    """Points spread over the voxels of a grid twice as fine, blurred by the B-factor."""
    size = 2 * box
    place = points_A[:, ::-1] * 2 / pixel_size_A + box
    corner = np.floor(place).astype(np.int64)
    part = place - corner
    fine = np.zeros(size**3)
    for offset in np.ndindex(2, 2, 2):
        share = np.prod(np.where(offset, part, 1 - part), axis=1)
        index = np.ravel_multi_index(tuple((corner + offset).T), (size,) * 3)
        fine += np.bincount(index, weight * share, minlength=size**3)
    volume = resample(fine.reshape((size,) * 3).astype(np.float32), box)
    envelope = np.exp(-B_FACTOR_A2 / 4 * np.square(_radius(box, pixel_size_A)))
    return inverse((transform(volume) * envelope).astype(np.complex64), box)


def _noise(box: int, pixel_size_A: float, rng: np.random.Generator) -> Map:
    loudness = 1 + 2 * np.exp(-np.square(30 * _radius(box, pixel_size_A)) / 2)
    white = rng.standard_normal((box,) * 3, dtype=np.float32)
    return inverse((transform(white) * loudness).astype(np.complex64), box)


def _radius(box: int, pixel_size_A: float) -> Array:
    """Of coefficients in rfftn layout, 1/A."""
    full, half = (np.square(each(box, pixel_size_A)) for each in (scipy.fft.fftfreq, scipy.fft.rfftfreq))
    return np.sqrt(full[:, None, None] + full[None, :, None] + half)


def low_passed(phantom: FloppyPhantom) -> tuple[Map, Map]:
    """Half-map 1 and the mean by the best filter over shells, up to the resolution, within the mask."""
    report = fsc_report(phantom.half1, phantom.half2, phantom.mask, phantom.pixel_size_A)
    assert report.resolution_A is not None
    fsc = np.clip(report.corrected.correlation, 0, 1) * (report.corrected.frequency <= 1 / report.resolution_A)
    mean = (phantom.half1 + phantom.half2) / np.float32(2)
    return (
        multiply_radially(phantom.half1, fsc) * phantom.mask,
        multiply_radially(mean, 2 * fsc / (1 + fsc)) * phantom.mask,
    )


def run(quick: bool = False) -> None:
    """Print errors to truth and CPU seconds; quick: half the voxels along each edge, fewer steps."""
    phantom = floppy_phantom(64, 3.0, 8.0) if quick else floppy_phantom()
    rows = []

    def add(name: str, volume: Map, seconds: str) -> None:
        rows.append([name, *(f"{error:.4f}" for error in phantom.errors(volume)), seconds])

    half, mean = low_passed(phantom)
    add("half-map, FSC low-pass", half, "-")
    add("mean, FSC low-pass", mean, "-")
    started = time.process_time()
    unfiltered = np.asarray((phantom.half1 + phantom.half2) / 2, dtype=np.float32)
    local = local_resolution(phantom.half1, phantom.half2, phantom.mask, phantom.pixel_size_A)
    filtered = local_filter(unfiltered, phantom.mask, local, phantom.pixel_size_A)
    add("mean, filtered by local resolution", filtered, f"{time.process_time() - started:.1f}")
    for networks in get_args(Networks):
        started = time.process_time()
        options = DenoiseOptions(networks=networks, steps=100 if quick else None)
        done = denoise(phantom.half1, phantom.half2, phantom.mask, phantom.pixel_size_A, options)
        seconds = f"{time.process_time() - started:.0f}"
        add(f"half-map, {networks} networks", done.half1, seconds)
        add(f"mean, {networks} networks", done.mean, seconds)
    show("Square error to truth, in parts of the truth", ["map", "all", "rigid", "floppy", "CPU s"], rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks denoiser", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small map")
    run(parser.parse_args().quick)
