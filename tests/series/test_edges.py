"""What lies beyond the border of an image, or in a blank part of it, has no weight."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from true_maps import true_maps

from mpop.maps.fsc import fsc_report, up_to
from mpop.maps.reconstruction import last_shell, reconstruct
from mpop.projection.disc import HalfDisc
from mpop.projection.insertion import FourierSums, insert
from mpop.projection.reference import gridding_correction
from mpop.series.extraction import measured_part


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


@pytest.mark.parametrize("stretch", [0.97, 0.993, 1.0, 1.013, 1.05])
def test_shells_beyond_what_images_reach_are_empty_and_not_loud(stretch: float) -> None:
    """Of noise of power 1, each shell has about as much; those that insertion alone reaches were far louder."""
    disc, rng = HalfDisc.make(40, 14.5, r_min=0.0), np.random.default_rng(3)
    turn = Rotation.random(300, rng=rng).as_matrix()[:, :2] * stretch
    noise = rng.normal(size=(2, 300, len(disc)))
    sums = FourierSums.zeros(64)
    insert(sums, disc, (noise[0] + 1j * noise[1]).astype(np.complex64), np.ones(noise.shape[1:], np.float32), turn)
    reached = 14.5 * stretch
    assert reached - 1 < last_shell(sums) <= reached + 0.5
    spectrum = np.abs(np.fft.fftshift(np.fft.fftn(reconstruct(sums, 64) * gridding(64)))) ** 2
    axis = np.square(np.arange(64) - 32)
    shell = np.rint(np.sqrt(axis[:, None, None] + axis[:, None] + axis)).astype(int).ravel()
    power = np.bincount(shell, spectrum.ravel()) / np.bincount(shell)
    inner = power[8:12].mean()
    assert power[12 : last_shell(sums) + 1].max() < 4 * inner
    assert power[last_shell(sums) + 1 :].max() < 1e-6 * inner


def gridding(size: int) -> np.ndarray:
    """What reconstruction divides by."""
    one = gridding_correction(size)
    return one[:, None, None] * one[:, None] * one
