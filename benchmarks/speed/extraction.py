"""How fast particle images are cut out of tilt images and multiplied by what scores and reconstructions need.

    python -m benchmarks extraction [--size 2048] [--particles 150] [--tilts 3] [--repeats 3]

One series of noise with two species in it, cut at random places, for a reconstruction. Reported: CPU seconds per
tilt of the fastest repeat (the machine may be shared), on one thread.
"""

from __future__ import annotations

import argparse
import time

import numba
import numpy as np

from mpop.records.tilt_series import ParticleSet, SplineGrid, TiltSeriesModel
from mpop.series.opening import request_of, series_of, views_of

PIXEL_A = 2.5
SPECIES_A = (120.0, 260.0)
"""Diameters."""


def world(size: int, particles: int, tilts: int) -> tuple[TiltSeriesModel, list[ParticleSet], np.ndarray]:
    """A model, the particles of both species, and images (tilts, size, size) of counts."""
    rng = np.random.default_rng(1)
    extent = size * PIXEL_A
    model = TiltSeriesModel(
        angles_deg=np.linspace(-30, 30, tilts),
        exposure=np.arange(tilts, dtype=np.float64) * 3.0,
        use=np.ones(tilts, bool),
        axis_angle_deg=np.full(tilts, -84.0),
        axis_offset_x_A=np.zeros(tilts),
        axis_offset_y_A=np.zeros(tilts),
        image_dims_A=(extent, extent),
        volume_dims_A=(extent, extent, 1600.0),
        grid_ctf=SplineGrid(np.full((tilts, 1, 1), 3.0)),
    )
    images = rng.normal(16.0, 4.0, (tilts, size, size)).astype(np.float32)
    sets = [
        ParticleSet(
            id=np.arange(particles, dtype=np.uint64),
            half=(np.arange(particles) % 2 + 1).astype(np.uint8),
            position_A=rng.uniform(0.1, 0.9, (particles, 1, 3)) * np.array(model.volume_dims_A),
            angles_deg=np.zeros((particles, 1, 3)),
        )
        for _ in SPECIES_A
    ]
    return model, sets, images


def cpu_s_per_tilt(size: int, particles: int, tilts: int, repeats: int) -> float:
    """CPU seconds for each tilt, of the fastest repeat."""
    model, sets, images = world(size, particles, tilts)
    requests = [
        request_of(model, views_of(model, one), diameter_A, 6.0, 2 * round(diameter_A / PIXEL_A), PIXEL_A)
        for one, diameter_A in zip(sets, SPECIES_A, strict=True)
    ]
    times = []
    for _ in range(repeats + 1):  # the first one compiles
        started = time.process_time()
        for _ in series_of(model).extract(lambda tilt: images[tilt], PIXEL_A, requests):
            pass
        times.append(time.process_time() - started)
    return min(times[1:]) / tilts


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks extraction", description=__doc__)
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--particles", type=int, default=150)
    parser.add_argument("--tilts", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    numba.set_num_threads(1)
    print(f"{cpu_s_per_tilt(**vars(arguments)):.3f} CPU-s per tilt")
