"""How the particles of one species appear in every tilt: places, orientations, optics."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpop.errors import InputError
from mpop.geometry.euler import euler_to_matrix
from mpop.geometry.tilt import TiltGeometry, slice_rows
from mpop.optics.sizes import aliasing_free_size, delocalisation_A, even_fast_size
from mpop.records.stack import SeriesModel, StackModel
from mpop.records.tilt_series import ParticleSet
from mpop.records.visible import visible_tilts
from mpop.refinement.extraction import ExtractionRequest

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ParticleView:
    """p particles in n tilts.

    position_A (p, n, 2) from the image corner; rows (p, n, 2, 3) slice rows; the optics (p, n) each. Of a stack,
    n is 1, and image (p,) says which image of its model shows the particle. visible (p, n): tilts that show the
    particle, None: all that it lies in.
    """

    position_A: Array
    rows: Array
    defocus_um: Array
    defocus_delta_um: Array
    defocus_angle_deg: Array
    phase_shift_pi: Array
    image: NDArray[np.int64] | None = None
    visible: NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, model: SeriesModel, particles: ParticleSet) -> ParticleView:
        """The view of a particle set through the current model of its series or stack."""
        if isinstance(model, StackModel):
            return cls._of_stack(model, particles)
        geometry = TiltGeometry(model)
        position = particles.position_A
        projected = geometry.project(position, geometry.poses(particles.angles_deg))
        delta, angle, phase = geometry.astigmatism(position)
        return cls(
            projected.position_A,
            slice_rows(projected.rotation, model.magnification),
            geometry.defocus_um(position, projected.depth_A),
            delta,
            angle,
            phase,
            visible=visible_tilts(particles, model.n_tilts),
        )

    @classmethod
    def _of_stack(cls, model: StackModel, particles: ParticleSet) -> ParticleView:
        image = images_of(model, particles)
        rotation = euler_to_matrix(particles.angles_deg)
        return cls(
            particles.position_A[..., :2],
            slice_rows(rotation, model.magnification),
            model.defocus_um[image, None],
            model.defocus_delta_um[image, None],
            model.defocus_angle_deg[image, None],
            model.phase_shift_pi[image, None],
            image,
        )

    def request(
        self, model: SeriesModel, diameter_A: float, resolution_A: float, size: int, pixel_size_A: float
    ) -> ExtractionRequest:
        """What to cut out so that content up to a resolution is free of aliasing."""
        blur = max(
            delocalisation_A(
                optics,
                float(np.abs(self.defocus_um).max(initial=0.0)),
                resolution_A,
                float(np.abs(self.defocus_delta_um).max(initial=0.0)),
            )
            for optics in (model.optics if isinstance(model, StackModel) else (model.ctf,))
        )
        ctf_size = aliasing_free_size(diameter_A, blur, pixel_size_A)
        if isinstance(model, StackModel):
            # beyond its border an image is empty: of that nothing can alias
            reach_A = (model.image_dims_A[0] + diameter_A) / 2 + blur
            ctf_size = min(ctf_size, even_fast_size(reach_A / pixel_size_A))
        return ExtractionRequest(
            self.position_A,
            self.defocus_um,
            self.defocus_delta_um,
            self.defocus_angle_deg,
            self.phase_shift_pi,
            diameter_A,
            max(ctf_size, size),
            size,
            self.image,
            self.visible,
        )


def images_of(model: StackModel, particles: ParticleSet) -> NDArray[np.int64]:
    """(p,) index into a stack's model of the image of every particle. Raises InputError when one has none."""
    order = np.argsort(model.particle_id)
    place = np.minimum(np.searchsorted(model.particle_id, particles.id, sorter=order), len(order) - 1)
    image = order[place]
    missing = int((model.particle_id[image] != particles.id).sum())
    if missing:
        raise InputError(f"{model.file}: {missing} particles have no image in this stack; import them again")
    return image
