"""What can be chosen about a simulation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from mpop.errors import InputError
from mpop.simulation.views import refuse_views


@dataclass(frozen=True)
class SimulationParameters:
    """The defaults are those of the demo. Planted errors are root-mean-square lengths; 0 plants none."""

    series: int = 4
    tilts: int = 31
    tilt_range_deg: float = 60.0
    particles: int = 65
    """Per species and series."""
    image_size: int = 1024
    pixel_size_A: float = 2.5
    exposure: float = 4.0
    """Electrons per A^2 and tilt."""
    thickness_A: float = 1200.0
    defocus_um: tuple[float, float] = (2.0, 4.0)
    image_warp_rms_A: float = 5.0
    stage_angle_rms_deg: float = 0.3
    pose_shift_rms_A: float = 3.0
    pose_angle_rms_deg: float = 2.5
    preferred_spread_deg: float = 180.0
    """The z axes of molecules lie within this angle of the tomogram's z axis; 180: anywhere."""
    others: float = 0.0
    """Part of the particles with any rotation in spite of that."""
    signal: float = 1.0
    """Scales the contrast of particles; 0 leaves noise only."""
    initial_resolution_A: float = 19.0
    """FSC = 0.143 of the half-maps that are written beside the data."""
    model: Path | None = None
    """PDB or mmCIF file that takes the place of the first built-in species."""
    symmetry: str = "C1"
    """Of the model."""
    seed: int = 1
    voltage_kV: float = 300.0
    cs_mm: float = 2.7
    amplitude_contrast: float = 0.07

    def __post_init__(self) -> None:
        for name in ("series", "tilts", "particles", "image_size"):
            if getattr(self, name) < 1:
                raise InputError(f"{_words(name)}: {getattr(self, name)}; at least 1 is needed")
        for name in ("pixel_size_A", "exposure", "thickness_A", "initial_resolution_A", "voltage_kV"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{_words(name)}: {getattr(self, name)}; it must be above 0")
        for name in (
            "image_warp_rms_A",
            "stage_angle_rms_deg",
            "pose_shift_rms_A",
            "pose_angle_rms_deg",
            "signal",
        ):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{_words(name)}: {getattr(self, name)}; it must be 0 or more")
        refuse_views(self)
        if not 0 <= self.tilt_range_deg < 90:
            raise InputError(f"tilt range: {self.tilt_range_deg} degrees; it must be from 0 to below 90")
        if self.seed < 0:
            raise InputError(f"seed: {self.seed}; it must be 0 or more")
        if self.initial_resolution_A < 3 * self.pixel_size_A:
            raise InputError(
                f"half-maps of {self.initial_resolution_A:g} A need a pixel size of at most "
                f"{self.initial_resolution_A / 3:.2f} A, not {self.pixel_size_A:g}"
            )

    @property
    def volume_dims_A(self) -> tuple[float, float, float]:
        """Extent of the tomogram."""
        width = self.image_size * self.pixel_size_A
        return (width, width, self.thickness_A + 400.0)


def _words(field: str) -> str:
    return field.replace("_", " ")
