"""Correction of half-maps seen from all sorts of views, without images.

    python -m benchmarks views [--steps N]

A molecule of helices; a half-map of n particles holds each coefficient k with the weight w of their slices,

    half = (w S + sqrt(w) n) / max(w, a tenth of the mean of its shell)
    w    = sum over views v of max(0, 1 - |k . v|)

with S the truth's spectrum and n white noise, as strong as the signal at some resolution. For each case: the FSC
with the truth, mean over shells from 20 A to the limit, of half-map 1 and of the map of both, before and after,
where w is less than 0.2 of a good value (of 0.8 of all directions) and where it is more than 0.4 of it; and the
verdict.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mpop.jobs.maps.correct import correct_half_maps
from mpop.jobs.maps.input import HalfMaps
from mpop.maps.filters import inverse, transform
from mpop.maps.shells import shell_radius
from mpop.networks.correction import CorrectionOptions
from mpop.simulation.starting_maps import make_maps
from mpop.simulation.structures import asymmetric

Map = NDArray[np.float32]
Array = NDArray[np.float64]

EXTENT_A = 153.6
POOR, GOOD = 0.2, 0.4
FLOOR = 0.1


@dataclass(frozen=True)
class Case:
    """Views at latitudes (degrees from the equator) and azimuths, turned about y, and a part from anywhere.

    noise_A: where noise is as strong as the signal; second: that of half-map 2, in parts of half-map 1's. sphere:
    mask of this radius, in parts of the box, in place of the molecule's.
    """

    name: str
    latitude: tuple[float, float] = (45.0, 90.0)
    azimuth: float = 360.0
    others: float = 0.0
    turned_deg: float = 0.0
    particles: int = 1000
    noise_A: float = 6.5
    second: float = 1.0
    sphere: float | None = None
    box: int = 64


CASES = (
    Case("top views, within 15 degrees", (75.0, 90.0)),
    Case("top views, within 30 degrees", (60.0, 90.0)),
    Case("top views, within 45 degrees"),
    Case("top views, within 45 degrees, 2 % others", others=0.02),
    Case("top views, within 70 degrees", (20.0, 90.0)),
    Case("30 degrees around an axis off z by 35, 2 % others", (60.0, 90.0), turned_deg=35.0, others=0.02),
    Case("side views, all around", (0.0, 10.0)),
    Case("side views, over 120 degrees", (0.0, 5.0), azimuth=120.0),
    Case("side views, over 90 degrees", (0.0, 5.0), azimuth=90.0),
    Case("100 particles a half, 45 degrees", particles=100, noise_A=9.0, others=0.02),
    Case("much noise, 45 degrees", noise_A=10.0, others=0.02),
    Case("three times the noise in half-map 2", second=3.0, others=0.02),
    Case("a sphere as mask, 45 degrees", sphere=0.42, others=0.02),
    Case("box 48, 45 degrees", box=48, noise_A=9.0, others=0.02),
    Case("box 49, 45 degrees", box=49, noise_A=9.0, others=0.02),
    Case("box 97, 45 degrees", box=97, others=0.02),
    Case("all views", (-90.0, 90.0)),
    Case("all views, much noise", (-90.0, 90.0), noise_A=10.0),
    Case("all views, box 49", (-90.0, 90.0), noise_A=9.0, box=49),
    Case("all views, three times the noise in half-map 2", (-90.0, 90.0), second=3.0),
)


def run(cases: tuple[Case, ...], options: CorrectionOptions) -> None:
    """Correct and print."""
    print("FSC with the truth, poor / good directions: half-map 1 before -> after, map of both before -> after")
    for case in cases:
        truth, mask = _molecule(case.box)
        if case.sphere is not None:
            mask = np.clip((case.sphere * case.box - _distance(case.box)) / 3, 0, 1).astype(np.float32)
        half1, half2, weight = _half_maps(case, truth)
        pixel_size_A = EXTENT_A / case.box
        found = correct_half_maps(HalfMaps(case.name, half1, half2, mask, pixel_size_A), options)
        after = found.arrays
        limit = round(EXTENT_A / found.numbers["limit_A"])
        print(f"{case.name}, to {EXTENT_A / limit:.1f} A: {_poor(weight, limit):.2f} of the coefficients poor")
        for old, new in ((half1, after["half1"]), ((half1 + half2) / 2, after["map"])):
            before, now = (_agreement(truth * mask, one * mask, weight, limit) for one in (old, new))
            print("    " + " / ".join(f"{a:.3f} -> {b:.3f}" for a, b in zip(before, now, strict=True)))
        print(f"    {found.numbers['verdict']}")


@cache
def _molecule(box: int) -> tuple[Map, Map]:
    """Blurred by 50 A^2, and its mask."""
    maps = make_maps(asymmetric(), EXTENT_A / box, 20.0, np.random.default_rng(0), box)
    spectrum = transform(maps.truth) * np.exp(-12.5 * np.square(shell_radius(box) / EXTENT_A))
    return inverse(spectrum.astype(np.complex64), box), maps.mask


def _distance(box: int) -> Array:
    axis = np.arange(box) - box // 2
    return np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)


def _views(case: Case, rng: np.random.Generator) -> Array:
    """(n, 3) x, y, z."""
    low, high = np.sin(np.deg2rad(case.latitude))
    height = rng.uniform(low, high, case.particles)
    azimuth = np.deg2rad(rng.uniform(0, case.azimuth, case.particles))
    across = np.sqrt(1 - height**2)
    views = np.stack([across * np.cos(azimuth), across * np.sin(azimuth), height], axis=1)
    views = Rotation.from_euler("y", case.turned_deg, degrees=True).apply(views)
    anywhere = rng.random(case.particles) < case.others
    views[anywhere] = Rotation.random(int(anywhere.sum()), rng=rng).apply([0.0, 0.0, 1.0])
    return views


def _weights(views: Array, box: int) -> Map:
    axis = np.fft.fftfreq(box, 1 / box)
    planes = []
    for z in axis:  # one after the other, to save memory
        y, x = np.meshgrid(axis, np.arange(box // 2 + 1), indexing="ij")
        places = np.stack([x, y, np.full_like(x, z)], axis=-1).reshape(-1, 3)
        planes.append(np.maximum(1 - np.abs(places @ views.T), 0).sum(axis=1).reshape(x.shape))
    return np.array(planes, dtype=np.float32)


def _half_maps(case: Case, truth: Map) -> tuple[Map, Map, Map]:
    """Both, and the mean of their weights; with CTFs of all phases a coefficient is in half of the images."""
    box = len(truth)
    rng = np.random.default_rng(1)
    shell = np.rint(shell_radius(box)).astype(np.intp)
    spectrum = transform(truth)
    equal = round(EXTENT_A / case.noise_A)
    level = np.sqrt(np.mean(np.abs(spectrum[shell == equal]) ** 2))
    halves, weights = [], []
    for strength in (1.0, case.second):
        weight = _weights(_views(case, rng), box) / 2
        mean = np.bincount(shell.ravel(), weight.ravel()) / np.bincount(shell.ravel())
        weight, mean = weight / mean[equal], mean / mean[equal]
        noise = transform(rng.normal(size=truth.shape)) / np.sqrt(truth.size) * level * strength
        floor = np.maximum(FLOOR * mean[shell], 1e-6)
        held = (weight * spectrum + np.sqrt(weight) * noise) / np.maximum(weight, floor)
        halves.append(inverse(held.astype(np.complex64), box))
        weights.append(weight)
    return halves[0], halves[1], (weights[0] + weights[1]) / 2


def _parts(weight: Map, limit: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.intp]]:
    """Poor coefficients, good ones, and the shell of each."""
    shell = np.rint(shell_radius(len(weight))).astype(np.intp)
    good = np.full(shell.max() + 1, np.inf)
    for number in range(int(np.ceil(EXTENT_A / 20)), limit + 1):
        good[number] = np.quantile(weight[shell == number], 0.8)
    judged = np.isfinite(good[shell])
    return judged & (weight < POOR * good[shell]), judged & (weight > GOOD * good[shell]), shell


def _poor(weight: Map, limit: int) -> float:
    poor, _, shell = _parts(weight, limit)
    return float(poor.sum() / ((shell >= np.ceil(EXTENT_A / 20)) & (shell <= limit)).sum())


def _agreement(truth: Map, volume: Map, weight: Map, limit: int) -> tuple[float, float]:
    first, second = transform(truth), transform(volume)
    poor, good, shell = _parts(weight, limit)
    means = []
    for part in (poor, good):
        cross, power1, power2 = (
            np.bincount(shell[part], values[part], limit + 1)
            for values in (np.real(first * second.conj()), np.abs(first) ** 2, np.abs(second) ** 2)
        )
        some = power1 > 0
        means.append(float((cross[some] / np.sqrt(power1[some] * power2[some])).mean()) if some.any() else np.nan)
    return means[0], means[1]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=0, help="of training; 0: no network")
    parser.add_argument("--only", nargs="+", default=(), help="cases whose name holds one of these")
    given = parser.parse_args()
    torch.set_num_threads(1)
    chosen = tuple(case for case in CASES if not given.only or any(word in case.name for word in given.only))
    run(chosen, CorrectionOptions(steps=given.steps))
