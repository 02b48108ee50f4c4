"""How large a window must be for a particle's delocalised signal, so that nothing aliases."""

from __future__ import annotations

import math

import numpy as np

from mpop.geometry.frequencies import even_fast_size
from mpop.optics.wavelength import electron_wavelength_A
from mpop.records.tilt_series import CTFModel


def delocalisation_A(
    model: CTFModel, defocus_um: float, resolution_A: float, defocus_delta_um: float = 0.0
) -> float:
    """How far defocus and Cs carry detail away from where it belongs, up to a resolution.

    max over k <= 1/resolution of |d chi/dk| / (2 pi) = |lambda dz k - Cs lambda^3 k^3|, where rays would end,
    and one Fresnel length sqrt(lambda dz) beyond it, over which waves fade.
    """
    wavelength = electron_wavelength_A(model.voltage_kV)
    defocus_A = (abs(defocus_um) + 0.5 * abs(defocus_delta_um)) * 1e4
    k = np.linspace(0.0, 1.0 / resolution_A, 256)
    rays = np.abs(wavelength * defocus_A * k - model.cs_mm * 1e7 * wavelength**3 * k**3).max()
    return float(rays + math.sqrt(wavelength * defocus_A))


def aliasing_free_A(diameter_A: float, delocalisation: float) -> float:
    """Edge of the window in which a particle may be multiplied by its CTF.

    The signal of a particle of radius r reaches to r + d, d the delocalisation. The product with the CTF moves
    every point by up to d: in a window of 2 (r + d) what leaves across the border comes back no nearer than r.
    CTF^2 moves by up to 2 d; what of it aliases falls outside of a crop to twice the diameter.
    """
    return diameter_A + 2 * delocalisation


def image_size(diameter_A: float, pixel_size_A: float) -> int:
    """Even window that holds a particle that is out of place by up to a quarter of its diameter."""
    return even_fast_size((1.25 * diameter_A + 20) / pixel_size_A)
