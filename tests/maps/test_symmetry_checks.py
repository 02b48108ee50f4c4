"""The point group that is given is held against the half-maps; noise does not decide."""

from __future__ import annotations

import numpy as np
import pytest

from mpop.doubts import Doubt
from mpop.formats.images import read_map
from mpop.geometry.symmetry import symmetry_matrices
from mpop.maps.filters import multiply_radially
from mpop.maps.fsc import fsc_report
from mpop.maps.masks import soft_sphere
from mpop.maps.symmetry_checks import symmetry_doubts

BOX, PIXEL_A = 48, 4.0
RADIUS_A, HAEMOGLOBIN_A = 64.0, 38.0


def particle(group: str, seed: int = 0, extra: float = 0.0) -> np.ndarray:
    """Blobs in a shell, copied by a group; `extra` is how strong a part is that breaks the symmetry."""
    rng = np.random.default_rng(seed)
    density = np.zeros((BOX,) * 3, dtype=np.float32)
    along = np.arange(BOX) - BOX // 2
    for number in range(max(4, 120 // len(symmetry_matrices(group))) + 8):
        place = rng.normal(size=3)
        place *= (RADIUS_A - 12 - 20 * rng.random()) / np.linalg.norm(place) / PIXEL_A
        is_extra = number < 8
        copies = [np.eye(3)] if is_extra else symmetry_matrices(group)
        for matrix in copies:
            x, y, z = (np.exp(-0.5 * np.square(along - one)) for one in matrix @ place)
            density += np.float32(extra if is_extra else 1.0) * z[:, None, None] * y[:, None] * x
    return density


def halves(density: np.ndarray, resolution_A: float, noise: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Blurred so that it is gone at about a resolution, with noise of each half's own."""
    rng = np.random.default_rng(seed)
    frequency = np.arange(BOX) / (BOX * PIXEL_A)
    blurred = multiply_radially(density, np.exp(-2 * np.square(frequency * resolution_A)))
    deviation = np.float32(noise * blurred.std())
    first, second = (blurred + deviation * rng.standard_normal(blurred.shape, dtype=np.float32) for _ in range(2))
    return first, second


def doubts(first: np.ndarray, second: np.ndarray, group: str, pixel_size_A: float = PIXEL_A) -> list[Doubt]:
    radius_A = RADIUS_A if len(first) == BOX else HAEMOGLOBIN_A
    mask = soft_sphere(len(first), pixel_size_A, radius_A, 20.0)
    report = fsc_report(first, second, mask, pixel_size_A)
    assert report.resolution_A is not None
    return symmetry_doubts("maps", first, second, mask, report, pixel_size_A, group)


@pytest.mark.parametrize("resolution_A", [12.0, 20.0])
@pytest.mark.parametrize("group", ["C1", "C3", "C7", "D2", "D7", "T", "O", "I1", "I2", "I3", "I4"])
def test_the_right_group_is_passed_in_silence(group: str, resolution_A: float) -> None:
    first, second = halves(particle(group), resolution_A, 0.7)
    assert doubts(first, second, group) == []


@pytest.mark.parametrize("resolution_A", [12.0, 20.0])
@pytest.mark.parametrize(
    ("group", "given", "fits"),
    [
        ("O", "I1", "O fits"),
        ("O", "C3", "O fits"),
        ("I1", "I2", "I1 fits"),
        ("I2", "I1", "I2 fits"),
        ("I3", "I4", "I3 fits"),
        ("C6", "C5", "C6 fits"),
        ("D4", "O", "D4 fits"),
        ("C1", "C2", "no other point group that RELION names fits"),
    ],
)
def test_a_wrong_group_is_grave_and_the_right_one_named(
    group: str, given: str, fits: str, resolution_A: float
) -> None:
    first, second = halves(particle(group), resolution_A, 0.7)
    (doubt,) = doubts(first, second, given)
    assert doubt.kind == "wrong-symmetry" and doubt.grave
    assert fits in doubt.way_on and "give the right --symmetry" in doubt.way_on


@pytest.mark.parametrize("given", ["C1", "C4", "D4"])
def test_a_larger_group_that_fits_as_well_is_noted(given: str) -> None:
    first, second = halves(particle("O"), 12.0, 0.7)
    (doubt,) = doubts(first, second, given)
    assert doubt.kind == "larger-symmetry" and not doubt.grave
    assert "O fits the maps as well" in str(doubt)


@pytest.mark.parametrize("given", ["C1", "C4"])
def test_a_symmetry_that_holds_in_part_is_no_alarm(given: str) -> None:
    """Pseudo-symmetry, or a ligand at one place."""
    first, second = halves(particle("C4", extra=2.0), 12.0, 0.5)
    assert doubts(first, second, given) == []


def test_noise_does_not_decide() -> None:
    for seed in range(4):
        first, second = halves(particle("O"), 20.0, 4.0, seed)
        mask = soft_sphere(BOX, PIXEL_A, RADIUS_A, 20.0)
        report = fsc_report(first, second, mask, PIXEL_A)
        found = symmetry_doubts("maps", first, second, mask, report, PIXEL_A, "O")
        assert [doubt for doubt in found if doubt.grave] == []


def test_real_haemoglobin_is_c2(test_data) -> None:
    """Its two kinds of chains are alike: D2 is almost there and must neither be advised nor C2 doubted."""
    volume, pixel_size_A = read_map(test_data / "maps" / "emd_3488.mrc")
    assert pixel_size_A is not None
    rng = np.random.default_rng(0)
    first, second = (volume + volume.std() * rng.standard_normal(volume.shape, dtype=np.float32) for _ in range(2))
    assert doubts(first, second, "C2", pixel_size_A) == []
    (doubt,) = doubts(first, second, "C3", pixel_size_A)
    assert doubt.grave and "C2 fits" in doubt.way_on
