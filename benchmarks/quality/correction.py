"""Correction of preferred orientation against known truth.

    python -m benchmarks correction                   three seeds of the phantom with a missing cone
    python -m benchmarks correction --models FOLDER   half-maps reconstructed from preferred views of molecules
    python -m benchmarks correction --steps 0         without a network

For each data set the mean FSC with the truth in poorly measured / in well-measured directions, of half-map 1,
half-map 2 and the map made of both, the CPU seconds (user and system) that all took together, and by how much the
half-maps agree with each other beyond what their agreement with the truth explains: where c1 and c2 are their FSC
with the truth, FSC - c1 c2. It is 0 for errors that are independent.
FOLDER holds 6zwv.cif, 8bk7.cif, 3j9i.pdb and 5ni1_updated.cif, by the names that the PDB has for them.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.phantoms.uneven import Map, Uneven, from_views, missing_cone
from mpop.maps.fsc import fsc_report
from mpop.networks.correction import CorrectionOptions, correct
from mpop.simulation.stacks import StackParameters

SEEDS = (1, 2, 3)
FINEST_A = 5.0
MODELS = (
    # name, file, pixel size in A, particles, signal to noise, views within so many degrees of z, part that is not
    ("spike", "6zwv.cif", 2.4, 2000, 0.10, 45.0, 0.0),
    ("beta-galactosidase", "8bk7.cif", 2.2, 2000, 0.10, 45.0, 0.02),
    ("haemoglobin", "5ni1_updated.cif", 1.5, 3000, 0.10, 45.0, 0.02),
    ("proteasome", "3j9i.pdb", 2.2, 3000, 0.05, 60.0, 0.02),
    ("spike, all views", "6zwv.cif", 2.4, 2000, 0.10, 180.0, 0.0),
    ("proteasome, all views", "3j9i.pdb", 2.2, 3000, 0.05, 180.0, 0.0),
)


def run(quick: bool) -> None:
    """The phantom; quick: one seed, no network."""
    report(
        (missing_cone(seed) for seed in SEEDS[: 1 if quick else None]),
        CorrectionOptions(steps=0) if quick else CorrectionOptions(),
    )


def report(data: Iterator[Uneven], options: CorrectionOptions) -> None:
    """Correct and print."""
    print("FSC with the truth, poor / good directions: half 1, half 2, mean")
    for maps in data:
        start = os.times()
        corrected = correct(maps.half1, maps.half2, maps.mask, maps.pixel_size_A, options)
        end = os.times()
        finest = _finest(maps)
        print(f"{maps.name}, to {finest:.1f} A: {end.user - start.user + end.system - start.system:.0f} CPU-s")
        mean = (maps.half1 + maps.half2) / np.float32(2)
        for when, three in (
            ("before", (maps.half1, maps.half2, mean)),
            ("after", (corrected.half1, corrected.half2, corrected.mean)),
        ):
            print(f"    {when:8}  {_scores(maps, three, finest)}   shared {_shared(maps, three[:2], finest)}")
        if corrected.reason:
            print(f"    {corrected.reason}")


def models(folder: Path, only: Sequence[str]) -> Iterator[Uneven]:
    """Half-maps of the atomic models, or of some."""
    for name, file, pixel_size_A, particles, signal_to_noise, spread, others in MODELS:
        if only and name not in only:
            continue
        yield from_views(
            name,
            StackParameters(
                particles=particles,
                box=96,
                pixel_size_A=pixel_size_A,
                signal_to_noise=signal_to_noise,
                preferred_spread_deg=spread,
                others=others,
                pose_shift_rms_A=0,
                pose_angle_rms_deg=0,
                model=folder / file,
            ),
        )


def _scores(maps: Uneven, volumes: tuple[Map, Map, Map], finest_A: float) -> str:
    return "   ".join("{:.3f} / {:.3f}".format(*maps.agreement(one, finest_A)) for one in volumes)


def _shared(maps: Uneven, halves: tuple[Map, ...], finest_A: float) -> str:
    """By how much half-maps agree beyond what the truth explains."""
    first, second = (maps.curves(half) for half in halves)
    between = replace(maps, truth=halves[1]).curves(halves[0])
    judged = maps.judged(finest_A)
    beyond = (
        float((both - one * two)[judged].mean()) for both, one, two in zip(between, first, second, strict=True)
    )
    return "{:.3f} / {:.3f}".format(*beyond)


def _finest(maps: Uneven) -> float:
    """The phantom is judged as its makers do, all else a little before the resolution."""
    if maps.name.startswith("missing cone"):
        return FINEST_A
    resolution = fsc_report(maps.half1, maps.half2, maps.mask, maps.pixel_size_A).resolution_A
    return max(resolution or 0.0, 2.2 * maps.pixel_size_A)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, help="the folder of the atomic models")
    parser.add_argument("--only", nargs="+", default=(), help="names of molecules")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="of the phantom")
    parser.add_argument("--steps", type=int, default=CorrectionOptions().steps, help="of training; 0: no network")
    parser.add_argument("--rotations", choices=("cube", "any"), default="any")
    parser.add_argument("--joint", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    report(
        models(given.models, given.only) if given.models else (missing_cone(seed) for seed in given.seeds),
        CorrectionOptions(steps=given.steps, rotations=given.rotations, joint=given.joint),
    )
