"""The wavelength of electrons."""

from __future__ import annotations

import math


def electron_wavelength_A(voltage_kV: float) -> float:
    """Relativistic wavelength of electrons."""
    volts = voltage_kV * 1e3
    return 12.2643247 / math.sqrt(volts * (1.0 + volts * 0.978466e-6))
