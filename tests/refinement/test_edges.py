"""What lies beyond the border of an image, or in a blank part of it, has no weight."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from true_maps import true_maps

from mpop.maps.fsc import fsc_report, up_to
from mpop.projection.disc import HalfDisc
from mpop.projection.insertion import FourierSums, insert
from mpop.refinement.extraction import measured_part


def test_the_part_of_a_disc_that_was_measured() -> None:
    origin = np.array([[50, 40], [0, 40], [0, 0], [99, 79], [-1, 40], [100, 40], [25, 40]])
    part = measured_part((80, 100), None, origin, 41.0)
    assert part[0] == 1
    assert part[1] == pytest.approx(0.5, abs=0.02)  # the column of the centre is in it
    assert part[2] == pytest.approx(0.25, abs=0.02)
    assert part[3] == pytest.approx(0.25, abs=0.02)
    assert part[4] == part[5] == 0
    assert part[6] == 1
    present = np.ones((80, 100), bool)
    present[:, 50:] = False
    half = measured_part((80, 100), present, origin, 41.0)
    assert half[0] == pytest.approx(0.5, abs=0.02)
    assert half[6] == pytest.approx(1.0, abs=0.01)
    assert half[3] == 0


def blank_stripes(image: np.ndarray, series: int, tilt: int) -> np.ndarray:
    """A third of the columns blank."""
    image = image.copy()
    for start in np.random.default_rng([series, tilt]).integers(0, 256, 3):
        image[:, start : start + 30] = image.mean()
    return image


def test_amplitudes_are_right_where_particles_were_seen_in_part(shared_tiny_world) -> None:
    """Without weights by what was measured they come out as 0.72 and 0.68."""
    population, truth = shared_tiny_world.population, shared_tiny_world.data / "truth"
    whole, part = (true_maps(population, truth, *change) for change in ((), (blank_stripes,)))
    for one in population.species().values():
        mask = population.maps(one)["mask"]
        expected, found = (np.mean(maps[one.name], axis=0) * mask for maps in (whole, part))
        assert (expected * found).sum() / np.square(expected).sum() == pytest.approx(1.0, abs=0.05)


def test_maps_finer_than_their_images_are_resolved_to_what_images_show() -> None:
    """Half-maps with pixels of 2.1 A from images that end at 6.1 A: a mask smears signal beyond, alike in both."""
    box, pixel_A, ends_A, rng = 72, 2.1, 6.1, np.random.default_rng(1)
    axis = (np.arange(box) - box // 2) * pixel_A
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    mask = np.clip((50 - radius) / 10, 0, 1).astype(np.float32)
    place = np.fft.fftfreq(box, pixel_A)
    measured = np.sqrt(place[:, None, None] ** 2 + place[:, None] ** 2 + place**2) < 1 / ends_A
    density = rng.normal(size=mask.shape) * (radius < 40)
    half1, half2 = (
        np.fft.ifftn(np.fft.fftn(density + rng.normal(0, 0.3, mask.shape)) * measured).real.astype(np.float32)
        for _ in range(2)
    )
    report = fsc_report(half1, half2, mask, pixel_A)
    assert report.resolution_A == pytest.approx(2 * pixel_A)
    last = int(box * pixel_A / ends_A)
    honest = up_to(report, last)
    assert honest.resolution_A is not None
    assert box * pixel_A / (last + 1) < honest.resolution_A <= box * pixel_A / last
    assert not honest.corrected.correlation[last + 1 :].any()
    np.testing.assert_array_equal(
        honest.corrected.correlation[: last + 1], report.corrected.correlation[: last + 1]
    )


def test_sums_know_how_far_they_were_measured() -> None:
    sums = FourierSums.zeros(40)
    assert sums.last_shell() == 0
    disc = HalfDisc.make(40, 12.0, r_min=0.0)
    turn = Rotation.random(20, rng=np.random.default_rng(3)).as_matrix()[:, :2]
    ones = np.ones((20, len(disc)), np.float32)
    insert(sums, disc, ones.astype(np.complex64), ones, turn)
    assert sums.last_shell() == 12
