"""Rotation matrices from angles, in the conventions of RELION and Warp.

RELION's (rot, tilt, psi) are ZYZ Euler angles of a passive rotation: `A = Rz(psi) Ry(tilt) Rz(rot)`
takes a vector of the reference map to the frame of the image, `x_image = A x_map`; for a particle in a
tomogram, to the frame of the tomogram. Warp's `Euler(rot, tilt, psi)` is the same matrix. All functions take
and return torch tensors with any number of leading dimensions, keep the dtype and are differentiable.

RoMa has the same, but loads torch's compiler with it, which costs as much again as torch itself.
"""

from __future__ import annotations

import torch
from torch import Tensor


def euler_to_matrix(angles_deg: Tensor) -> Tensor:
    """RELION's matrix A of (rot, tilt, psi).

    angles_deg: (..., 3). Returns (..., 3, 3) with x_image = A x_map.
    """
    rot, tilt, psi = (axis_rotation(axis, angles_deg[..., i]) for i, axis in enumerate((2, 1, 2)))
    return (rot @ tilt @ psi).transpose(-1, -2)


def matrix_to_euler(matrix: Tensor) -> Tensor:
    """(rot, tilt, psi) in degrees of RELION's matrix A.

    matrix: (..., 3, 3). Returns (..., 3); tilt in [0, 180]. At tilt 0 and 180 only the sum or difference of
    rot and psi is defined and rot is set to 0. Written out because the range of tilt matters to readers of
    STAR files and because exact poles must not raise.
    """
    sin_tilt = torch.hypot(matrix[..., 2, 0], matrix[..., 2, 1])
    tilt = torch.atan2(sin_tilt, matrix[..., 2, 2])  # acos would lose half of the digits next to the poles
    pole = sin_tilt < 1e-9
    rot = torch.atan2(matrix[..., 2, 1], matrix[..., 2, 0])
    psi = torch.atan2(matrix[..., 1, 2], -matrix[..., 0, 2])
    psi_at_pole = torch.atan2(matrix[..., 0, 1], matrix[..., 1, 1])
    rot = torch.where(pole, torch.zeros_like(rot), rot)
    psi = torch.where(pole, psi_at_pole, psi)
    return torch.rad2deg(torch.stack([rot, tilt, psi], dim=-1))


def axis_rotation(axis: int, angle_deg: Tensor) -> Tensor:
    """Active right-handed rotation about a coordinate axis (0, 1, 2 = x, y, z).

    angle_deg: (...). Returns (..., 3, 3).
    """
    direction = torch.zeros(3, dtype=angle_deg.dtype, device=angle_deg.device)
    direction[axis] = 1.0
    return vector_rotation(angle_deg[..., None] * direction)


def vector_rotation(vector_deg: Tensor) -> Tensor:
    """Active right-handed rotation about a vector by its length: Rodrigues' I + sin(a) K + (1 - cos(a)) K^2, with
    K the cross product with the unit vector.

    vector_deg: (..., 3). Returns (..., 3, 3). Its derivative at 0 is right, as both factors are written by sinc.
    """
    vector = torch.deg2rad(vector_deg)
    turns = torch.linalg.vector_norm(vector, dim=-1)[..., None, None] / (2 * torch.pi)
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    identity = torch.eye(3, dtype=vector.dtype, device=vector.device)
    return identity + torch.sinc(2 * turns) * cross + torch.sinc(turns) ** 2 / 2 * (cross @ cross)
