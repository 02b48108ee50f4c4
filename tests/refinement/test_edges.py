"""What lies beyond the border of an image, or in a blank part of it, has no weight."""

from __future__ import annotations

import numpy as np
import pytest
from true_maps import true_maps

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
