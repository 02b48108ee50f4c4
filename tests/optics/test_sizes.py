"""Windows that hold a particle and its delocalised signal."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
from hypothesis import given
from hypothesis import strategies as st

from mpop.geometry.frequencies import even_fast_size
from mpop.optics.ctf import ctf_images
from mpop.optics.premultiplication import band_limited_ctf2
from mpop.optics.sizes import aliasing_free_A, delocalisation_A
from mpop.optics.wavelength import electron_wavelength_A
from mpop.records.tilt_series import CTFModel

# diameter A, pixel size A, resolution A, defocus um, delta um, kV
CASES = {
    "demo": (120.0, 2.5, 8.0, 3.0, 0.1, 300.0),
    "nyquist": (120.0, 2.5, 5.0, 3.0, 0.1, 300.0),
    "high defocus": (200.0, 2.0, 6.0, 5.0, 0.3, 200.0),
    "fine": (120.0, 1.35, 4.0, 2.0, 0.05, 300.0),
}


def ctf_at(case: tuple[float, ...], size: int) -> np.ndarray:
    _, pixel_size_A, _, defocus_um, delta_um, kV = case
    return ctf_images(
        CTFModel(kV), *np.array([[defocus_um], [delta_um], [30.0], [0.0]]), size, pixel_size_A, np.float64
    )


def window_of(case: tuple[float, ...]) -> int:
    diameter_A, pixel_size_A, resolution_A, defocus_um, delta_um, kV = case
    blur = delocalisation_A(CTFModel(kV), defocus_um, resolution_A, delta_um)
    return even_fast_size(aliasing_free_A(diameter_A, blur) / pixel_size_A)


def leakage(case: tuple[float, ...], window: int) -> float:
    """RMS error, relative, inside the particle of its image multiplied by the CTF in a window.

    The truth is the same product in a window four times as large. The particle is white noise in a disc, up to
    the resolution with a soft edge; its image is delocalised by the CTF once before it is cut.
    """
    diameter_A, pixel_size_A, resolution_A, *_ = case
    large = 4 * window
    axis = (np.arange(large) - large // 2) * pixel_size_A
    radius = np.hypot(axis[:, None], axis)
    particle = np.random.default_rng(0).normal(size=(large, large)) * (radius < diameter_A / 2)
    k = np.hypot(scipy.fft.fftfreq(large)[:, None], scipy.fft.rfftfreq(large)) / pixel_size_A
    band = 0.5 + 0.5 * np.cos(np.pi * np.clip(k * resolution_A * 5 - 4, 0, 1))
    image = scipy.fft.rfft2(scipy.fft.ifftshift(particle)) * band * ctf_at(case, large)[0]
    truth = scipy.fft.fftshift(scipy.fft.irfft2(image * ctf_at(case, large)[0]))
    centre = slice(large // 2 - window // 2, large // 2 + window // 2)
    cut = scipy.fft.ifftshift(scipy.fft.fftshift(scipy.fft.irfft2(image))[centre, centre])
    found = scipy.fft.fftshift(scipy.fft.irfft2(scipy.fft.rfft2(cut) * ctf_at(case, window)[0]))
    inside = radius[centre, centre] <= diameter_A / 2
    error = (found - truth[centre, centre])[inside]
    return float(np.linalg.norm(error) / np.linalg.norm(truth[centre, centre][inside]))


@pytest.mark.parametrize("name", CASES)
def test_premultiplication_in_the_window_is_free_of_aliasing(name: str) -> None:
    window = window_of(CASES[name])
    assert leakage(CASES[name], window) < 1e-3
    assert leakage(CASES[name], 2 * int(0.3 * window)) > 5e-3


@pytest.mark.parametrize("name", CASES)
def test_squared_ctf_is_free_of_aliasing_in_twice_the_diameter(name: str) -> None:
    """As data are cropped. The window matters: squared at the size of the crop CTF^2 is far off."""
    diameter_A, pixel_size_A, resolution_A, *_ = CASES[name]
    size, window = 2 * int(diameter_A / pixel_size_A), window_of(CASES[name])
    k = np.hypot(scipy.fft.fftfreq(size)[:, None], scipy.fft.rfftfreq(size)) / pixel_size_A
    truth = band_limited_ctf2(ctf_at(CASES[name], 4 * window), size)

    def rms_error(at: int) -> float:
        error = band_limited_ctf2(ctf_at(CASES[name], at), size) - truth
        return float(np.sqrt(np.square(error[0][k < 0.8 / resolution_A]).mean()))

    assert rms_error(window) < 0.02
    assert rms_error(size) > 0.05


def test_delocalisation_by_hand() -> None:
    """lambda dz k at 10 A, and the Fresnel length; Cs takes off 0.2 A there."""
    wavelength = electron_wavelength_A(300.0)
    rays = wavelength * 2e4 / 10 - 2.7e7 * wavelength**3 / 1000
    assert rays == pytest.approx(39.17, abs=0.01)
    assert delocalisation_A(CTFModel(), 2.0, 10.0) == pytest.approx(rays + np.sqrt(wavelength * 2e4), abs=1e-6)


def test_astigmatism_adds_half_of_its_delta() -> None:
    assert delocalisation_A(CTFModel(), 2.0, 10.0, 0.4) == delocalisation_A(CTFModel(), 2.2, 10.0)


@given(defocus=st.floats(0, 10), resolution=st.floats(4, 50))
def test_finer_detail_is_never_less_delocalised(defocus: float, resolution: float) -> None:
    finer, coarser = (delocalisation_A(CTFModel(), defocus, r) for r in (resolution, resolution * 1.3))
    assert finer >= coarser - 1e-3
