"""Rotation matrices from angles, in the conventions of RELION and Warp.

RELION's (rot, tilt, psi) are ZYZ Euler angles of a passive rotation: `A = Rz(psi) Ry(tilt) Rz(rot)`
takes a vector of the reference map to the frame of the image, `x_image = A x_map`; for a particle in a
tomogram, to the frame of the tomogram. Warp's `Euler(rot, tilt, psi)` is the same matrix. All functions take
numpy's arrays or torch's tensors with any number of leading dimensions, keep kind and dtype, and are
differentiable.

RoMa has the same, but loads torch's compiler with it, which costs as much again as torch itself.
"""

from __future__ import annotations

from mpop.geometry.namespaces import Array, as_one_of, namespace


def euler_to_matrix(angles_deg: Array) -> Array:
    """RELION's matrix A of (rot, tilt, psi).

    angles_deg: (..., 3). Returns (..., 3, 3) with x_image = A x_map.
    """
    rot, tilt, psi = (axis_rotation(axis, angles_deg[..., i]) for i, axis in enumerate((2, 1, 2)))
    return namespace(angles_deg).swapaxes(rot @ tilt @ psi, -1, -2)


def matrix_to_euler(matrix: Array) -> Array:
    """(rot, tilt, psi) in degrees of RELION's matrix A.

    matrix: (..., 3, 3). Returns (..., 3); tilt in [0, 180]. At tilt 0 and 180 only the sum or difference of
    rot and psi is defined and rot is set to 0. Written out because the range of tilt matters to readers of
    STAR files and because exact poles must not raise.
    """
    xp = namespace(matrix)
    sin_tilt = xp.hypot(matrix[..., 2, 0], matrix[..., 2, 1])
    tilt = xp.arctan2(sin_tilt, matrix[..., 2, 2])  # acos would lose half of the digits next to the poles
    pole = sin_tilt < 1e-9
    rot = xp.arctan2(matrix[..., 2, 1], matrix[..., 2, 0])
    psi = xp.arctan2(matrix[..., 1, 2], -matrix[..., 0, 2])
    psi_at_pole = xp.arctan2(matrix[..., 0, 1], matrix[..., 1, 1])
    rot = xp.where(pole, xp.zeros_like(rot), rot)
    psi = xp.where(pole, psi_at_pole, psi)
    return xp.rad2deg(xp.stack([rot, tilt, psi], axis=-1))


def unwound(angles_deg: Array) -> Array:
    """The same rotations, by angles (p, T, 3) that change least from each sample T to the next.

    (rot, tilt, psi) and (rot + 180, -tilt, psi + 180) are one rotation, and so are whole turns more. A matrix does
    not know which was meant: where a trajectory crosses a pole of tilt, the other one goes on from there.
    """
    xp = namespace(angles_deg)
    half_turn = as_one_of(angles_deg, [180.0, 0.0, 180.0])
    mirror = as_one_of(angles_deg, [1.0, -1.0, 1.0])
    samples = [angles_deg[:, 0]]
    for number in range(1, angles_deg.shape[1]):
        before = samples[-1]
        one, other = (
            angles - 360.0 * xp.round((angles - before) / 360.0)
            for angles in (angles_deg[:, number], angles_deg[:, number] * mirror + half_turn)
        )
        is_nearer = abs(other - before).sum(-1) < abs(one - before).sum(-1)
        samples.append(xp.where(is_nearer[:, None], other, one))
    return xp.stack(samples, axis=1)


def axis_rotation(axis: int, angle_deg: Array) -> Array:
    """Active right-handed rotation about a coordinate axis (0, 1, 2 = x, y, z).

    angle_deg: (...). Returns (..., 3, 3).
    """
    return vector_rotation(angle_deg[..., None] * as_one_of(angle_deg, [axis == i for i in range(3)]))


def vector_rotation(vector_deg: Array) -> Array:
    """Active right-handed rotation about a vector by its length: Rodrigues' I + sin(a) K + (1 - cos(a)) K^2, with
    K the cross product with the unit vector.

    vector_deg: (..., 3). Returns (..., 3, 3). Its derivative at 0 is right, as both factors are written by sinc.
    """
    xp = namespace(vector_deg)
    vector = xp.deg2rad(vector_deg)
    turns = xp.linalg.vector_norm(vector, axis=-1)[..., None, None] / (2 * xp.pi)
    x, y, z = (vector[..., i] for i in range(3))
    zero = xp.zeros_like(x)
    cross = xp.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=-1).reshape((*x.shape, 3, 3))
    identity = xp.eye(3, dtype=vector.dtype, device=vector.device)
    return identity + xp.sinc(2 * turns) * cross + xp.sinc(turns) ** 2 / 2 * (cross @ cross)
