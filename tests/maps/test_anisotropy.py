"""Metrics of anisotropy on curves and bodies whose metrics are known, and on maps that are isotropic by making."""

from __future__ import annotations

import math

import numpy as np
import pytest
from noisy_directions import half_maps
from scipy.stats import chi2

from mpop.maps import anisotropy
from mpop.maps.anisotropy import area_ratio, body_sphericity, chance, crossings, mask_fraction, occupancy
from mpop.maps.directional import ConicalFSC, conical_fsc
from mpop.maps.directions import Rings

BOX = 48


def falling(reach: np.ndarray, rings: Rings) -> ConicalFSC:
    """FSC by direction that falls linearly from 1 to 0 at a shell of each direction's own."""
    shells = np.arange(BOX // 2 + 1)
    correlation = np.clip(1 - shells / reach[:, None], 0, 1)
    return ConicalFSC(rings, correlation, rings.solid_angles @ correlation, BOX, 2.0, 20.0)


def test_crossings_lie_between_shells() -> None:
    rings = Rings.spaced(10.0)
    reach = np.linspace(8.0, 40.0, len(rings.directions))
    conical = falling(reach, rings)
    exact = np.minimum((1 - 0.143) * reach, BOX // 2) / (BOX * 2.0)  # Nyquist for those that never fall below
    np.testing.assert_allclose(crossings(conical), exact, rtol=1e-6)


def test_area_ratio_is_least_over_largest() -> None:
    rings = Rings.spaced(10.0)
    reach = np.full(len(rings.directions), 20.0)
    reach[5] = 10.0
    assert area_ratio(falling(reach, rings)) == pytest.approx(0.5, rel=0.01)
    assert area_ratio(falling(np.full(len(reach), 20.0), rings)) == pytest.approx(1.0)


@pytest.mark.parametrize("stretch", [1.0, 0.5, 2.0])
def test_sphericity_of_an_ellipsoid_of_revolution(stretch: float) -> None:
    rings = Rings.spaced(3.0)
    x, y, z = rings.directions.T
    radii = 30 / np.sqrt(x**2 + y**2 + (z / stretch) ** 2)
    e = math.sqrt(abs(1 - min(stretch, 1 / stretch) ** 2))
    if stretch < 1:
        area = 2 * math.pi * (1 + (1 - e * e) / e * math.atanh(e))
    else:
        area = 2 * math.pi * (1 + (stretch / e * math.asin(e) if e else 1))
    expected = math.pi ** (1 / 3) * (8 * math.pi * stretch) ** (2 / 3) / area
    assert body_sphericity(radii, rings) == pytest.approx(expected, abs=0.004)


def test_half_the_directions_are_half_occupancy_and_not_evenly_spread() -> None:
    rings = Rings.spaced(4.0)
    reach = np.where(rings.directions[:, 2] < 0.5, 20.0, 10.0)
    found = occupancy(falling(reach, rings))
    shells = slice(10, 17)  # between the two crossings
    np.testing.assert_allclose(found.part[shells], 0.5, atol=0.03)
    assert found.bingham_p[shells].max() < 1e-6
    assert found.part[5] == pytest.approx(1.0)
    assert found.bingham_p[5] > 0.99


@pytest.mark.parametrize("value", [0.0, 0.5, 4.0, 11.07, 40.0])
def test_tail_of_chi_squared(value: float) -> None:
    assert anisotropy._chi_squared_beyond(value) == pytest.approx(chi2.sf(value, 5))


def test_isotropic_maps_spread_as_chance_has_it() -> None:
    """Over some pairs of maps: mean variance as expected, none of them significant."""
    found = []
    for seed in range(5):
        half1, half2, mask = half_maps(seed)
        found.append(chance(conical_fsc(half1 * mask, half2 * mask, 1.0), mask_fraction(mask)))
    assert 0.75 < np.mean([one.excess for one in found]) < 1.2
    assert max(abs(one.z) for one in found) < 3


def test_noisy_directions_are_beyond_chance() -> None:
    half1, half2, mask = half_maps(0, noise_along_z=3.0)
    conical = conical_fsc(half1 * mask, half2 * mask, 1.0)
    assert chance(conical, mask_fraction(mask)).z > 10
    along_z = conical.rings.directions[:, 2] > math.cos(math.radians(20))
    assert crossings(conical)[along_z].max() < crossings(conical)[~along_z].mean()


def test_published_example_of_3dfsc() -> None:
    """Influenza haemagglutinin at 40 degrees of tilt (Tan et al. 2017), of which 3DFSC reports 0.883.

    Without its half-maps: its published curves along x, y and z fall below 0.5 at these resolutions. The body
    between is taken for an ellipsoid.
    """
    rings = Rings.spaced(4.0)
    reach = 1 / np.array([4.66, 4.81, 10.20])
    radii = 1 / np.sqrt(np.square(rings.directions) @ (1 / np.square(reach)))
    assert body_sphericity(radii, rings) == pytest.approx(0.883, abs=0.015)


def test_one_shell_below_is_no_end_of_a_direction_while_the_whole_shell_is_above() -> None:
    """A cone of the first shells may hold nothing but what is weak in the structure."""
    rings = Rings.spaced(10.0)
    conical = falling(np.full(len(rings.directions), 20.0), rings)
    conical.correlation[0, 4] = -0.3
    expected = crossings(falling(np.full(len(rings.directions), 20.0), rings))
    np.testing.assert_allclose(crossings(conical), expected)
    assert area_ratio(conical) > 0.8
    conical.correlation[0, 5] = -0.3
    assert crossings(conical)[0] < 0.3 * expected[0]
