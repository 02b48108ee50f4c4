"""How the particles of one species appear in every tilt: places, orientations, optics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mpop.geometry.tilt import TiltGeometry, slice_rows
from mpop.optics.sizes import aliasing_free_size, delocalisation_A
from mpop.records.tilt_series import ParticleSet, TiltSeriesModel
from mpop.refinement.extraction import ExtractionRequest

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ParticleView:
    """p particles in n tilts.

    position_A (p, n, 2) from the image corner; rows (p, n, 2, 3) slice rows; the optics (p, n) each.
    """

    position_A: Array
    rows: Array
    defocus_um: Array
    defocus_delta_um: Array
    defocus_angle_deg: Array
    phase_shift_pi: Array

    @classmethod
    def of(cls, model: TiltSeriesModel, particles: ParticleSet) -> ParticleView:
        """The view of a particle set through a series' current model."""
        geometry = TiltGeometry(model)
        position = torch.as_tensor(particles.position_A)
        projected = geometry.project(position, geometry.poses(torch.as_tensor(particles.angles_deg)))
        delta, angle, phase = geometry.astigmatism(position)
        return cls(
            projected.position_A.numpy(),
            slice_rows(projected.rotation, model.magnification).numpy(),
            geometry.defocus_um(position, projected.depth_A).numpy(),
            delta.numpy(),
            angle.numpy(),
            phase.numpy(),
        )

    def request(
        self, model: TiltSeriesModel, diameter_A: float, resolution_A: float, size: int, pixel_size_A: float
    ) -> ExtractionRequest:
        """What to cut out so that content up to a resolution is free of aliasing."""
        blur = delocalisation_A(
            model.ctf,
            float(np.abs(self.defocus_um).max(initial=0.0)),
            resolution_A,
            float(np.abs(self.defocus_delta_um).max(initial=0.0)),
        )
        ctf_size = max(aliasing_free_size(diameter_A, blur, pixel_size_A), size)
        return ExtractionRequest(
            self.position_A,
            self.defocus_um,
            self.defocus_delta_um,
            self.defocus_angle_deg,
            self.phase_shift_pi,
            ctf_size,
            size,
        )
