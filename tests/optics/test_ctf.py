"""The CTF against Warp's, against the formula, and its square in a smaller window."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpop.errors import InputError
from mpop.optics.ctf import ctf_images
from mpop.optics.premultiplication import band_limited_ctf2, cropped_inverse
from mpop.optics.wavelength import electron_wavelength_A
from mpop.records.tilt_series import CTFModel
from mpop.run import Run


def one_ctf(
    model: CTFModel,
    size: int,
    pixel_size_A: float,
    defocus_um: float,
    delta_um: float = 0.0,
    angle_deg: float = 0.0,
    phase_pi: float = 0.0,
) -> np.ndarray:
    columns = (np.array([value]) for value in (defocus_um, delta_um, angle_deg, phase_pi))
    return ctf_images(model, *columns, size, pixel_size_A)[0]


@pytest.mark.parametrize(("kV", "wavelength_A"), [(100, 0.037014), (200, 0.025079), (300, 0.019687)])
def test_wavelength(kV: float, wavelength_A: float) -> None:
    """Textbook values, relativistic."""
    assert electron_wavelength_A(kV) == pytest.approx(wavelength_A, abs=1e-6)


def test_agrees_with_warp(test_data: Path) -> None:
    """Two CTFs of the original Warp, B-factor and scale applied here; the Nyquist row has no sign of y."""
    first, second = mrcfile.read(test_data / "warp" / "ctf_reference.mrc")

    def damping(pixel_size_A: float) -> np.ndarray:
        y, x = np.fft.fftfreq(256, pixel_size_A), np.fft.rfftfreq(256, pixel_size_A)
        return np.exp(-40 / 4 * (y[:, None] ** 2 + x**2))

    one = 0.9 * damping(1.1) * one_ctf(CTFModel(300, 2.7, 0.1), 256, 1.1, 1.5, 0.3, 25.0, 0.4)
    two = damping(1.5) * one_ctf(CTFModel(200, 2.7, 0.07), 256, 1.5, 2.5)
    rows = np.arange(256) != 128
    np.testing.assert_allclose(one[rows], first[rows], atol=3e-5)
    np.testing.assert_allclose(two[rows], second[rows], atol=3e-5)


@settings(max_examples=40)
@given(
    kV=st.sampled_from([120.0, 200.0, 300.0]),
    defocus_um=st.floats(-6, 12),
    delta_um=st.floats(-1, 1),
    angle_deg=st.floats(-180, 180),
    phase_pi=st.floats(-1, 1),
    size=st.sampled_from([15, 16, 32]),
)
def test_is_the_formula(
    kV: float, defocus_um: float, delta_um: float, angle_deg: float, phase_pi: float, size: int
) -> None:
    model = CTFModel(kV, 2.7, 0.1)
    y, x = np.meshgrid(np.fft.fftfreq(size, 1.3), np.fft.rfftfreq(size, 1.3), indexing="ij")
    k, theta = np.hypot(x, y), np.arctan2(y, x)
    dz = 1e4 * (defocus_um + delta_um / 2 * np.cos(2 * (theta - np.deg2rad(angle_deg))))
    wavelength = electron_wavelength_A(kV)
    chi = np.pi * wavelength * dz * k**2 - np.pi / 2 * 2.7e7 * wavelength**3 * k**4
    expected = np.sin(chi + np.pi * phase_pi + np.arcsin(0.1))
    found = one_ctf(model, size, 1.3, defocus_um, delta_um, angle_deg, phase_pi)
    np.testing.assert_allclose(found, expected, atol=1e-6)  # at Nyquist k_y is negative, as in fftfreq


def test_protein_is_white_at_low_frequency() -> None:
    assert one_ctf(CTFModel(), 64, 10.0, 2.0)[0, :3].min() > 0


def test_astigmatism_is_strongest_along_its_angle() -> None:
    """With its angle along y the CTF on the y axis is that of the larger defocus."""
    astigmatic = one_ctf(CTFModel(), 64, 2.0, 2.0, 0.5, 90.0)
    np.testing.assert_allclose(astigmatic[:32, 0], one_ctf(CTFModel(), 64, 2.0, 2.25)[:32, 0], atol=1e-6)
    np.testing.assert_allclose(astigmatic[0], one_ctf(CTFModel(), 64, 2.0, 1.75)[0], atol=1e-6)


def test_every_image_has_its_own_optics() -> None:
    defocus, delta = np.array([1.0, 2.0, 3.0]), np.array([0.1, -0.2, 0.0])
    angle, phase = np.array([10.0, 20.0, 30.0]), np.array([0.0, 0.5, 0.1])
    together = ctf_images(CTFModel(), defocus, delta, angle, phase, 32, 1.5)
    assert together.shape == (3, 32, 17)
    assert together.dtype == np.float32
    for i, ctf in enumerate(together):
        alone = one_ctf(CTFModel(), 32, 1.5, defocus[i], delta[i], angle[i], phase[i])
        np.testing.assert_array_equal(ctf, alone)


def test_single_precision_is_good_for_what_phases_promise() -> None:
    """They are brought to [-pi, pi) first: of 80 radians, single precision would lose a hundred times as much."""
    columns = np.array([[1.0, 4.0, -2.5], [0.2, 0.0, 0.1], [20.0, 0.0, 70.0], [0.0, 0.5, 0.1]])
    single, double = (ctf_images(CTFModel(), *columns, 64, 1.2, dtype) for dtype in (np.float32, np.float64))
    assert double.dtype == np.float64
    assert np.abs(single - double).max() < 2e-7


def test_no_images() -> None:
    empty = np.zeros(0)
    assert ctf_images(CTFModel(), empty, empty, empty, empty, 32, 1.5).shape == (0, 32, 17)


@pytest.mark.parametrize("field", ["zernike_odd", "zernike_even"])
def test_aberrations_beyond_are_refused(field: str) -> None:
    model = CTFModel(**{field: (0.0, 0.1)})
    with pytest.raises(InputError, match="Zernike"):
        one_ctf(model, 32, 1.5, 2.0)
    assert one_ctf(CTFModel(**{field: (0.0, 0.0)}), 32, 1.5, 2.0).shape == (32, 17)


@pytest.mark.parametrize(("large", "size"), [(8, 4), (30, 10), (30, 12), (18, 18), (50, 48)])
def test_a_cropped_inverse_is_the_middle_of_the_whole_one(large: int, size: int) -> None:
    images = np.random.default_rng(1).normal(size=(3, large, large))
    start = large // 2 - size // 2
    middle = np.s_[:, start : start + size, start : start + size]
    centred = cropped_inverse(np.fft.rfft2(images), size, centred=True)
    np.testing.assert_allclose(centred, images[middle], atol=1e-12)
    wrapped = cropped_inverse(np.fft.rfft2(images), size)
    shifted = np.fft.fftshift(images, axes=(1, 2))[middle]
    np.testing.assert_allclose(np.fft.fftshift(wrapped, axes=(1, 2)), shifted, atol=1e-12)


def test_squared_ctf_at_its_own_size_is_the_square() -> None:
    ctf = ctf_images(CTFModel(), *np.array([[1.0], [0.1], [20.0], [0.0]]), 32, 1.5)
    np.testing.assert_array_equal(band_limited_ctf2(ctf, 32), np.square(ctf))


def test_squared_ctf_in_a_small_window_is_smooth_where_it_oscillates_too_fast() -> None:
    """Beyond the frequency whose CTF^2 fits the window only the mean of sin^2, 1/2, is left."""
    size, pixel_size_A, defocus_um = 64, 2.0, 3.0
    ctf = one_ctf(CTFModel(), 512, pixel_size_A, defocus_um)[None]
    small = band_limited_ctf2(ctf, size)[0, 0]
    frequency = np.arange(size // 2 + 1) / (size * pixel_size_A)
    # CTF^2 moves signal by 2 lambda dz k; it leaves the window where that is half of the window
    leaves = size * pixel_size_A / 2 / (2 * electron_wavelength_A(300) * defocus_um * 1e4)
    smooth = frequency > 1.5 * leaves
    assert smooth.sum() > 15
    assert np.abs(small[smooth][:-1] - 0.5).max() < 0.05
    kept = frequency < 0.6 * leaves
    exact = np.square(one_ctf(CTFModel(), size, pixel_size_A, defocus_um)[0])
    assert np.abs(small[kept] - exact[kept]).max() < 0.15  # the border of the window rings
    assert np.abs(exact[smooth] - 0.5).max() > 0.4


def test_threads_do_not_change_the_squared_ctf() -> None:
    ctf = ctf_images(CTFModel(), *np.array([[1.0, 2], [0.1, 0], [20.0, 0], [0.0, 0]]), 64, 1.5)
    with Run(threads=2).limits():
        two = band_limited_ctf2(ctf, 32)
    np.testing.assert_array_equal(two, band_limited_ctf2(ctf, 32))


def test_optics_and_maps_do_not_need_torch() -> None:
    """Reconstruction must run in little memory."""
    code = "import sys, mpop.optics.sizes, mpop.optics.weights, mpop.maps.fsc, mpop.maps.masks; assert not "
    loaded = "{'torch', 'pandas', 'zarr'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code + loaded], check=True)
