"""Where an FSC ends: at falls that chance does not explain, and never behind the signal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mpop.maps.filters import multiply_radially
from mpop.maps.fsc import fsc_report, masked_fsc
from mpop.maps.fsc_curve import FSCCurve
from mpop.maps.masks import soft_sphere
from mpop_hooks.fsc_end import THRESHOLD, independent_part, mean_z

Map = np.ndarray
BOX = 48
SHELLS = np.arange(BOX // 2 + 1)
MASKS = {radius: soft_sphere(BOX, 1.0, radius, 5.0) for radius in (7.0, 10.0, 14.0)}


def curve(correlation: np.ndarray, part: float = 0.05, copies: int | None = 1) -> FSCCurve:
    return FSCCurve(np.arange(len(correlation)) / BOX, correlation, part, copies)


def with_dip(depth: float, behind: float = 0.3) -> np.ndarray:
    """0.9 that falls to 0.2, one shell below the threshold, some more above, nothing."""
    falling = [1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.2, 0.2, 0.2, 0.2]
    return np.array([*falling, depth, *5 * [behind], *5 * [0.0]])


def test_a_dip_that_chance_explains_is_no_end() -> None:
    """Shell 15 holds 70 independent pairs: 0.05 where 0.143 is meant is nothing, and 0.3 behind it is much."""
    without = curve(with_dip(0.2)).crossing(THRESHOLD)
    assert without is not None
    assert 20 < without * BOX < 21
    for depth in (0.05, 0.12):
        assert curve(with_dip(depth)).crossing(THRESHOLD) == without


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("too deep", curve(with_dip(-0.3))),
        ("too many coefficients", curve(with_dip(0.05), part=1.0)),
        ("nothing behind", curve(with_dip(0.12, behind=0.0))),
        ("little behind", curve(with_dip(0.12, behind=0.18))),
        ("few independent ones behind, by symmetry", curve(with_dip(0.12), copies=24)),
        ("symmetry not known", curve(with_dip(0.12), copies=None)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_falls_are_ends(what: str, found: FSCCurve) -> None:
    assert found.crossing(THRESHOLD) == replace(found, copies=None).crossing(THRESHOLD), what


def test_a_second_dip_is_asked_as_the_first() -> None:
    twice = with_dip(0.12, behind=0.5)
    twice[18] = 0.12
    once = curve(twice).crossing(THRESHOLD)
    assert once is not None
    assert once * BOX > 20
    twice[18] = -0.5
    deep = curve(twice).crossing(THRESHOLD)
    assert deep is not None
    assert 17 < deep * BOX < 18


def octahedral(volume: Map) -> Map:
    """The sum over the rotations of a cube, with the variance of one."""
    faces = [np.rot90(volume, turns, (0, 2)) for turns in range(4)]
    faces += [np.rot90(volume, turns, (1, 2)) for turns in (1, 3)]
    total = sum(np.rot90(face, turns, (0, 1)) for face in faces for turns in range(4))
    return np.ascontiguousarray(total / np.sqrt(24), dtype=np.float32)


def as_it_is(volume: Map) -> Map:
    return volume


def white(rng: np.random.Generator) -> Map:
    return rng.standard_normal((BOX,) * 3, dtype=np.float32)


@pytest.mark.parametrize("radius", [7.0, 14.0])
def test_means_vary_as_reckoned(radius: float) -> None:
    """Noise in a mask: standard deviations of means over 1, 3 and 8 shells."""
    mask, rng = MASKS[radius], np.random.default_rng(5)
    curves = np.array([masked_fsc(white(rng), white(rng), mask, 1.0).correlation for _ in range(80)])
    z = np.array([mean_z(one, 10, 0.0, independent_part(mask), 1) for one in curves])
    for shells in (1, 3, 8):
        assert z[:, shells - 1].std() == pytest.approx(1.0, abs=0.25)


Symmetrise = Callable[[Map], Map]
SPECTRA = {
    "cliff": np.where(SHELLS <= 8, 5.0, 0.0),
    "slope": 8 * (THRESHOLD / (1 - THRESHOLD) / 8) ** (SHELLS / 12),
    "noise": np.zeros(len(SHELLS)),
}


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize("radius", MASKS)
@pytest.mark.parametrize(("symmetrise", "copies"), [(as_it_is, 1), (octahedral, 24)], ids=["C1", "O"])
def test_noise_behind_the_signal_lifts_no_resolution(
    symmetrise: Symmetrise, copies: int, radius: float, spectrum: str
) -> None:
    """Every fall of a spectrum without a hollow is its end, whatever chance does behind."""
    rng, mask = np.random.default_rng(7), MASKS[radius]
    power = np.pad(SPECTRA[spectrum], (0, BOX // 2), mode="edge")
    for _ in range(12):
        signal = multiply_radially(symmetrise(white(rng)), np.sqrt(power))
        halves = [signal + symmetrise(white(rng)) for _ in range(2)]
        report = fsc_report(halves[0], halves[1], mask, 1.0, copies=copies)
        first = replace(report.corrected, copies=None)
        assert report.corrected.crossing(THRESHOLD) == first.crossing(THRESHOLD)
        assert report.resolution_A is None or spectrum != "noise" or copies > 1


def test_a_hollow_of_the_spectrum_is_read_through() -> None:
    """SNR 0.18 at shell 11 and more on both sides, up to shell 16: chance takes the hollow below 0.143 now and
    then, and the first fall is there; the end is at shell 17 in all."""
    rng, mask = np.random.default_rng(3), MASKS[10.0]
    shells = np.arange(BOX)
    power = np.where(shells < 17, np.minimum(3.0, 0.18 + 0.18 * np.abs(shells - 11)), 0.0)
    first, found = [], []
    for _ in range(40):
        signal = multiply_radially(white(rng), np.sqrt(power))
        report = fsc_report(signal + white(rng), signal + white(rng), mask, 1.0, copies=1)
        if report.resolution_A is not None:
            found.append(BOX / report.resolution_A)
            first.append(BOX / (replace(report.corrected, copies=None).resolution() or np.inf))
    assert min(first) < 13
    assert min(found) > 16
    assert max(found) == max(first)
