"""Density, mask and diameter that do not go together, and their neighbours that do."""

from __future__ import annotations

import numpy as np
import pytest
from noisy_halves import NoisyHalves, noisy_halves

from mpop.maps.mask_checks import mask_doubts
from mpop.maps.masks import soft_sphere
from mpop.maps.particle_checks import particle_doubts

DIAMETER_A = 128.0
"""Of the particle: two thirds of the box."""


@pytest.fixture(scope="module")
def maps() -> NoisyHalves:
    return noisy_halves(64, 3.0, b_factor_A2=400.0, noise=0.5)


def found(maps: NoisyHalves, mask: np.ndarray | None, diameter_A: float | None = None, sign: int = 1) -> list:
    mean = sign * (maps.half1 + maps.half2) / 2
    return [(one.kind, one.grave) for one in particle_doubts("map", mean, mask, 3.0, diameter_A)]


@pytest.mark.parametrize("diameter_A", [115.0, 128.0, 160.0, 300.0])
def test_a_diameter_that_goes_with_the_density(maps: NoisyHalves, diameter_A: float) -> None:
    assert found(maps, maps.mask, diameter_A) == []


@pytest.mark.parametrize(
    ("diameter_A", "doubt"),
    [
        (20.0, ("diameter-too-small", True)),
        (64.0, ("diameter-too-small", True)),
        (100.0, ("diameter-too-small", False)),
        (600.0, ("diameter-too-large", False)),
    ],
)
def test_a_diameter_that_does_not(maps: NoisyHalves, diameter_A: float, doubt: tuple[str, bool]) -> None:
    assert found(maps, maps.mask, diameter_A) == [doubt]


def test_a_mask_beside_the_particle_and_one_on_a_part_of_it(maps: NoisyHalves) -> None:
    small = soft_sphere(64, 3.0, 25.0, 12.0)
    beside, part = np.roll(small, (24, 24), axis=(0, 1)), np.roll(small, 10, axis=0)
    assert found(maps, beside) == [("mask-beside-particle", True)]
    assert found(maps, part) == []
    assert found(maps, None) == []
    assert found(maps, np.ones_like(small)) == []


def test_black_density(maps: NoisyHalves) -> None:
    for diameter_A in (None, 20.0):
        assert found(maps, maps.mask, diameter_A, sign=-1) == [("black-density", True)]


def test_noise_is_neither_black_nor_beside_its_mask(maps: NoisyHalves) -> None:
    for seed in range(5):
        noise = np.random.default_rng(seed).standard_normal((64, 64, 64), dtype=np.float32)
        assert particle_doubts("noise", noise, maps.mask, 3.0, DIAMETER_A) == []


def test_masks_of_everything_and_of_nothing() -> None:
    (ones,) = mask_doubts("mask.mrc", np.ones((32, 32, 32), np.float32))
    assert str(ones).startswith("mask.mrc: keeps 100 % of the box: it masks nothing") and not ones.grave
    (faint,) = mask_doubts("mask.mrc", np.full((32, 32, 32), 0.4, np.float32))
    assert faint.kind == "mask-empty" and faint.grave
    assert mask_doubts("mask.mrc", soft_sphere(32, 3.0, 25.0, 12.0)) == []
