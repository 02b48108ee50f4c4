"""What may be wrong with a table of particle images, though it can be read: against itself, against the source.

A particle in both half-sets inflates their FSC: its noise is in both half-maps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpop.collisions.half_sets import half_sets_doubt
from mpop.doubts import Doubt
from mpop.formats.stack_tables import OPTICS, SAME, SAME_PIXEL, StackTable
from mpop.records.stack import StackModel


def images_in_both_halves(table: StackTable) -> list[Doubt]:
    """Images whose rows are of different half-sets."""
    if table.half is None:
        return []
    first = table.repeated()
    rows = np.flatnonzero(table.half != table.half[first])
    count = len(np.unique(first[rows]))
    if count == 0:
        return []
    images = len(np.unique(first))
    image = f"{table.image[rows[0]] + 1}@{table.files[table.file[rows[0]]]}"
    return [
        Doubt(
            "half-sets-overlap",
            str(table.path),
            f"{count} of {images} images are in both half-sets, the first is {image}",
            way_on="half-maps made with them agree in their noise: make them again from half-sets without",
            grave=True,
        )
    ]


def neighbours_in_both_halves(table: StackTable, half: NDArray[np.uint8], diameter_A: float) -> list[Doubt]:
    """Particles of different images that lie at one place of a micrograph, and in different half-sets.

    half: (p,) 1 or 2, 0 for rows that are left out.
    """
    if table.centre_A is None or table.micrograph is None:
        return []
    rows = np.flatnonzero(half > 0)
    rows = rows[np.argsort(table.micrograph[rows], kind="stable")]
    ends = np.flatnonzero(np.diff(table.micrograph[rows])) + 1
    flat = np.pad(table.centre_A, ((0, 0), (0, 1)))[:, None]
    placed = ((half[group], flat[group]) for group in np.split(rows, ends))
    found = half_sets_doubt(str(table.path), placed, diameter_A)
    return [] if found is None else [found]


@dataclass(frozen=True)
class KnownImages:
    """What sources say of the images of the p rows of a table; NaN where a row's image is not known."""

    optics: NDArray[np.float64]
    """(p, 3) kV, Cs (mm), amplitude contrast."""
    defocus_um: NDArray[np.float64]
    pixel_size_A: NDArray[np.float64]

    @classmethod
    def none_of(cls, rows: int) -> KnownImages:
        """Nothing known yet."""
        return cls(np.full((rows, len(OPTICS)), np.nan), np.full(rows, np.nan), np.full(rows, np.nan))

    def set(
        self, rows: NDArray[np.int64], model: StackModel, place: NDArray[np.int64], pixel_size_A: float
    ) -> None:
        """What a stack says. place: (rows,) index into the model."""
        groups = np.array([(one.voltage_kV, one.cs_mm, one.amplitude_contrast) for one in model.optics])
        self.optics[rows] = groups[model.optics_group[place]]
        self.defocus_um[rows] = model.defocus_um[place]
        self.pixel_size_A[rows] = pixel_size_A


def optics_that_differ(table: StackTable, known: KnownImages) -> list[Doubt]:
    """What a table with poses says of the optics of images, where their source says something else.

    The source's are used. Another defocus may have been refined since; another microscope cannot.
    """
    quantities = [(OPTICS[n], table.optics[:, n], known.optics[:, n], SAME) for n in range(len(OPTICS))]
    quantities.append(("defocus in um", table.defocus_um, known.defocus_um, SAME))
    if table.pixel_sizes_A is not None:
        quantities.append(("pixel size in A", table.pixel_sizes_A, known.pixel_size_A, SAME_PIXEL))
    doubts = []
    for name, said, there, tolerance in quantities:
        differ = np.flatnonzero(np.abs(said - there) > tolerance * np.maximum(np.abs(there), tolerance))
        if len(differ):
            row = differ[0]
            doubts.append(
                Doubt(
                    "optics-differ-from-source",
                    f"{table.path}: row {row + 1}",
                    f"{name} is {said[row]:g}",
                    f"the source of the image says {there[row]:g} (so in {len(differ)} of {len(table)} rows)",
                    "what the source says is used",
                    "add the source from this table if this one is right",
                    grave=name in OPTICS,
                )
            )
    return doubts
