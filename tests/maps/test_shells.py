"""Sums and means over shells against the full transform, shell by shell."""

from __future__ import annotations

import numpy as np
import plain_numpy
import pytest

from mpop.maps.filters import transform
from mpop.maps.shells import (
    mean_amplitudes,
    means_over,
    shell_counts,
    shell_means,
    shell_numbers,
    shell_radii,
    shell_radius,
)

BOXES = pytest.mark.parametrize("box", [16, 17])


def white(box: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((box,) * 3, dtype=np.float32)


@BOXES
def test_shells_are_whole_distances_from_the_origin(box: int) -> None:
    expected = plain_numpy.shells(box)[..., : box // 2 + 1]
    np.testing.assert_array_equal(shell_numbers(box), expected)
    np.testing.assert_array_equal(np.stack([*shell_radii(box)]), shell_radius(box))
    counts = np.bincount(plain_numpy.shells(box).ravel())[: box // 2 + 1]
    np.testing.assert_array_equal(shell_counts(box), counts)


@BOXES
def test_mean_amplitudes_are_those_of_the_full_transform(box: int) -> None:
    volume = white(box)
    amplitude, shell = np.abs(np.fft.fftn(volume)), plain_numpy.shells(box)
    expected = [amplitude[shell == number].mean() for number in range(box // 2 + 1)]
    np.testing.assert_allclose(mean_amplitudes(transform(volume)), expected, rtol=1e-5)


@BOXES
def test_means_are_over_what_the_layout_holds(box: int) -> None:
    values = np.random.default_rng(2).normal(size=(box, box, box // 2 + 1))
    shell = plain_numpy.shells(box)[..., : box // 2 + 1]
    expected = [values[shell == number].mean() for number in range(shell.max() + 1)]
    np.testing.assert_allclose(shell_means(values), expected[: box // 2 + 1], rtol=1e-9)
    np.testing.assert_allclose(means_over(shell, values), expected, rtol=1e-9)


def test_a_number_that_nothing_has_has_the_mean_0() -> None:
    np.testing.assert_array_equal(means_over(np.array([0, 2, 2]), np.array([4.0, 1.0, 2.0])), [4.0, 0.0, 1.5])
