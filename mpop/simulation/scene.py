"""What is in a simulated tilt series, and by how much the files that mpop will see are wrong about it.

True values are drawn first; the nominal ones, which go into the files, differ from them by planted errors:
particle poses are off, the stage angles are off, and every tilt image is warped. The warp of a tilt is a shift
plus a smooth field of low-order cosines. A stage that tilts wrongly also shifts particles; that shift is part of
the planted warp, so that stage errors here turn particles and nothing else, as in Warp's model of a series.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mpop.errors import InputError
from mpop.simulation.parameters import SimulationParameters
from mpop.simulation.physics import euler_matrix, stage_matrices, turn_about
from mpop.simulation.structures import Structure
from mpop.simulation.views import viewing_angles

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Particles:
    """p particles of one species, true and nominal. Positions from the corner of the tomogram."""

    position_A: Array
    angles_deg: Array
    nominal_position_A: Array
    nominal_angles_deg: Array
    half: NDArray[np.int64]


@dataclass(frozen=True)
class ImageWarp:
    """Planted displacement of every tilt: shift (n, 2) A plus cosine fields.

    field (n, 2, 3, 3) A: amplitude of cos(pi i u) cos(pi j v) for x and y, (i, j) = (0, 0) unused.
    """

    shift_A: Array
    field_A: Array

    def at(self, u: Array, v: Array) -> Array:
        """(..., n, 2) displacement at fractions of the image, u, v (..., n)."""
        order = np.arange(3)
        cos_u = np.cos(np.pi * u[..., None] * order)
        cos_v = np.cos(np.pi * v[..., None] * order)
        return self.shift_A + np.einsum("ncij,...ni,...nj->...nc", self.field_A, cos_u, cos_v)


@dataclass(frozen=True)
class Scene:
    """One tilt series. Tilts in order of angle; stage_error_deg (n, 3) about x, y, z."""

    name: str
    angles_deg: Array
    exposure: Array
    axis_deg: float
    defocus_um: Array
    astigmatism_um: float
    astigmatism_deg: float
    warp: ImageWarp
    stage_error_deg: Array
    species: list[Particles]


def dose_symmetric_order(count: int) -> NDArray[np.int64]:
    """Position in time of each tilt, sorted by angle: from the middle outwards, changing sides (Hagen)."""
    middle = count // 2
    sequence = [middle]
    for step in range(1, count):
        for candidate in (middle + step, middle - step):
            if 0 <= candidate < count:
                sequence.append(candidate)
    order = np.empty(count, dtype=np.int64)
    order[sequence] = np.arange(count)
    return order


def make_scene(
    name: str, structures: Sequence[Structure], parameters: SimulationParameters, rng: np.random.Generator
) -> Scene:
    """Draw one series."""
    n = parameters.tilts
    angles = np.linspace(-parameters.tilt_range_deg, parameters.tilt_range_deg, n) if n > 1 else np.zeros(1)
    base_defocus = rng.uniform(*parameters.defocus_um)
    species = _place(structures, parameters, rng)
    return Scene(
        name=name,
        angles_deg=angles,
        exposure=dose_symmetric_order(n).astype(np.float64) * parameters.exposure,
        axis_deg=float(np.round(rng.normal(-85.0, 0.5), 2)),
        defocus_um=base_defocus + rng.normal(0, 0.03, n),
        astigmatism_um=float(rng.uniform(0.02, 0.08)),
        astigmatism_deg=float(rng.uniform(0, 180)),
        warp=_image_warp(n, parameters.image_warp_rms_A, rng),
        stage_error_deg=rng.normal(0, 1, (n, 3)) * parameters.stage_angle_rms_deg,
        species=species,
    )


def _image_warp(n: int, rms_A: float, rng: np.random.Generator) -> ImageWarp:
    """A warp whose displacement is `rms_A` long on average: 60 % of the variance a shift, 40 % a field."""
    shift = rng.normal(0, 1, (n, 2))
    field = rng.normal(0, 1, (n, 2, 3, 3)) / (1.0 + np.add.outer(np.arange(3), np.arange(3)))
    field[:, :, 0, 0] = 0.0
    lattice = np.linspace(0.05, 0.95, 10)
    u, v = (np.repeat(a.ravel()[:, None], n, axis=1) for a in np.meshgrid(lattice, lattice))
    local = ImageWarp(np.zeros((n, 2)), field).at(u, v)
    local_rms = np.sqrt(np.square(local).sum(-1).mean())
    return ImageWarp(shift * (rms_A * np.sqrt(0.6 / 2)), field * (rms_A * np.sqrt(0.4) / local_rms))


def _place(
    structures: Sequence[Structure], parameters: SimulationParameters, rng: np.random.Generator
) -> list[Particles]:
    """Particles of all species without overlap in a layer, then their planted errors."""
    width = parameters.image_size * parameters.pixel_size_A
    size = np.array(parameters.volume_dims_A)
    centres: list[Array] = []
    radii: list[float] = []
    positions: list[list[Array]] = [[] for _ in structures]
    for _ in range(parameters.particles):
        for kind, structure in enumerate(structures):
            radius = structure.diameter_A / 2
            low = np.array([1.2 * radius, 1.2 * radius, (size[2] - parameters.thickness_A) / 2 + radius])
            high = np.array([width, width, size[2]]) - low
            if (low > high).any():
                raise InputError(
                    f"{structure.name} is {structure.diameter_A:g} A across: no room in a field of {width:g} A "
                    f"and ice of {parameters.thickness_A:g} A"
                )
            for _attempt in range(2000):
                place = rng.uniform(low, high)
                clear = np.array(radii) + radius
                if not centres or (np.linalg.norm(np.array(centres) - place, axis=1) > clear).all():
                    break
            else:
                raise InputError(
                    f"no room for {parameters.particles} particles of each species in a field of {width:g} A; "
                    "use fewer, or a larger image"
                )
            centres.append(place)
            radii.append(radius)
            positions[kind].append(place)
    return [_with_errors(np.array(places), parameters, rng) for places in positions]


def _with_errors(position_A: Array, parameters: SimulationParameters, rng: np.random.Generator) -> Particles:
    count = len(position_A)
    # scipy's matrix of these extrinsic angles is the transpose of RELION's A(rot, tilt, psi)
    if parameters.preferred_spread_deg < 180:
        true = Rotation.from_euler("ZYZ", viewing_angles(parameters, count, rng), degrees=True)
    else:
        true = Rotation.random(count, rng=rng)
    turn = rng.normal(0, np.deg2rad(parameters.pose_angle_rms_deg) / np.sqrt(3), (count, 3))
    nominal = true * Rotation.from_rotvec(turn)
    shift = rng.normal(0, parameters.pose_shift_rms_A / np.sqrt(3), (count, 3))
    return Particles(
        position_A=position_A,
        angles_deg=_relion_angles(true),
        nominal_position_A=position_A + shift,
        nominal_angles_deg=_relion_angles(nominal),
        half=rng.permutation(np.arange(count) % 2) + 1,
    )


def _relion_angles(rotation: Rotation) -> Array:
    """rot, tilt, psi of the inverse of a scipy rotation: A = (Rz(rot) Ry(tilt) Rz(psi))^T."""
    return rotation.as_euler("ZYZ", degrees=True)


@dataclass(frozen=True)
class Projected:
    """Particles of one species in all tilts: image position (p, n, 2) A from the corner, rotation (p, n, 3, 3),
    defocus (p, n) um."""

    position_A: Array
    rotation: Array
    defocus_um: Array


def project_particles(
    scene: Scene, position_A: Array, angles_deg: Array, parameters: SimulationParameters, planted: bool
) -> Projected:
    """Where particles appear: with everything that is planted, or as the nominal files say."""
    dims = np.array(parameters.volume_dims_A)
    image = parameters.image_size * parameters.pixel_size_A
    stage = stage_matrices(scene.angles_deg, np.full(len(scene.angles_deg), scene.axis_deg))
    tilted = np.einsum("nij,pj->pni", stage, position_A - dims / 2)
    place = tilted[..., :2] + image / 2
    turned = stage
    if planted:
        place = place - scene.warp.at(place[..., 0] / image, place[..., 1] / image)
        errors = scene.stage_error_deg
        turned = turn_about(2, errors[:, 2]) @ turn_about(1, errors[:, 1]) @ turn_about(0, errors[:, 0]) @ stage
    rotation = turned[None] @ euler_matrix(angles_deg)[:, None]
    return Projected(place, rotation, scene.defocus_um + 1e-4 * tilted[..., 2])
