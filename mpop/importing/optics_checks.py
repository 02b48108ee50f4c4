"""Whether optics can be those of an electron microscope: numbers in another unit than their file's are far off."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from mpop.doubts import Doubt

VOLTAGES_KV = (40.0, 2000.0)
MOST_CS_MM = 20.0
MOST_DEFOCUS_UM = 100.0
LEAST_DEFOCUS_UM = 0.01
"""Nobody finds focus as near as this in all images; a defocus of 0 throughout says that there is no CTF."""


def questioned_optics(
    where: str, optics: Iterable[tuple[float, float, float]], defocus_um: NDArray[np.float64]
) -> list[Doubt]:
    """What no microscope has. optics: kV, Cs in mm, amplitude contrast; defocus_um: of all images."""
    found: list[tuple[str, str]] = []
    for voltage_kV, cs_mm, amplitude in sorted(set(optics)):
        if not VOLTAGES_KV[0] <= voltage_kV <= VOLTAGES_KV[1]:
            found.append((f"voltage is {voltage_kV:g} kV", "is it in V?"))
        if abs(cs_mm) > MOST_CS_MM:
            found.append((f"spherical aberration is {cs_mm:g} mm", "is it in micrometres?"))
        if not 0 <= amplitude <= 1:
            found.append((f"amplitude contrast is {amplitude:g}", "is it in per cent?"))
    largest = float(np.abs(defocus_um).max(initial=0.0))
    if largest > MOST_DEFOCUS_UM or 0 < largest < LEAST_DEFOCUS_UM:
        found.append((f"defocus goes to {largest:.3g} um", "is it in another unit?"))
    against = "no electron microscope has that"
    return [Doubt("optics-unit", where, read, against, way_on=asked, grave=True) for read, asked in found]
