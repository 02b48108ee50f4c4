"""The maps that come with a simulated project."""

from __future__ import annotations

import numpy as np
import pytest

from mpop.maps.fsc import fsc, fsc_report
from mpop.simulation.physics import potential_spectrum
from mpop.simulation.starting_maps import StartingMaps, make_maps, true_map
from mpop.simulation.structures import Structure, asymmetric, ferritin_like

PIXEL_A = 4.0


@pytest.fixture(scope="module", params=[asymmetric, ferritin_like], ids=["asymmetric", "ferritin-like"])
def made(request: pytest.FixtureRequest) -> tuple[Structure, StartingMaps]:
    structure = request.param()
    return structure, make_maps(structure, PIXEL_A, 19.0, np.random.default_rng(7))


def test_half_maps_agree_to_the_wanted_resolution(made: tuple[Structure, StartingMaps]) -> None:
    _, maps = made
    report = fsc_report(maps.half1, maps.half2, maps.mask, PIXEL_A)
    assert report.resolution_A == pytest.approx(19.0, abs=2.5)
    assert report.corrected.correlation[report.corrected.frequency < 1 / 32].min() > 0.8
    assert fsc(maps.half1, maps.truth, PIXEL_A).correlation[1:4].min() > 0.95


def test_maps_have_one_box_of_twice_the_diameter(made: tuple[Structure, StartingMaps]) -> None:
    structure, maps = made
    box = round(2 * structure.diameter_A / PIXEL_A)
    for volume in (maps.truth, maps.half1, maps.half2, maps.mask):
        assert volume.shape == (box,) * 3
        assert volume.dtype == np.float32
    assert 0.0 <= maps.mask.min() < maps.mask.max() == 1.0
    assert (maps.truth * maps.mask).sum() == pytest.approx(maps.truth.sum(), rel=0.01)
    assert maps.mask[0].max() == maps.mask[:, 0].max() == maps.mask[..., 0].max() == 0.0


def test_the_true_map_seen_along_z_is_the_projection() -> None:
    """Two ways to the same numbers: sums of voxels (V) times their height, and the splat in two dimensions."""
    structure = asymmetric()
    box = 2 * round(structure.diameter_A / PIXEL_A)
    summed = true_map(structure, box, PIXEL_A).sum(axis=0) * PIXEL_A
    spectrum = potential_spectrum(structure, np.eye(3)[None], np.zeros((1, 2)), box, PIXEL_A)[0]
    projected = np.fft.irfft2(spectrum, s=(box, box))
    assert np.sqrt(np.square(summed - projected).mean()) < 1e-3 * projected.std()


def test_an_octahedral_map_is_the_same_after_a_quarter_turn() -> None:
    structure = ferritin_like()
    maps = make_maps(structure, PIXEL_A, 19.0, np.random.default_rng(1))
    for volume in (maps.truth, maps.half1):
        inner = volume[1:, 1:, 1:]  # centre voxel in the middle
        for axes in ((0, 1), (1, 2), (0, 2)):
            error = np.sqrt(np.square(np.rot90(inner, axes=axes) - inner).mean()) / inner.std()
            assert error < 0.02
