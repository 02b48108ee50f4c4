"""Particles in both half-sets are counted, and neighbours are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mpop.collisions.half_sets import half_sets_doubt, in_both, refuse_empty_half
from mpop.errors import InputError

GRID = np.stack(np.meshgrid(*[np.arange(0.0, 1000, 40)] * 3), axis=-1).reshape(-1, 3)
HALF = (np.arange(len(GRID)) % 2 + 1).astype(np.uint8)


def doubt(half: np.ndarray, position: np.ndarray, diameter_A: float = 120.0):
    return half_sets_doubt("t.star", [(half, position[:, None])], diameter_A)


def with_copies(count: int, shift_A: float) -> tuple[np.ndarray, np.ndarray]:
    """A lattice with so many of its particles a second time, a bit apart, in the other half-set."""
    half = np.concatenate([HALF, 3 - HALF[:count]])
    return half, np.concatenate([GRID, GRID[:count] + np.array([shift_A, 0, 0])])


@pytest.mark.parametrize("shift", [0.0, 5.0, 11.9])
def test_copies_in_the_other_half_set_are_counted(shift: float) -> None:
    found = doubt(*with_copies(500, shift))
    assert found is not None
    assert found.grave
    assert f"1000 of {len(GRID) + 500} particles are nearer than 12 A to one in the other half-set" in str(found)


def test_few_copies_are_said_and_many_are_grave() -> None:
    limit = round(0.005 * len(GRID))
    few, many = doubt(*with_copies(limit - 1, 3.0)), doubt(*with_copies(2 * limit, 3.0))
    assert few is not None and not few.grave
    assert many is not None and many.grave


def test_neighbours_and_copies_in_one_half_set_are_no_matter() -> None:
    assert doubt(HALF, GRID) is None
    assert doubt(HALF, GRID, diameter_A=1000.0) is None  # neighbours in a lattice of 40 A
    half, position = with_copies(500, 12.1)
    assert doubt(half, position) is None
    half, position = with_copies(500, 0.0)
    half[-500:] = HALF[:500]
    assert doubt(half, position) is None


def test_particles_of_different_tomograms_are_apart() -> None:
    parts = [(np.full(5, which, np.uint8), GRID[:5, None]) for which in (1, 2)]
    assert half_sets_doubt("t.star", parts, 120.0) is None


def test_a_place_that_is_none_is_near_nothing() -> None:
    position = np.array([[1.0, 1, 1], [np.nan, 1, 1], [1, 1, 1]])
    assert in_both(np.array([1, 2, 2], np.uint8), position, 5.0).tolist() == [True, False, True]


def test_an_empty_half_set_is_refused() -> None:
    one, two = np.ones(3, np.uint8), np.full(2, 2, np.uint8)
    with pytest.raises(
        InputError, match=r"t\.star: all particles are in half-set 2, and the half-map of the other"
    ):
        refuse_empty_half("t.star", [two, two])
    refuse_empty_half("t.star", [one, two])
    refuse_empty_half("t.star", [])


def test_the_real_hiv_particles_are_not_doubted(test_data: Path, tmp_path: Path) -> None:
    """9053 particles on a lattice of 75 A, of which RELION took the duplicates out."""
    import gzip

    from mpop.formats.particle_tables import read_particles

    path = tmp_path / "run_data.star"
    path.write_bytes(gzip.decompress((test_data / "relion5_tomo/Refine3D/job034/run_data.star.gz").read_bytes()))
    table = read_particles(path)
    assert table.half is not None
    series = np.array(table.series)
    parts = [(table.half[series == name], table.position_A[series == name]) for name in set(table.series)]
    assert half_sets_doubt("hiv", parts, 160.0) is None
