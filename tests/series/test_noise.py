"""The noise spectrum, number by number, against Welch's method written out for patches that are listed by hand."""

from __future__ import annotations

import numpy as np
import plain_numpy
import pytest
from numpy.typing import NDArray

from mpop.errors import BlankImageError, InputError
from mpop.series.noise import NoiseSpectrum, noise_spectrum, ring_means, unit_factor

TILE = 256
SEEN = np.ones((TILE, TILE), bool)


def white(shape: tuple[int, int], seed: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(2.0, 1.5, shape).astype(np.float32)


def tiles(*deviations: float) -> NDArray[np.float32]:
    """Eight patches side by side, as many as there may be, that do not overlap."""
    return np.concatenate([white((TILE, TILE), n) * one for n, one in enumerate(deviations)], axis=1)


def expected(image: NDArray[np.float32], present: NDArray[np.bool_], corners: list[tuple[int, int]], size: int):
    """Rings of the patches at corners (y, x)."""
    parts = [(image[y : y + size, x : x + size], present[y : y + size, x : x + size]) for y, x in corners]
    return plain_numpy.rings_of_patches(parts)


def assert_is(found: NoiseSpectrum, power: NDArray[np.float64]) -> None:
    np.testing.assert_allclose(found.power, power, rtol=1e-4)
    np.testing.assert_allclose(found.frequency, np.arange(len(power)) / (2 * (len(power) - 1)), rtol=1e-12)


@pytest.mark.parametrize(
    ("shape", "size", "rows", "columns"),
    [
        ((256, 256), 256, [0], [0]),
        ((384, 300), 256, [0, 128], [0]),
        ((383, 512), 256, [0], [0, 128, 256]),
        ((101, 91), 90, [0], [0]),
        ((136, 91), 90, [0, 46], [0]),
        ((256, 2000), 256, [0], [0, 249, 498, 747, 996, 1245, 1494, 1744]),
    ],
)
def test_patches_overlap_by_half_at_most(shape: tuple, size: int, rows: list, columns: list) -> None:
    image, seen = white(shape), np.ones(shape, bool)
    corners = [(y, x) for y in rows for x in columns]
    assert_is(noise_spectrum(image), expected(image, seen, corners, size))
    assert_is(noise_spectrum(image, seen), expected(image, seen, corners, size))


def test_patches_are_weighted_by_what_was_measured_of_them() -> None:
    image, present = white((384, 384)), np.ones((384, 384), bool)
    present[100:150, 60:120] = False
    image[~present] = 50.0
    corners = [(0, 0), (0, 128), (128, 0), (128, 128)]
    assert_is(noise_spectrum(image, present), expected(image, present, corners, TILE))


def test_patches_of_fewer_than_half_are_left_out_while_there_are_others() -> None:
    image, present = tiles(*[1.0] * 8), np.ones((TILE, 8 * TILE), bool)
    for tile, share in ((1, 0.46), (2, 0.0), (4, 0.54)):  # of the width
        present[:, tile * TILE + int(share * TILE) : (tile + 1) * TILE] = False
    used = [(0, tile * TILE) for tile in range(8) if tile not in (1, 2)]
    assert_is(noise_spectrum(image, present), expected(image, present, used, TILE))


def test_a_patch_of_fewer_than_half_is_better_than_none() -> None:
    image, present = white((TILE, TILE)), SEEN.copy()
    present[:, 85:] = False  # an eighth of what the window weighs
    assert_is(noise_spectrum(image, present), expected(image, present, [(0, 0)], TILE))


@pytest.mark.parametrize("columns", [0, 20, 78])
def test_less_than_a_tenth_is_no_image(columns: int) -> None:
    present = SEEN.copy()
    present[:, columns:] = False
    with pytest.raises(BlankImageError, match="hardly any pixel"):
        noise_spectrum(white((TILE, TILE)), present)


def test_loud_and_quiet_patches_are_no_ice() -> None:
    """Up to four times the power of the middle one, and a quarter of it."""
    power = [1, 1, 3.5, 1, 4.5, 1, 1 / 4.5, 1 / 3.5]
    image, seen = tiles(*np.sqrt(power)), np.ones((TILE, 8 * TILE), bool)
    used = [(0, tile * TILE) for tile in (0, 1, 2, 3, 5, 7)]
    assert_is(noise_spectrum(image), expected(image, seen, used, TILE))


def test_four_times_the_power_is_not_more_than_four_times() -> None:
    tile = white((TILE, TILE))
    image = np.concatenate([tile * np.float32(factor) for factor in (1, 1, 2, 1, 1, 0.5, 1, 1)], axis=1)
    every = [(0, at * TILE) for at in range(8)]
    assert_is(noise_spectrum(image), expected(image, np.ones(image.shape, bool), every, TILE))


def test_a_patch_of_which_little_was_measured_is_not_quiet_for_that() -> None:
    image, present = tiles(1, 1, 1, np.sqrt(1 / 3.5), 1, 1, 1, 1), np.ones((TILE, 8 * TILE), bool)
    present[:, 3 * TILE + 140 : 4 * TILE] = False
    every = [(0, tile * TILE) for tile in range(8)]
    assert_is(noise_spectrum(image, present), expected(image, present, every, TILE))


def test_rings_are_means_of_their_components() -> None:
    total = np.random.default_rng(1).uniform(1, 2, (10, 6))
    rows = [0, 1, 2, 3, 4, -5, -4, -3, -2, -1]
    rings = [[] for _ in range(9)]
    for y, row in zip(rows, total, strict=True):
        for x, value in enumerate(row):
            rings[round(np.sqrt(y * y + x * x))].append(value)
    means = [np.mean(ring) for ring in rings[:6]]
    found = ring_means(total)
    np.testing.assert_allclose(found.power, [means[1], *means[1:]], rtol=1e-12)
    np.testing.assert_allclose(found.frequency, [0, 0.1, 0.2, 0.3, 0.4, 0.5], rtol=1e-12)


@pytest.mark.parametrize("ring", [1, 5])
def test_a_ring_without_power_is_no_noise(ring: int) -> None:
    total = np.ones((10, 6))
    rows = np.array([0, 1, 2, 3, 4, -5, -4, -3, -2, -1])
    total[np.rint(np.hypot(rows[:, None], np.arange(6))) == ring] = 0
    with pytest.raises(InputError, match="no noise in some frequency band"):
        ring_means(total)


def spectrum(*power: float) -> NoiseSpectrum:
    return NoiseSpectrum(np.arange(len(power)) / 10, np.array(power))


def test_power_is_linear_between_rings() -> None:
    np.testing.assert_allclose(spectrum(4.0, 2.0, 8.0).at(np.array([0.0, 0.05, 0.125, 0.9])), [4.0, 3.0, 3.5, 8.0])


def test_the_level_is_what_half_of_all_components_exceed() -> None:
    """Rings hold 0, 1, 2, 3 and 4 parts of ten."""
    assert spectrum(100.0, 5.0, 3.0, 2.0, 1.0).level == 2.0
    assert spectrum(1.0, 2.0, 3.0, 4.0, 5.0).level == 4.0
    assert spectrum(9.0, 7.0, 8.0, 1.0).level == 1.0  # three of six


def test_a_factor_goes_into_power_by_its_square() -> None:
    scaled = spectrum(4.0, 2.0, 8.0).scaled(3.0)
    np.testing.assert_array_equal(scaled.power, [36.0, 18.0, 72.0])
    np.testing.assert_array_equal(scaled.frequency, [0.0, 0.1, 0.2])


def test_unit_noise_has_power_1_per_square_angstrom() -> None:
    assert unit_factor(spectrum(100.0, 5.0, 3.0, 16.0, 16.0), 2.5) == pytest.approx(2.5 / 4)
