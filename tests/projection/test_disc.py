"""The half disc holds each Friedel pair of its ring once, and packing loses nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpop.projection.disc import HalfDisc


def between_lattice_points(draw: st.DrawFn, low: float, high: float) -> float:
    """A radius whose square is half-integer, so that no component lies on the edge and rounding cannot matter."""
    return np.sqrt(draw(st.integers(int(low**2), int(high**2))) + 0.5)


@st.composite
def discs(draw: st.DrawFn) -> HalfDisc:
    size = 2 * draw(st.integers(4, 40))
    r_min = between_lattice_points(draw, 0, size / 4)
    r_max = between_lattice_points(draw, r_min, 0.8 * size)
    return HalfDisc.make(size, r_max, r_min)


def pairs(k: np.ndarray) -> set[tuple[int, int]]:
    return {(int(x), int(y)) for x, y in k}


@given(discs())
def test_each_friedel_pair_of_the_ring_once(disc: HalfDisc) -> None:
    k = disc.frequencies()
    nyquist = disc.size // 2
    x, y = np.meshgrid(np.arange(-nyquist, nyquist), np.arange(-nyquist, nyquist))
    radius = np.hypot(x, y)
    ring = (radius >= disc.r_min) & (radius <= min(disc.r_max, nyquist - 1))
    here, mates = pairs(k), pairs(-k)
    assert len(here) == len(k) == len(disc)
    assert here.isdisjoint(mates)
    assert here | mates == pairs(np.stack([x[ring], y[ring]], axis=-1))


@given(discs())
def test_index_and_radius_belong_to_the_frequencies(disc: HalfDisc) -> None:
    shape = (disc.size, disc.size // 2 + 1)
    y, x = np.unravel_index(disc.index, shape)
    k_y = np.fft.fftfreq(disc.size, 1 / disc.size)[y]
    np.testing.assert_array_equal(disc.frequencies(), np.stack([x, k_y], axis=-1))
    np.testing.assert_allclose(disc.radius, np.hypot(x, k_y), rtol=1e-15)
    assert disc.row_start[-1] == len(disc)


@given(discs(), st.integers(0, 2**32 - 1))
def test_unpack_undoes_pack_on_the_disc_and_is_zero_elsewhere(disc: HalfDisc, seed: int) -> None:
    rng = np.random.default_rng(seed)
    packed = rng.normal(size=(2, len(disc))) + 1j * rng.normal(size=(2, len(disc)))
    plane = disc.unpack(packed)
    np.testing.assert_array_equal(disc.pack(plane), packed)
    assert np.count_nonzero(plane) == packed.size


def test_twice_the_packed_power_is_that_of_the_image() -> None:
    image = np.random.default_rng(0).normal(size=(32, 32))
    disc = HalfDisc.make(32, 11.3, 2.5)
    packed = disc.pack(np.fft.rfft2(image))
    frequency = np.fft.fftfreq(32, 1 / 32)
    radius = np.hypot(*np.meshgrid(frequency, frequency))
    power = np.square(np.abs(np.fft.fft2(image)))[(radius >= 2.5) & (radius <= 11.3)].sum()
    assert 2 * np.square(np.abs(packed)).sum() == pytest.approx(power, rel=1e-12)


def test_components_on_the_edge_belong_to_the_disc() -> None:
    assert (3, 4) in pairs(HalfDisc.make(32, 5.0).frequencies())
    assert (3, -4) in pairs(HalfDisc.make(32, 9.0, 5.0).frequencies())
    assert len(HalfDisc.make(32, 1.0)) == 2


def test_the_mean_is_never_part_of_it() -> None:
    assert (0, 0) not in pairs(HalfDisc.make(16, 5.0, 0.0).frequencies())


def test_disc_without_components() -> None:
    disc = HalfDisc.make(16, 0.5)
    assert len(disc) == 0
    assert disc.pack(np.ones((3, 16, 9))).shape == (3, 0)
