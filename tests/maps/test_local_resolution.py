"""Local resolution against planted resolutions, its honesty about noise, and the local filter."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.special import ndtr

from benchmarks.phantoms.planted_resolution import Planted, planted, snr
from mpop.errors import InputError
from mpop.geometry.frequencies import even_fast_size
from mpop.maps.bands import cut, interpolate
from mpop.maps.filters import inverse, multiply_radially, transform
from mpop.maps.fsc import fsc_report, fsc_weights
from mpop.maps.local_filter import local_filter
from mpop.maps.local_resolution import WINDOW, LocalResolution, local_resolution

PIXEL_A = 2.0


def resolve(one: Planted, threshold: float = 0.143) -> LocalResolution:
    return local_resolution(one.half1, one.half2, one.mask, one.pixel_size_A, threshold)


def white(seed: int, box: int = 64) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((box,) * 3, dtype=np.float32)


def ball(box: int, radius: float) -> NDArray[np.float32]:
    axis = np.square(np.arange(box) - box // 2)
    distance = np.sqrt(axis[:, None, None] + axis[None, :, None] + axis)
    return np.clip(radius - distance, 0, 1).astype(np.float32)


@pytest.mark.parametrize(("resolution_A", "low_snr"), [(5.0, 30.0), (7.0, 100.0), (9.0, 8.0), (6.0, 1e5)])
def test_one_resolution_everywhere_is_found(resolution_A: float, low_snr: float) -> None:
    one = planted(72, PIXEL_A, [resolution_A], low_snr, seed=3, radius_part=1.0)
    found = resolve(one).resolution_A[one.resolution_A > 0]
    assert (found > 0).all()
    assert np.median(found) == pytest.approx(resolution_A, rel=0.05)
    assert np.std(found / resolution_A) < 0.1


@pytest.mark.parametrize("threshold", [0.143, 0.5])
@pytest.mark.parametrize("falloff", [lambda k: np.exp(-5 * k), lambda k: k**-6.0, lambda k: np.exp(-3 * k**4)])
def test_where_the_signal_falls_in_other_ways_the_middle_is_the_fsc_of_the_whole(
    falloff: Callable[[NDArray[np.floating]], NDArray[np.floating]], threshold: float
) -> None:
    """Exponential, power law, and a cliff: none is what the model of `band_means` takes an SNR for."""
    box, shell = 64, np.arange(65) / 18.0
    amplitude = np.sqrt(snr(np.ones(1), 1.0, 30.0) * falloff(np.maximum(shell, 0.1)) / falloff(np.ones(1)))
    signal = multiply_radially(white(10), np.minimum(amplitude, 10.0))
    halves = [signal + white(seed) for seed in (11, 12)]
    everywhere = np.ones((box,) * 3, np.float32)
    found = local_resolution(*halves, everywhere, PIXEL_A, threshold).resolution_A
    ratio = np.square(amplitude)
    expected = box * PIXEL_A / np.interp(-threshold, -ratio / (1 + ratio), np.arange(65))
    assert np.median(found) == pytest.approx(expected, rel=0.04)


def test_the_mean_local_fsc_is_the_correlation_of_the_halves() -> None:
    """Few coefficients in the window of equal power do not bias it."""
    signal = white(20)
    halves = [np.float32(np.sqrt(0.3)) * signal + np.float32(np.sqrt(0.7)) * white(seed) for seed in (21, 22)]
    found = local_resolution(*halves, np.ones_like(signal), PIXEL_A)
    for band, correlation in list(zip(found.bands, found.correlation, strict=True))[-8:]:
        shells = np.abs(np.log(np.maximum(np.arange(33), 1) / band)) < 0.15
        whole = [multiply_radially(half, shells.astype(float)).ravel() for half in halves]
        assert correlation.mean(dtype=float) == pytest.approx(np.corrcoef(*whole)[0, 1], rel=0.03)


def test_a_place_resolved_to_the_end_has_twice_the_pixel() -> None:
    signal = white(30)
    found = local_resolution(signal, signal + 0.1 * white(31), np.ones_like(signal), PIXEL_A).resolution_A
    assert found == pytest.approx(2 * PIXEL_A, rel=1e-4)


def test_each_region_has_its_own() -> None:
    one = planted(80, PIXEL_A, [5.0, 9.0], seed=1)
    found = resolve(one).resolution_A
    for resolution in (5.0, 9.0):
        region = one.resolution_A == resolution
        inner = np.asarray(distance_transform_edt(region)) * PIXEL_A > resolution
        assert np.median(found[inner]) == pytest.approx(resolution, rel=0.06)
        assert np.abs(np.log(found[region] / resolution)).mean() < 0.12


def test_beside_a_better_region_it_is_what_the_window_holds_of_both() -> None:
    """At a plane border a window of standard deviation s holds the part Phi(-t / s) of the other side."""
    one = planted(64, PIXEL_A, [5.0, 10.0], seed=1)
    found = resolve(one).resolution_A
    distance = np.asarray(distance_transform_edt(one.resolution_A != 5.0)) * PIXEL_A
    frequency = np.linspace(1 / 50, 1 / (2 * PIXEL_A), 4000)
    better, worse = (ratio / (1 + ratio) for ratio in (snr(frequency, value, 30.0) for value in (5.0, 10.0)))
    for near, far in ((2.1, 4.1), (4.1, 7.0), (7.0, 10.0), (10.0, 14.0)):
        place = (one.resolution_A == 10.0) & (distance > near) & (distance <= far)
        other_side = ndtr(-(near + far) / 2 * frequency / WINDOW)
        mixed = other_side * better + (1 - other_side) * worse
        expected = 1 / frequency[np.argmax(mixed < 0.143)]
        assert np.median(found[place]) == pytest.approx(expected, rel=0.08)


def test_another_threshold_is_where_its_signal_is() -> None:
    """FSC = 0.5 is an SNR of 1."""
    one = planted(72, PIXEL_A, [6.0], seed=4, radius_part=1.0)
    frequency = np.linspace(0.02, 0.25, 2000)
    expected = 1 / frequency[np.argmin(np.abs(snr(frequency, 6.0, 30.0) - 1))]
    found = resolve(one, 0.5).resolution_A[one.resolution_A > 0]
    assert np.median(found) == pytest.approx(expected, rel=0.04)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("colour", [0.0, 0.05, -0.02])
def test_nothing_is_found_in_noise(seed: int, colour: float) -> None:
    """Noise white, falling, or rising with frequency, and masked before by the same mask: no place is resolved."""
    curve = np.exp(-colour * np.arange(64))
    mask = ball(64, 24.0)
    halves = [multiply_radially(white(2 * seed + half), curve) for half in range(2)]
    assert not local_resolution(*halves, mask, PIXEL_A).resolution_A.any()
    masked = [half * mask for half in halves]
    assert not local_resolution(*masked, mask, PIXEL_A).resolution_A.any()


def test_a_noisy_part_far_from_the_rest_is_not_resolved() -> None:
    """Beyond the reach of the coarsest window nothing of the resolved part speaks for it."""
    one = planted(96, 4.0, [10.0], seed=5, radius_part=0.2)
    everywhere = np.ones_like(one.mask)
    found = local_resolution(one.half1, one.half2, everywhere, 4.0).resolution_A
    away = np.asarray(distance_transform_edt(one.resolution_A == 0)) * 4.0
    assert (found[one.resolution_A > 0] > 0).all()
    assert (found[away > 100] > 0).mean() < 0.001
    assert found[(away > 40) & (found > 0)].min() > 20


def test_scale_and_order_of_half_maps_do_not_matter() -> None:
    one = planted(64, PIXEL_A, [6.0, 9.0], seed=6)
    found = resolve(one).resolution_A
    scaled = local_resolution(one.half2 * 300, one.half1 * 0.01, one.mask, PIXEL_A).resolution_A
    assert np.allclose(found, scaled, rtol=1e-2)


def test_outside_the_mask_nothing_is_said() -> None:
    one = planted(64, PIXEL_A, [6.0], seed=7)
    found = resolve(one).resolution_A
    assert not found[one.mask < 0.5].any()


def test_a_box_without_room_is_refused() -> None:
    with pytest.raises(InputError, match="a box of 4 voxels of 2 A has no room for local resolution"):
        local_resolution(white(0, 4), white(1, 4), np.ones((4, 4, 4), np.float32), PIXEL_A)


def test_the_filter_is_better_than_any_one_filter_for_all() -> None:
    """Nearer to the signal than the mean weighted by the FSC of the whole, and than the best low-pass of it."""
    one = planted(80, PIXEL_A, [4.5, 7.0, 12.0], seed=8)
    mean = (one.half1 + one.half2) / 2
    local = local_filter(mean, one.mask, resolve(one), PIXEL_A)
    report = fsc_report(one.half1, one.half2, one.mask, PIXEL_A)
    weighted = multiply_radially(mean, fsc_weights(report.corrected.correlation))

    def error(volume: NDArray[np.float32]) -> float:
        inside = one.resolution_A > 0
        return float(np.square(volume - one.signal)[inside].mean() / np.square(one.signal)[inside].mean())

    shells = np.arange(41)
    best = min(error(multiply_radially(mean, (shells <= cut).astype(float))) for cut in range(8, 41, 2))
    assert error(local) < 0.8 * error(weighted)
    assert error(local) < 0.8 * best


def test_the_filter_leaves_nothing_of_noise_and_all_of_a_clean_map() -> None:
    one, two = white(1), white(2)
    mask = ball(64, 26.0)
    noise = local_resolution(one, two, mask, PIXEL_A)
    assert not local_filter((one + two) / 2, mask, noise, PIXEL_A).any()
    clean = multiply_radially(one, np.exp(-np.square(np.arange(33) / 10.0)))
    same = local_resolution(clean, clean, mask, PIXEL_A)
    assert same.resolution_A[mask > 0.5] == pytest.approx(2 * PIXEL_A, rel=0.1)
    inner = ball(64, 20.0) > 0
    assert np.abs(local_filter(clean, mask, same, PIXEL_A) - clean)[inner].max() < 0.02 * clean.std()


def test_a_negative_b_factor_sharpens() -> None:
    one = planted(64, PIXEL_A, [5.0], low_snr=1e4, seed=9)
    found = resolve(one)
    mean = (one.half1 + one.half2) / 2
    plain = local_filter(mean, one.mask, found, PIXEL_A)
    sharp = local_filter(mean, one.mask, found, PIXEL_A, bfactor_A2=-80.0)
    expected = multiply_radially(plain, np.exp(20 * np.square(np.arange(33) / (64 * PIXEL_A))))
    inner = one.mask == 1
    assert np.corrcoef(sharp[inner], expected[inner])[0, 1] > 0.99
    assert sharp[inner].std() > 1.05 * plain[inner].std()


def test_a_spectrum_on_a_smaller_grid_is_the_same_map_with_fewer_points() -> None:
    smooth = multiply_radially(white(3), (np.arange(33) < 12).astype(float))
    small = inverse(cut(transform(smooth), 32), 32)
    assert np.abs(small - smooth[::2, ::2, ::2]).max() < 1e-4
    assert np.abs(inverse(cut(transform(small), 64), 64) - smooth).max() < 1e-4


def test_values_between_points_lie_on_a_line() -> None:
    ramp = np.broadcast_to(np.minimum(np.arange(8), 7 - np.arange(8)).astype(np.float32)[:, None, None], (8, 8, 8))
    fine = interpolate(ramp, 16)
    assert np.allclose(fine[::2, ::2, ::2], ramp)
    assert np.allclose(fine[1:7:2, 0, 0], [0.5, 1.5, 2.5])
    assert np.allclose(fine[15], (ramp[7] + ramp[0])[0, 0] / 2), "maps repeat beyond their edge"


@pytest.mark.parametrize(("least", "size"), [(3.0, 4), (26.5, 30), (101, 108)])
def test_sizes_are_even_and_fast(least: float, size: int) -> None:
    assert even_fast_size(least) == size
