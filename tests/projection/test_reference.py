"""References against the closed-form transform of Gaussian particle."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mpop.projection.disc import HalfDisc
from mpop.projection.reference import gridding_correction, prepare_reference
from mpop.projection.score import project_slices

BOX = 48


def undo_correction(density: np.ndarray) -> np.ndarray:
    """What the gridding correction takes back to the density."""
    one = gridding_correction(len(density))
    return density * one[:, None, None] * one[:, None] * one


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-7), (np.float32, 1e-5)])
def test_values_are_the_transform_about_the_centre(blobs: Callable, dtype: type, tolerance: float) -> None:
    particle = blobs(BOX, 14)
    reference = prepare_reference(undo_correction(particle.density()), 2.0, 2.0 * BOX / 10, dtype)
    assert reference.reach == 10
    assert reference.values.dtype == dtype
    assert reference.values.shape == (23, 23, 12, 2)
    z, y, x = np.meshgrid(np.arange(-11, 12), np.arange(-11, 12), np.arange(12), indexing="ij")
    expected = particle.transform(np.stack([x, y, z], axis=-1).astype(float))
    found = reference.values[..., 0] + 1j * reference.values[..., 1]
    assert np.abs(found - expected).max() < tolerance * np.abs(expected).max()


def test_reach_covers_the_resolution_and_stays_below_nyquist() -> None:
    volume = np.zeros((32, 32, 32), np.float32)
    assert prepare_reference(volume, 3.0, 10.0).reach == 10  # 96 A / 10 A = 9.6 shells
    assert prepare_reference(volume, 3.0, 2.0).reach == 15
    assert prepare_reference(volume, 3.0, 10.0).extent_A == 96.0


def relative_rms(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.sqrt(np.square(np.abs(found - expected)).sum() / np.square(np.abs(expected)).sum()))


@pytest.mark.parametrize("part_of_box", [1 / 4, 1 / 3, 1 / 2])
def test_slices_are_those_of_the_map(blobs: Callable, random_rows: Callable, part_of_box: float) -> None:
    """Trilinear interpolation leaves ghosts that grow as the square of the particle's size in its box."""
    worst = 0.16 * part_of_box**2
    particle = blobs(BOX, part_of_box * BOX / 2)
    disc = HalfDisc.make(BOX, 15.0)
    rows = random_rows(8)
    expected = particle.transform(disc.frequencies() @ rows)
    found = project_slices(prepare_reference(particle.density(), 1.0, BOX / 15, np.float64), disc, rows)
    assert relative_rms(found, expected) < worst
    uncorrected = prepare_reference(undo_correction(particle.density()), 1.0, BOX / 15, np.float64)
    assert relative_rms(project_slices(uncorrected, disc, rows), expected) > 2 * worst


def test_slices_are_transforms_of_projection_images(blobs: Callable, random_rows: Callable) -> None:
    """Rows are the first two of A, x_image = A x_map, in real space too: not their transpose, no flipped axis."""
    particle = blobs(BOX, BOX / 8)
    disc = HalfDisc.make(BOX, 15.0)
    rows = random_rows(4)
    reference = prepare_reference(particle.density(), 1.0, BOX / 15, np.float64)
    for slice_, (first, second) in zip(project_slices(reference, disc, rows), rows, strict=True):
        image = particle.image(np.stack([first, second, np.cross(first, second)]))
        expected = disc.pack(np.fft.rfft2(np.fft.ifftshift(image)))
        assert relative_rms(slice_, expected) < 0.16 * (1 / 4) ** 2
