"""A map's filter on cubes: symmetric, about the origin, and the map's own values."""

from __future__ import annotations

import numpy as np
import pytest

from mpop.networks.filters import filter_of_cubes


def random_filter(box: int) -> np.ndarray:
    """Real and equal for k and -k: the power of a real map's transform."""
    return np.abs(np.fft.rfftn(np.random.default_rng(box).standard_normal((box,) * 3))) ** 2 / box**3


def cone(box: int) -> np.ndarray:
    kz, ky = np.meshgrid(np.fft.fftfreq(box), np.fft.fftfreq(box), indexing="ij")
    radius = np.hypot(ky[..., None], np.fft.rfftfreq(box))
    return (np.abs(kz)[..., None] <= radius).astype(np.float64)


@pytest.mark.parametrize(("box", "edge"), [(24, 24), (25, 25), (24, 9), (24, 8), (25, 8), (25, 11)])
def test_filters_of_cubes_are_symmetric_and_exact_about_the_origin(box: int, edge: int) -> None:
    """Symmetric: a filtered impulse is its own mirror image about itself, with nothing imaginary left over."""
    small = filter_of_cubes(random_filter(box), edge)
    assert small.shape == (edge, edge, edge // 2 + 1)
    whole = np.fft.irfftn(small, s=(edge,) * 3, axes=(0, 1, 2))
    np.testing.assert_allclose(np.fft.rfftn(whole), small, atol=1e-5)
    mirror = -np.arange(edge) % edge
    np.testing.assert_allclose(whole, whole[np.ix_(mirror, mirror, mirror)], atol=1e-6)


def test_cubes_as_large_as_the_map_have_its_filter() -> None:
    whole = random_filter(12)
    np.testing.assert_allclose(filter_of_cubes(whole, 12), whole, rtol=1e-4)


def test_a_filter_that_does_nothing_does_nothing_to_cubes() -> None:
    np.testing.assert_allclose(filter_of_cubes(np.ones((18, 18, 10)), 8), 1, rtol=1e-5)


@pytest.mark.parametrize("edge", [8, 12])
def test_frequencies_that_cube_and_map_share_have_the_value_of_the_map(edge: int) -> None:
    whole, step = random_filter(24), 24 // edge
    np.testing.assert_allclose(filter_of_cubes(whole, edge), whole[::step, ::step, ::step], rtol=1e-5)


def test_a_cone_keeps_its_tip_at_the_origin_and_its_angle() -> None:
    """In a box whose edge is no multiple of the cube's, where scaling an image would move the origin."""
    small, expected = filter_of_cubes(cone(50), 16), cone(16)
    differs = np.argwhere(np.abs(small - expected) > 0.5)
    assert len(differs) < 0.02 * expected.size
    assert small[0, 0, 0] == 1
    np.testing.assert_array_equal(small[1:4, 0, 0], 0)
