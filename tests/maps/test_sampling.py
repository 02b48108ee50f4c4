"""Fourier sampling and point spread functions against what integrals and brute force say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.spatial.transform import Rotation
from scipy.special import dawsn, i0e

from mpop.geometry.euler import euler_to_matrix
from mpop.geometry.symmetry import symmetry_matrices
from mpop.maps.sampling import (
    Views,
    directions_of_angles,
    efficiency,
    fibonacci_sphere,
    shell_sampling,
    unique_sphere,
)

Array = NDArray[np.float64]

C1 = symmetry_matrices("C1")
BFACTOR_A2 = 160.0
WIDTH_A = np.sqrt(2 * BFACTOR_A2) / (2 * np.pi)
"""Where a single slice's point spread function has fallen to 1 / e^2 across it."""


def views(direction: Array) -> Views:
    return Views(direction, np.ones(len(direction)))


def ring(count: int) -> Array:
    """Side views alone."""
    angle = np.arange(count) / count * 2 * np.pi
    return np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)


def side_view_extent(cosine: float) -> float:
    """R of side views at an angle to their axis: the mean over the ring is a Bessel function."""
    square = 1 - cosine**2
    return brentq(
        lambda r: np.exp(-2 * (r * cosine / WIDTH_A) ** 2) * i0e(square * (r / WIDTH_A) ** 2) - np.exp(-2),
        0.1 * WIDTH_A,
        10 * WIDTH_A,
    )


def test_even_views_sample_evenly() -> None:
    """Of 10^4 even views a point of the shell of radius 20 is in 250, with little scatter."""
    found = shell_sampling(views(fibonacci_sphere(10_000)), C1, 20.0)
    assert found.mean == pytest.approx(250, rel=0.01)
    assert found.scf == pytest.approx(1.0, abs=0.005)
    assert found.scf_star == found.scf
    assert found.empty == 0


def test_chance_costs_what_its_variance_says() -> None:
    """Counts of random views are Poisson: 1 / SCF = <s> <1/s> = 1 + 1 / <s> + ..."""
    direction = np.random.default_rng(1).standard_normal((4_000, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    found = shell_sampling(views(direction), C1, 40.0)
    assert found.mean == pytest.approx(50, rel=0.02)
    assert 1 / found.scf == pytest.approx(1 + 1 / 50 + 2 / 50**2, abs=0.01)


def test_side_views_have_the_published_value() -> None:
    """Sampling goes as 1 / sin of the angle to the axis; <1/s> <s> is the mean sine times pi / 2: pi^2 / 8."""
    found = shell_sampling(views(ring(20_000)), C1, 50.0)
    assert found.scf == pytest.approx(8 / np.pi**2, abs=0.003)
    assert found.empty == 0


def test_one_view_leaves_all_but_one_slab_empty() -> None:
    count, radius = 300, 25.0
    found = shell_sampling(views(np.tile([[0.0, 0.0, 1.0]], (count, 1))), C1, radius)
    part = 1 / (2 * radius)
    assert found.empty == pytest.approx(1 - part, abs=0.002)
    assert found.scf == 0
    expected = 1 / (count * part * (1 / count + (1 - part) / (2 * part)))
    assert found.scf_star == pytest.approx(expected, rel=0.05)
    assert found.value.max() == count


def test_sampling_is_the_number_of_slices_through_a_point() -> None:
    direction = Rotation.random(700, rng=np.random.default_rng(3)).as_matrix()[:, 2]
    weight = np.random.default_rng(4).uniform(0.2, 1.0, 700)
    found = shell_sampling(Views(direction, weight), C1, 10.0)
    brute = [weight[np.abs(direction @ point) < 0.05].sum() for point in found.sphere.points]
    assert np.allclose(found.value, brute, rtol=1e-5)


@pytest.mark.parametrize("name", ["C1", "C5", "D7", "T", "O", "I2"])
def test_symmetry_is_that_of_expanded_views(name: str) -> None:
    """Every image seen as each of its mates, in C1, gives the same figures."""
    matrices = symmetry_matrices(name)
    direction = Rotation.random(200, rng=np.random.default_rng(5)).as_matrix()[:, 2]
    expanded = views(np.einsum("gji,nj->gni", matrices, direction).reshape(-1, 3))
    found, brute = shell_sampling(views(direction), matrices, 20.0), shell_sampling(expanded, C1, 20.0)
    same = [(np.abs(expanded.direction @ point) < 0.025).sum() for point in found.sphere.points]
    differ = np.abs(found.value - same)
    assert differ.max() <= 1, "an image on the very edge of a point may fall to either side in single precision"
    assert (differ > 0).mean() < 0.01
    assert found.mean == pytest.approx(brute.mean, rel=0.02)
    assert found.scf_star == pytest.approx(brute.scf_star, rel=0.05)
    one = efficiency(views(direction), matrices, 150.0, BFACTOR_A2)
    two = efficiency(expanded, C1, 150.0, BFACTOR_A2)
    assert one.efficiency == pytest.approx(two.efficiency, abs=0.01)


@pytest.mark.parametrize("name", ["C1", "C5", "D7", "T", "O", "I2"])
def test_unique_directions_and_their_mates_are_the_whole_sphere(name: str) -> None:
    matrices = symmetry_matrices(name)
    sphere = unique_sphere(matrices, 10_000)
    everywhere = np.concatenate([sphere.mates.reshape(-1, 3), -sphere.mates.reshape(-1, 3)])
    assert np.abs(everywhere.mean(axis=0)).max() < 1e-12
    second = everywhere.T @ everywhere / len(everywhere)
    assert np.abs(second - np.eye(3) / 3).max() < 0.005
    assert len(everywhere) == pytest.approx(max(10_000, 2_000 * len(matrices)), rel=0.02)
    index = sphere.nearest(-sphere.mates[:, -1])
    assert np.array_equal(index, np.arange(len(sphere.points)))


def test_even_views_spread_a_point_evenly() -> None:
    """The mean over directions is Dawson's integral D(x) / x with x = sqrt(2) R / width."""
    root = brentq(lambda x: dawsn(x) / x - np.exp(-2), 1.0, 5.0)
    found = efficiency(views(fibonacci_sphere(20_000)), C1, 1000.0, BFACTOR_A2)
    assert found.extent_A == pytest.approx(root * WIDTH_A / np.sqrt(2), rel=0.01)
    assert found.efficiency == pytest.approx(1.0, abs=0.01)


def test_side_views_spread_a_point_as_the_integral_says() -> None:
    found = efficiency(views(ring(20_000)), C1, 1000.0, BFACTOR_A2)
    expected = np.array([side_view_extent(z) for z in found.sphere.points[:, 2]])
    assert found.extent_A == pytest.approx(expected, rel=0.02)
    even = np.array([side_view_extent(z) for z in (np.arange(500) + 0.5) / 500])
    assert found.efficiency == pytest.approx(1 - 2 * even.std() / even.mean(), abs=0.01)
    assert found.efficiency == pytest.approx(0.285, abs=0.01)


def test_one_view_spreads_a_point_along_the_beam_up_to_the_particle() -> None:
    diameter_A = 150.0
    found = efficiency(views(np.array([[0.0, 0.0, 1.0]])), C1, diameter_A, BFACTOR_A2)
    along = np.abs(found.sphere.points[:, 2])

    def height(r: float, cosine: float) -> float:
        across = np.exp(-2 * r**2 * (1 - cosine**2) / WIDTH_A**2)
        return across * np.sinc(r * cosine / diameter_A) - np.exp(-2)

    expected = np.array([brentq(height, 0.1, diameter_A, args=(cosine,)) for cosine in along])
    assert found.extent_A == pytest.approx(expected, rel=1e-3)
    assert found.efficiency < 0


def test_efficiency_does_not_hang_on_the_unit_of_length() -> None:
    direction = ring(500)
    one = efficiency(views(direction), C1, 150.0, 160.0).efficiency
    assert efficiency(views(direction), C1, 300.0, 640.0).efficiency == pytest.approx(one, abs=1e-4)


def test_a_viewing_direction_is_the_third_row_of_the_matrix() -> None:
    angles = np.random.default_rng(8).uniform(-180, 180, (50, 3))
    third = euler_to_matrix(torch.as_tensor(angles))[:, 2].numpy()
    assert np.allclose(directions_of_angles(angles), third)
