"""Images against formulas: plane waves for projections, hand-computed points for the CTF."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mpop.simulation.physics import (
    ATOM_B_A2,
    POTENTIAL_PER_SCATTERING,
    contrast_transfer,
    damage_envelope,
    electron_wavelength_A,
    electrons_per_pixel,
    interaction_constant,
    potential_spectrum,
)
from mpop.simulation.structures import Structure


def some_atoms(count: int = 200) -> Structure:
    rng = np.random.default_rng(5)
    position = rng.normal(0, 1, (count, 3))
    position *= 30.0 * rng.uniform(0.2, 1, (count, 1)) / np.linalg.norm(position, axis=1, keepdims=True)
    return Structure("atoms", position, rng.uniform(1.0, 3.0, count), "C1", 62.0)


@pytest.mark.parametrize("pixel_size", [1.7, 2.5, 5.0, 8.0])
def test_projection_is_the_sum_of_plane_waves(pixel_size: float) -> None:
    """FT of the projected potential = sum_j V_j exp(-B k^2 / 4) exp(-2 pi i k (R x_j + offset))."""
    atoms = some_atoms()
    rng = np.random.default_rng(1)
    rotations = Rotation.random(3, rng=rng).as_matrix()
    offsets = rng.uniform(-0.5, 0.5, (3, 2)) * pixel_size
    size = 2 * round(45 / pixel_size)
    turned_to_first_pixel = (-1.0) ** np.add.outer(np.arange(size), np.arange(size // 2 + 1))
    spectra = (
        potential_spectrum(atoms, rotations, offsets, size, pixel_size) * turned_to_first_pixel * pixel_size**2
    )
    kx, ky = np.meshgrid(np.fft.rfftfreq(size, pixel_size), np.fft.fftfreq(size, pixel_size))
    inside = np.hypot(kx, ky) < 0.48 / pixel_size
    wave = np.stack([kx[inside], ky[inside]])
    for rotation, offset, spectrum in zip(rotations, offsets, spectra, strict=True):
        place = (atoms.position_A @ rotation.T)[:, :2] + offset
        envelope = np.exp(-ATOM_B_A2 / 4 * np.square(wave).sum(axis=0))
        strength = atoms.scattering_A * POTENTIAL_PER_SCATTERING
        expected = envelope * (strength @ np.exp(-2j * np.pi * place @ wave))
        error = np.abs(spectrum[inside] - expected)
        assert np.sqrt(np.square(error).mean() / np.square(np.abs(expected)).mean()) < 3e-3


def test_offsets_beyond_half_a_pixel_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="half a pixel"):
        potential_spectrum(some_atoms(), np.eye(3)[None], np.array([[3.0, 0.0]]), 64, 2.0)


def test_published_constants_at_300_kv() -> None:
    assert electron_wavelength_A(300.0) == pytest.approx(0.0196875, rel=1e-5)
    assert electron_wavelength_A(200.0) == pytest.approx(0.0250793, rel=1e-5)
    assert interaction_constant(300.0) == pytest.approx(6.526e-4, rel=1e-3)
    assert interaction_constant(200.0) == pytest.approx(7.288e-4, rel=1e-3)


def test_ctf_at_hand_computed_points() -> None:
    """300 kV, Cs 2.7 mm, 2 um underfocus, amplitude contrast 0.07, at 100 px of 2 A: k = column / 200.

    k = 0.1:  pi lambda z k^2 = 12.3700, pi/2 Cs lambda^3 k^4 = 0.0324, asin A = 0.0701; sin(12.4077) = -0.1580.
    k = 0.05: 3.0925 - 0.0020 + 0.0701; sin(3.1605) = -0.0189.
    """
    ctf = contrast_transfer(100, 2.0, np.array([2.0]), 0.0, 0.0, 2.7, 0.07, 300.0)[0]
    assert ctf.shape == (100, 51)
    assert ctf[0, 0] == pytest.approx(0.07, abs=1e-6)
    assert ctf[0, 20] == pytest.approx(-0.1580, abs=2e-3)
    assert ctf[0, 10] == pytest.approx(-0.0189, abs=1e-3)
    assert ctf[20, 0] == pytest.approx(ctf[0, 20], abs=1e-5)
    assert ctf[-20, 0] == pytest.approx(ctf[0, 20], abs=1e-5)


def test_astigmatism_is_the_full_difference_and_turns_from_x_to_y() -> None:
    """Along the angle the defocus is z + delta / 2, across it z - delta / 2."""
    astigmatic = contrast_transfer(64, 3.0, np.array([3.0]), 0.2, 90.0, 2.7, 0.07, 300.0)[0]
    along, across = (contrast_transfer(64, 3.0, np.array([z]), 0.0, 0.0, 2.7, 0.07, 300.0)[0] for z in (3.1, 2.9))
    np.testing.assert_allclose(astigmatic[:32, 0], along[:32, 0], atol=1e-5)
    np.testing.assert_allclose(astigmatic[0], across[0], atol=1e-5)


def test_damage_is_a_b_factor_of_four_per_electron() -> None:
    envelope = damage_envelope(50, 2.0, 10.0)
    assert envelope[0, 0] == 1.0
    assert envelope[0, 10] == pytest.approx(np.exp(-0.1), rel=1e-5)  # k = 0.1 / A, exp(-40 / 4 k^2)


def test_electrons_that_arrive() -> None:
    flat = electrons_per_pixel(3.0, 2.5, 1500.0, 0.0)
    assert flat == pytest.approx(18.75 * np.exp(-0.5))
    assert electrons_per_pixel(3.0, 2.5, 1500.0, 60.0) == pytest.approx(18.75 * np.exp(-1.0))
