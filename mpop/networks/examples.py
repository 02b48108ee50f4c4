"""Examples of what a half-map's directions hide, made from that half-map alone.

A restored density is turned, as another particle's might lie, then measured as the half-map was: what its transfer
leaves of it, and noise of the same power. Restoring that again, with what is known, gives a map whose every error
is known: the difference to the density that it was made from. Networks learn from such pairs what restoring gets
wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from mpop.maps.directions import centred
from mpop.maps.filters import transform
from mpop.maps.restoration import Restoration, restore_alone
from mpop.maps.transfer import TransferModel
from mpop.networks.rotations import Turn

Map = NDArray[np.float32]


def examples(
    density: Map, restoration: Restoration, mask: Map, matrices: Sequence[NDArray[np.floating]], seed: int
) -> Map:
    """(n, z, y, x) what is restored of a density that was measured turned by each matrix, and turned back.

    matrices (3, 3) act on (x, y, z): what is at r goes to R r.
    """
    found = np.empty((len(matrices), *density.shape), dtype=np.float32)
    for number, matrix in enumerate(matrices):
        model = turned(restoration.model, matrix)
        noise = transform(np.random.default_rng((seed, number)).standard_normal(density.shape, dtype=np.float32))
        data = model.amplitude * transform(density) + np.sqrt(model.noise / density.size) * noise
        found[number] = restore_alone(data, model, restoration.density_error, mask)
    return found


def turned(model: TransferModel, matrix: NDArray[np.floating]) -> TransferModel:
    """The model in the frame of a particle that lay turned by a matrix: its coefficient k was measured as R k."""
    box = model.box
    of_arrays = matrix[::-1, ::-1]  # their axes are z, y, x
    offset = box // 2 - of_arrays @ np.full(3, box // 2)

    def turn_values(values: Map) -> Map:
        full = np.empty((box, box, box), dtype=np.float32)
        # the offset may be an array, whatever the type hints say
        affine_transform(centred(values, box), of_arrays, offset, output=full, order=1, mode="nearest")  # pyright: ignore[reportArgumentType]
        return np.ascontiguousarray(np.fft.ifftshift(full)[:, :, : box // 2 + 1])

    return replace(
        model,
        amplitude=turn_values(model.amplitude),
        amplitude_error=turn_values(model.amplitude_error),
        noise=turn_values(model.noise),
    )


def matrix_of(rotation: Turn | NDArray[np.floating]) -> NDArray[np.floating]:
    """(3, 3) the rotation as a matrix that acts on (x, y, z)."""
    if not isinstance(rotation, tuple):
        return rotation
    order, axes = rotation
    matrix = np.eye(3)[list(order)]
    matrix[list(axes)] *= -1
    return matrix[::-1, ::-1]  # from axes z, y, x
