"""Collisions in a population of 1,000 tilt series with 1,000 particles of each of two species, on one core.

    python -m benchmarks collisions [--quick]

The particles lie on a lattice where neighbours touch, turned at random, so that every one has candidates to look
at; in each series ten of the second species are planted on ones of the first. The search is timed on arrays in
memory, and as `mpop collisions` does it, from a store on disk.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.measure import machine, show
from mpop.collisions.finding import find_among, shape_of
from mpop.collisions.occupants import occupant
from mpop.collisions.report import CollisionReport
from mpop.collisions.search import search
from mpop.maps.masks import soft_edge
from mpop.records.arrays import particles_to_arrays
from mpop.records.models import SpeciesRecord
from mpop.records.tilt_series import ParticleSet
from mpop_store import ObjectStore
from mpop_store.arrays.groups import write_group

PARTICLES, PLANTED = 1000, 10
BOX, PIXEL_A = 96, 3.0
SPACING_A = 220.0
LATTICE = (20, 20, 8)
HALF_AXES_A = {"large": (110.0, 90.0, 100.0), "small": (60.0, 50.0, 95.0)}


def ellipsoid(half_axes_A: tuple[float, float, float]) -> np.ndarray:
    """A soft mask (z, y, x)."""
    z, y, x = (np.indices((BOX,) * 3) - BOX // 2) * PIXEL_A
    inside = sum(np.square(c / half) for c, half in zip((x, y, z), half_axes_A, strict=True)) <= 1
    return soft_edge(inside, PIXEL_A, 12.0)


def positions(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Places of both species (p, 3) in one series; the last `PLANTED` of the second are on ones of the first."""
    sites = np.stack(np.meshgrid(*[np.arange(n) for n in LATTICE]), axis=-1).reshape(-1, 3)
    sites = rng.permutation(sites)[: 2 * PARTICLES - PLANTED] * SPACING_A + rng.normal(0, 3, 3)
    first, second = sites[:PARTICLES], sites[PARTICLES:]
    return first, np.concatenate([second, first[:PLANTED] + rng.uniform(-20, 20, (PLANTED, 3))])


def write_population(folder: Path, n_series: int) -> tuple[ObjectStore, list[SpeciesRecord]]:
    """Species with particles in every series, in a store."""
    objects = ObjectStore(folder / "objects")
    rng = np.random.default_rng(0)
    groups: list[dict[str, str]] = [{}, {}]
    for series in range(n_series):
        for kind, places in enumerate(positions(rng)):
            particles = ParticleSet(
                rng.integers(0, 2**63, PARTICLES, dtype=np.uint64),
                np.resize(np.array([1, 2], np.uint8), PARTICLES),
                places[:, None],
                rng.uniform(0, 360, (PARTICLES, 1, 3)),
            )
            groups[kind][f"{series:016x}"] = write_group(objects, *particles_to_arrays(particles))
    return objects, [
        SpeciesRecord(
            id=f"{number:016x}",
            name=name,
            symmetry="C1",
            diameter_A=BOX * PIXEL_A,
            pixel_size_A=PIXEL_A,
            box=BOX,
            maps_object=write_group(objects, {"mask": ellipsoid(half_axes)}),
            resolution_A=None,
            particles=groups[number],
            n_particles=PARTICLES * n_series,
        )
        for number, (name, half_axes) in enumerate(HALF_AXES_A.items())
    ]


def search_arrays(objects: ObjectStore, species: list[SpeciesRecord], n_series: int) -> float:
    """Seconds for the search alone."""
    rng = np.random.default_rng(0)
    shapes = [shape_of(objects, one) for one in species]
    spent = 0.0
    for _ in range(n_series):
        occupants = [
            occupant(
                shape,
                ParticleSet(
                    np.arange(PARTICLES, dtype=np.uint64),
                    np.ones(PARTICLES, np.uint8),
                    places[:, None],
                    rng.uniform(0, 360, (PARTICLES, 1, 3)),
                ),
            )
            for shape, places in zip(shapes, positions(rng), strict=True)
        ]
        start = time.process_time()
        search(occupants)
        spent += time.process_time() - start
    return spent


def _found(report: CollisionReport) -> str:
    (pair,) = report.pairs
    return f"{pair.overlaps} of {PLANTED * report.n_items}"


def run(quick: bool = False) -> None:
    """Make, search, print."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    n_series = 50 if quick else 1000
    with tempfile.TemporaryDirectory() as folder:
        objects, species = write_population(Path(folder), n_series)
        search_arrays(objects, species, 1)  # fills numba's cache
        arrays_s = search_arrays(objects, species, n_series)
        start, wall = time.process_time(), time.perf_counter()
        report = find_among(objects, species, {item: item for item in species[0].particles})
        cpu_s, wall_s = time.process_time() - start, time.perf_counter() - wall
    rows = [
        ("planted overlaps found", _found(report)),
        ("other pairs reported", str(report.n_collisions - PLANTED * n_series)),
        ("search, CPU-s", f"{arrays_s:.1f}"),
        ("reading from disk and search, CPU-s", f"{cpu_s:.1f}"),
        ("the same, wall s", f"{wall_s:.1f}"),
    ]
    show(f"{n_series} series, 2 x {PARTICLES} particles each, one core ({machine()})", ("", "mpop"), rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Collisions in many tilt series")
    parser.add_argument("--quick", action="store_true", help="fewer series")
    run(parser.parse_args().quick)
