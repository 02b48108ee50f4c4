"""What cannot be two half-maps of one reconstruction is named; what can is passed in silence."""

from __future__ import annotations

import numpy as np
import pytest
from noisy_halves import NoisyHalves, noisy_halves

from mpop.maps.filters import low_pass
from mpop.maps.fsc import fsc
from mpop.maps.volume_checks import mirrored, of_opposite_hand, volume_doubts

MIRRORED_SHELLS = 4
"""Up to where the FSC of two hands stays above its threshold."""


@pytest.fixture(scope="module")
def maps() -> NoisyHalves:
    return noisy_halves(noise=0.7)


def kinds(maps: NoisyHalves, half2: np.ndarray, masked: bool = True) -> list[str]:
    curve = fsc(maps.half1, half2, maps.pixel_size_A)
    mask = maps.mask if masked else None
    found = volume_doubts(
        "a and b", maps.half1, half2, mask, curve.correlation, MIRRORED_SHELLS, maps.pixel_size_A
    )
    assert all(doubt.where == "a and b" for doubt in found)
    return [doubt.kind for doubt in found if doubt.grave]


def test_the_full_map_in_place_of_a_half_map(maps: NoisyHalves) -> None:
    full = (maps.half1 + maps.half2) / 2
    assert kinds(maps, full) == ["half-maps-not-independent"]
    assert kinds(maps, full, masked=False) == ["half-maps-not-independent"]
    assert "half-maps-unlike" in kinds(maps, low_pass(full, maps.pixel_size_A, 6.0))
    assert "half-maps-unlike" in kinds(maps, full * maps.mask)


def test_the_other_hand_and_the_negative(maps: NoisyHalves) -> None:
    assert kinds(maps, mirrored(maps.half2)) == ["opposite-hand"]
    assert kinds(maps, -maps.half2) == ["opposite-contrast"]


@pytest.mark.parametrize("box", [97, 128])
def test_hands_of_larger_maps_are_told_apart_by_fewer_voxels(box: int) -> None:
    large = noisy_halves(box, 1.0, noise=0.5)
    assert of_opposite_hand(large.half1, mirrored(large.half2))
    assert not of_opposite_hand(large.half1, large.half2)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("noise", [0.2, 1.4])
def test_half_sets_of_unequal_size_are_none_of_these(noise: float, masked: bool) -> None:
    """Noise of a third and of two thirds of the particles."""
    few, many = (noisy_halves(noise=noise * factor, seed=seed) for factor, seed in ((3**0.5, 1), (1.5**0.5, 1)))
    rng = np.random.default_rng(9)
    other = many.truth + noise * 1.5**0.5 * rng.standard_normal(many.truth.shape, dtype=np.float32)
    assert kinds(few, other, masked) == []


def octahedral(volume: np.ndarray) -> np.ndarray:
    """The mean over the 24 rotations of a cube."""
    tops = [np.rot90(volume, turns, (0, 1)) for turns in range(4)]
    tops += [np.rot90(volume, turns, (0, 2)) for turns in (1, 3)]
    return sum(np.rot90(top, turns, (1, 2)) for top in tops for turns in range(4)) / 24


@pytest.mark.parametrize("seed", range(8))
def test_a_high_symmetry_makes_no_half_maps_unlike(seed: int) -> None:
    """A hollow shell, whose spectrum has zeros: half-maps hold noise there, of few independent coefficients."""
    rng = np.random.default_rng(seed)
    radius_A = 3.0 * np.linalg.norm(np.indices((85, 85, 85)) - 42, axis=0)
    shell = np.exp(-np.square((radius_A - 50) / 8)).astype(np.float32)
    half1, half2 = (
        low_pass(octahedral(shell + 2.0 * rng.standard_normal(shell.shape, dtype=np.float32)), 3.0, 18.0)
        for _ in range(2)
    )
    found = volume_doubts("a and b", half1, half2, None, fsc(half1, half2, 3.0).correlation, 1, 3.0)
    assert "half-maps-unlike" not in [doubt.kind for doubt in found]


@pytest.mark.parametrize("shift", [(0, 0, 1), (2, 0, 0), (-3, 3, 1)])
def test_a_half_map_that_is_shifted_is_named_with_its_shift(maps: NoisyHalves, shift: tuple[int, ...]) -> None:
    moved = np.roll(maps.half2, shift, (0, 1, 2))
    curve = fsc(maps.half1, moved, maps.pixel_size_A)
    (found,) = volume_doubts("a and b", maps.half1, moved, None, curve.correlation, 4, maps.pixel_size_A)
    assert (found.kind, found.grave) == ("half-maps-shifted", True)
    assert f"by {np.linalg.norm(shift):.0f}." in found.read or f"by {np.linalg.norm(shift):.1f} " in found.read


@pytest.mark.parametrize("noise", [0.3, 3.0, 30.0])
def test_half_maps_in_one_place_are_not(noise: float) -> None:
    halves = noisy_halves(noise=noise)
    assert kinds(halves, halves.half2) == []
