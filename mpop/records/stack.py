"""What is known about one stack of extracted particle images, as plain arrays.

Each image is a series of one: it shows one particle, once, at a defocus of its own, and there is nothing that it
would share with its neighbours but the microscope. This is the in-memory form of the `model` group of an item
whose source is a particle stack. Units and signs as in `mpop.records.tilt_series`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from mpop.records.tilt_series import CTFModel, TiltSeriesModel

Array = NDArray[np.float64]

SHARED = ("file", "optics", "image_dims_A", "optics_columns")
"""Fields of a stack that all its images share; of each other field there is one value per image."""


@dataclass(frozen=True)
class StackModel:
    """n images of one file, in ascending order of their number in it.

    file: as the imported table named it. image: (n,) place in the file, from 0. particle_id: (n,) uint64, by which
    the particle sets of species name their image. optics_group: (n,) index into `optics`.
    bfactor_A2: (n,) negative = damping; scale: (n,) of the CTF.
    optics_columns: the imported table's row for each of `optics`, by column, and after these the rows of groups
    that no image uses; () where it had none. For export alone.
    """

    file: str
    image: NDArray[np.int64]
    particle_id: NDArray[np.uint64]
    defocus_um: Array
    defocus_delta_um: Array
    defocus_angle_deg: Array
    phase_shift_pi: Array
    bfactor_A2: Array
    scale: Array
    optics_group: NDArray[np.int64]
    optics: tuple[CTFModel, ...]
    image_dims_A: tuple[float, float]
    optics_columns: tuple[dict[str, str | float | int], ...] = ()

    @property
    def magnification(self) -> Array:
        """(2, 2), as of a tilt series; images of a stack are not distorted."""
        return np.eye(2)

    def of_images(self, rows: NDArray[np.int64]) -> StackModel:
        """The model of some of its images."""
        chosen = {one.name: getattr(self, one.name)[rows] for one in fields(self) if one.name not in SHARED}
        return replace(self, **chosen)

    def __len__(self) -> int:
        return len(self.image)


SeriesModel = TiltSeriesModel | StackModel
"""The model of an item, whichever kind of source it is from."""
