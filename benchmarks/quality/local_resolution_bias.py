"""Local resolution of maps that are resolved alike everywhere: bias and spread against where the FSC crosses.

    python -m benchmarks local_resolution_bias [--seeds N]

The planted FSC is S / (S + 1) exactly, in the whole box, so that the crossing is known for every threshold.
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmarks.measure import show
from benchmarks.phantoms.planted_resolution import planted, snr
from mpop.maps.local_resolution import local_resolution

CASES = (
    (9.0, 4.0, 72, 2.0),
    (9.0, 8.0, 72, 2.0),
    (9.0, 30.0, 72, 2.0),
    (7.0, 8.0, 72, 2.0),
    (7.0, 100.0, 72, 2.0),
    (6.0, 1e3, 72, 2.0),
    (6.0, 1e5, 72, 2.0),
    (5.0, 8.0, 72, 2.0),
    (5.0, 30.0, 72, 2.0),
    (4.4, 30.0, 72, 2.0),
    (6.0, 8.0, 96, 1.5),
    (3.5, 30.0, 96, 1.2),
    (5.0, 100.0, 64, 1.6),
    (8.0, 30.0, 64, 3.0),
    (12.0, 50.0, 80, 3.5),
)
"""Planted resolution in A, ratio of signal to noise power at low frequency, box, pixel size in A."""
THRESHOLDS = (0.143, 0.5)
FIRST_SEED = 900
"""The tests use seeds below."""


def crossing_A(resolution_A: float, low_snr: float, threshold: float) -> float:
    """Where the planted FSC crosses a threshold."""
    relative = np.geomspace(0.2, 1.2, 100_001)
    ratio = snr(relative / resolution_A, resolution_A, low_snr)
    return resolution_A / float(relative[np.argmin(np.abs(ratio / (1 + ratio) - threshold))])


def run(seeds: int) -> None:
    """Plant, measure, print: mean error of the median, its extremes, and the spread over voxels."""
    rows = []
    for resolution_A, low_snr, box, pixel_size_A in CASES:
        maps = [
            planted(box, pixel_size_A, [resolution_A], low_snr, FIRST_SEED + seed, radius_part=1.0)
            for seed in range(seeds)
        ]
        cells = []
        for threshold in THRESHOLDS:
            truth = crossing_A(resolution_A, low_snr, threshold)
            found = [
                local_resolution(one.half1, one.half2, one.mask, pixel_size_A, threshold).resolution_A / truth
                for one in maps
            ]
            errors = np.array([np.median(one[one > 0]) for one in found]) * 100 - 100
            spread = float(np.mean([one[one > 0].std() for one in found])) * 100
            cells += [f"{truth:.2f}", f"{errors.mean():+.1f} ({errors.min():+.1f} to {errors.max():+.1f})"]
            cells.append(f"{spread:.1f}")
        rows.append([f"{resolution_A:g} A, SNR {low_snr:g}, {box}^3 of {pixel_size_A:g} A", *cells])
    head = [title for one in THRESHOLDS for title in (f"FSC = {one:g} at, A", "median, %", "sd, %")]
    show(f"One resolution everywhere, {seeds} seeds", ["", *head], rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks local_resolution_bias", description=__doc__)
    parser.add_argument("--seeds", type=int, default=6, help="pairs of half-maps for each case")
    run(parser.parse_args().seeds)
