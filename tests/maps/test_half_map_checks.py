"""Each way to spoil half-maps is told by name, and good ones are not doubted."""

from __future__ import annotations

import re

import numpy as np
import pytest
from noisy_halves import NoisyHalves, noisy_halves

from mpop.maps.filters import inverse, low_pass, transform
from mpop.maps.fsc import fsc_report
from mpop.maps.half_map_checks import half_map_doubts
from mpop.maps.masks import soft_sphere
from mpop.maps.shells import mean_amplitudes, shell_radius
from mpop.maps.volume_checks import mirrored, of_opposite_hand


def doubts(half1: np.ndarray, half2: np.ndarray, mask: np.ndarray, pixel_size_A: float = 1.5) -> str:
    amplitude = mean_amplitudes(transform((half1 + half2) / 2))
    report = fsc_report(half1, half2, mask, pixel_size_A)
    return "\n".join(map(str, half_map_doubts("maps", half1, half2, mask, report, amplitude, pixel_size_A)))


@pytest.fixture(scope="module")
def maps() -> NoisyHalves:
    return noisy_halves(noise=0.7)


@pytest.mark.parametrize(("b_factor", "noise"), [(200, 0.5), (100, 0.7), (200, 1.5), (600, 1.0)])
def test_good_half_maps_are_not_doubted(b_factor: float, noise: float) -> None:
    maps = noisy_halves(b_factor_A2=b_factor, noise=noise)
    assert doubts(maps.half1, maps.half2, maps.mask) == ""


def test_a_mask_without_soft_edge(maps: NoisyHalves) -> None:
    tight = (np.abs(low_pass(maps.truth, 1.5, 8.0)) > 0.5).astype(np.float32)
    offset = 2 * maps.truth.std()
    found = doubts(maps.half1 + offset, maps.half2 + offset, tight)
    assert "too tight or too hard" in found
    assert "A: the mask" in found


def test_a_gap_behind_which_the_fsc_rises_again(maps: NoisyHalves) -> None:
    spectra = [transform(half) for half in (maps.half1, maps.half2)]
    rng = np.random.default_rng(3)
    for spectrum in spectra:
        gap = np.abs(shell_radius(64) - 13) < 2.5
        noise = transform(rng.standard_normal(maps.half1.shape, dtype=np.float32))
        spectrum[gap] = noise[gap] * np.abs(spectrum[gap]).mean() / np.abs(noise[gap]).mean()
    found = doubts(*(inverse(spectrum, 64) for spectrum in spectra), maps.mask)
    told = re.search(r"falls below 0.143 at (.*) A, .* rises again, to (.*), and is above up to (.*) A:", found)
    assert told is not None, found
    falls, most, last = (float(word) for word in told.groups())
    assert 96 / 12 < falls < 96 / 10
    assert most > 0.5
    assert last < 96 / 18
    assert "resolution" in found


def test_a_solvent_that_is_not_at_0() -> None:
    maps = noisy_halves(b_factor_A2=600, noise=1.0)
    offset = np.float32(100 * maps.half1.std())
    found = doubts(maps.half1 + offset, maps.half2 + offset, maps.mask)
    assert f"for a solvent at {offset:.3g} and not at 0" in found
    assert "subtract that from both half-maps" in found


def test_a_hard_mask_that_no_level_explains(maps: NoisyHalves) -> None:
    tight = (np.abs(low_pass(maps.truth, 1.5, 3.2)) > 1.0).astype(np.float32)
    found = doubts(maps.half1, maps.half2, tight)
    assert "correlates the half-maps by itself; use a wider, softer one" in found
    assert "solvent" not in found


def test_masked_before(maps: NoisyHalves) -> None:
    core = soft_sphere(64, 1.5, 24.0, 9.0)
    assert "masked before" in doubts(maps.half1 * core, maps.half2 * core, maps.mask)
    sphere = soft_sphere(64, 1.5, 46.0, 1.0)  # as reconstructions leave their corners
    assert doubts(maps.half1 * sphere, maps.half2 * sphere, maps.mask) == ""


@pytest.mark.parametrize("resolution_A", [3.7, 4.5, 8.0])
def test_filtered_before(maps: NoisyHalves, resolution_A: float) -> None:
    first, second = (low_pass(half, 1.5, resolution_A) for half in (maps.half1, maps.half2))
    found = re.search(r"beyond (.*) A the half-maps are almost empty", doubts(first, second, maps.mask))
    assert found is not None
    assert float(found[1]) == pytest.approx(resolution_A, rel=0.16)


def test_two_versions_of_one_map(maps: NoisyHalves) -> None:
    assert "never falls below" in doubts(maps.half1, 2 * maps.half1 + 1, maps.mask)
    rng = np.random.default_rng(0)
    noisier = maps.half1 + 0.2 * rng.normal(size=maps.half1.shape).astype(np.float32)
    assert "not independent" in doubts(maps.half1, noisier, maps.mask)


def test_a_mask_elsewhere(maps: NoisyHalves) -> None:
    elsewhere = np.roll(soft_sphere(64, 1.5, 12.0, 6.0), 28, axis=0)
    assert "does the mask lie on the particle?" in doubts(maps.half1, maps.half2, elsewhere)


def test_opposite_hand() -> None:
    maps = noisy_halves(b_factor_A2=600.0, noise=0.3)
    assert "of opposite hand" in doubts(maps.half1, mirrored(maps.half2), maps.mask)
    assert of_opposite_hand(maps.half1, mirrored(maps.half2))
    assert not of_opposite_hand(maps.half1, maps.half2)


@pytest.mark.parametrize("box", [8, 9])
def test_mirroring_keeps_the_origin_and_undoes_itself(box: int) -> None:
    volume = np.random.default_rng(0).normal(size=(box,) * 3).astype(np.float32)
    found = mirrored(volume)
    np.testing.assert_array_equal(mirrored(found), volume)
    np.testing.assert_array_equal(found[:, :, box // 2], volume[:, :, box // 2])
    np.testing.assert_array_equal(found[:, :, box // 2 + 1], volume[:, :, box // 2 - 1])


def test_noise(maps: NoisyHalves) -> None:
    rng = np.random.default_rng(1)
    first, second = (rng.normal(size=maps.mask.shape).astype(np.float32) for _ in range(2))
    assert "no resolution" in doubts(first, second, maps.mask)


def test_opposite_contrast_is_not_taken_for_opposite_hand(maps: NoisyHalves) -> None:
    found = doubts(maps.half1, -maps.half2, maps.mask)
    assert "the negative of the other" in found
    assert "hand" not in found


def test_a_filter_far_beyond_the_resolution_is_no_matter(maps: NoisyHalves) -> None:
    """As of starting maps, whose noise ends where it says nothing any more."""
    noisy = noisy_halves(b_factor_A2=900.0, noise=0.7)
    first, second = (low_pass(half, 1.5, 4.0) for half in (noisy.half1, noisy.half2))
    assert "almost empty" not in doubts(first, second, noisy.mask)
    assert "almost empty" in doubts(*(low_pass(half, 1.5, 6.0) for half in (maps.half1, maps.half2)), maps.mask)
