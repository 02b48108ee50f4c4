"""STAR tables of extracted particle images: RELION 3.0 (one block), 3.1 and 5 (with optics groups).

    rlnImageName        NNN@file, NNN from 1
    rlnDefocusU/V       A, positive = underfocus; rlnDefocusAngle from x to U, rlnPhaseShift deg
    rlnCtfBfactor       A^2, positive = damping; rlnCtfScalefactor
    rlnOriginX/YAngst   A, what moves the particle to the centre of the image: it lies at size // 2 - origin
    rlnOriginX/Y        the same in pixels (3.0)

What the images hold and mpop does not model (beam tilt, higher aberrations, anisotropic magnification) is named in
`ignored`; whether to go on is for the caller to say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mpop.errors import InputError
from mpop.formats.star import Blocks, read_star
from mpop.formats.table_reader import TableReader

Array = NDArray[np.float64]

IMAGE_NAME = re.compile(r"(\d+)@(.+)")
TOMO_COLUMNS = ("rlnTomoName", "rlnCoordinateZ", "rlnCenteredCoordinateXAngst", "wrpCoordinateX1")
KEPT_EXTRAS = (
    "rlnMicrographName",
    "rlnCoordinateX",
    "rlnCoordinateY",
    "rlnGroupNumber",
    "rlnGroupName",
    "rlnClassNumber",
    "rlnOpticsGroup",
    "rlnHelicalTubeID",
    "rlnHelicalTrackLengthAngst",
)
OPTICS = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")
ABERRATIONS = {
    "beam tilt": ("rlnBeamTiltX", "rlnBeamTiltY"),
    "odd aberrations": ("rlnOddZernike",),
    "even aberrations": ("rlnEvenZernike",),
}
MAGNIFICATION = {"rlnMagMat00": 1.0, "rlnMagMat01": 0.0, "rlnMagMat10": 0.0, "rlnMagMat11": 1.0}


@dataclass(frozen=True)
class StackTable:
    """p particle images. Arrays are (p,) unless said.

    files: distinct names of stacks; file: index into them; image: place in the stack, from 0. half: 1 or 2, None
    when the table does not say. optics: (p, 3) kV, Cs (mm), amplitude contrast. angles_deg: (p, 3) rot, tilt, psi,
    None when the table has none; origin_A: (p, 2). extra: columns kept for export.
    """

    path: Path
    files: list[str]
    file: NDArray[np.int64]
    image: NDArray[np.int64]
    half: NDArray[np.uint8] | None
    pixel_size_A: float | None
    defocus_um: Array
    defocus_delta_um: Array
    defocus_angle_deg: Array
    phase_shift_pi: Array
    bfactor_A2: Array
    scale: Array
    optics: Array
    angles_deg: Array | None
    origin_A: Array
    extra: dict[str, list[str | float | int]]
    ignored: list[str]

    def __len__(self) -> int:
        return len(self.image)


def stack_table_if_one(path: str | Path, pixel_size_A: float | None = None) -> StackTable | None:
    """As `read_stack_table`; None for a table that lists no images of stacks, or particles of tomograms."""
    blocks = read_star(Path(path))
    table = _block(blocks)[1]
    if "rlnImageName" not in table.columns or any(column in table.columns for column in TOMO_COLUMNS):
        return None
    if len(table) == 0 or "@" not in str(table["rlnImageName"].iloc[0]):
        return None
    return _read(Path(path), blocks, pixel_size_A)


def read_stack_table(path: str | Path, pixel_size_A: float | None = None) -> StackTable:
    """Read a table of particle images.

    pixel_size_A: of the images, in place of what the table says. Raises InputError naming file, block and column.
    """
    return _read(Path(path), read_star(Path(path)), pixel_size_A)


def _read(path: Path, blocks: Blocks, pixel_size_A: float | None) -> StackTable:
    name, table = _block(blocks)
    if "rlnImageName" not in table.columns:
        raise InputError(
            f"{path}: block data_{name} has no column _rlnImageName; is it a table of particle images?"
        )
    if len(table) == 0:
        raise InputError(f"{path}: block data_{name} has no rows")
    if any(column in table.columns for column in TOMO_COLUMNS):
        raise InputError(f"{path}: its particles lie in tomograms; import the tilt series with --warp")
    return _Reader(path, name, table, blocks.get("optics")).read(pixel_size_A)


def _block(blocks: Blocks) -> tuple[str, pd.DataFrame]:
    """The block of particles: by its name, or the first with images."""
    if "particles" in blocks:
        return "particles", blocks["particles"]
    for name, table in blocks.items():
        if "rlnImageName" in table.columns:
            return name, table
    return next(iter(blocks.items()))


class _Reader(TableReader):
    """One block of particle images."""

    def read(self, pixel_size_A: float | None) -> StackTable:
        """Everything that mpop uses of it."""
        self._refuse()
        pixel = self._pixel_size() if pixel_size_A is None else pixel_size_A
        files, file, image = self._images()
        u, v = (self._defocus(axis) for axis in "UV")
        return StackTable(
            self.path,
            files,
            file,
            image,
            self.half("rlnRandomSubset"),
            pixel,
            (u + v) / 2e4,
            (u - v) / 1e4,
            self._column("rlnDefocusAngle", 0.0),
            self._column("rlnPhaseShift", 0.0) / 180,
            -self._column("rlnCtfBfactor", 0.0),
            self._column("rlnCtfScalefactor", 1.0),
            np.stack([self._required(column) for column in OPTICS], axis=1),
            self._angles(),
            self._origin(pixel),
            self.kept(KEPT_EXTRAS),
            self._ignored(),
        )

    def _refuse(self) -> None:
        """What cannot be right."""
        for column, wanted, problem in (
            ("rlnImageDimensionality", 2, "its images are sub-tomograms"),
            ("rlnCtfDataAreCtfPremultiplied", 0, "its images were multiplied by their CTF at extraction"),
            ("rlnCtfDataArePhaseFlipped", 0, "its images are phase-flipped"),
        ):
            values = self.of_optics(column)
            if values is not None and (values != wanted).any():
                raise InputError(f"{self.path}: {problem} (_{column}); mpop needs them as they were recorded")

    def _images(self) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
        """Distinct files in order of appearance, and of each row the file and the place in it."""
        matches = [IMAGE_NAME.fullmatch(str(text).strip()) for text in self.table["rlnImageName"]]
        bad = [row for row, match in enumerate(matches, start=1) if match is None or int(match[1]) < 1]
        if bad:
            text = self.table["rlnImageName"].iloc[bad[0] - 1]
            raise InputError(f"{self.path}: _rlnImageName is {text} in row {bad[0]}, expected NUMBER@FILE")
        found = [(int(match[1]) - 1, match[2]) for match in matches if match is not None]
        files = list(dict.fromkeys(name for _, name in found))
        index = {name: number for number, name in enumerate(files)}
        file = np.array([index[name] for _, name in found], dtype=np.int64)
        image = np.array([number for number, _ in found], dtype=np.int64)
        _, first, count = np.unique(np.stack([file, image]), axis=1, return_index=True, return_counts=True)
        if (count > 1).any():
            row = int(first[np.argmax(count > 1)])
            raise InputError(f"{self.path}: image {found[row][0] + 1}@{found[row][1]} is in several rows")
        return files, file, image

    def _pixel_size(self) -> float | None:
        """Of the images, the same for all; None when the table does not tell it."""
        sizes = self.of_optics("rlnImagePixelSize")
        if sizes is None and self.has("rlnDetectorPixelSize", "rlnMagnification"):
            detector, magnification = self.numbers(["rlnDetectorPixelSize", "rlnMagnification"]).T
            sizes = detector * 1e4 / magnification
        if sizes is None:
            return None
        if np.ptp(sizes) > 1e-4 * sizes[0]:
            raise InputError(
                f"{self.path}: images of {sizes.min():g} and of {sizes.max():g} A/px; "
                "split the table by optics group and add a source for each"
            )
        return float(sizes[0])

    def _column(self, column: str, default: float) -> Array:
        found = self.of_optics(column)
        return np.full(len(self.table), default) if found is None else found

    def _required(self, column: str) -> Array:
        found = self.of_optics(column)
        if found is None:
            raise InputError(f"{self.path}: neither data_{self.block} nor data_optics has a column _{column}")
        return found

    def _defocus(self, axis: str) -> Array:
        return self._required(f"rlnDefocus{axis}")

    def _angles(self) -> Array | None:
        columns = ["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]
        return self.numbers(columns) if self.has(*columns) else None

    def _origin(self, pixel_size_A: float | None) -> Array:
        """(p, 2) shift that is still to be applied, A."""
        if self.has("rlnOriginXAngst", "rlnOriginYAngst"):
            return self.numbers(["rlnOriginXAngst", "rlnOriginYAngst"])
        if not self.has("rlnOriginX", "rlnOriginY"):
            return np.zeros((len(self.table), 2))
        if pixel_size_A is None:
            raise InputError(
                f"{self.path}: _rlnOriginX/Y are in pixels of unknown size; give --angpix, or --angpix-shifts"
            )
        return self.numbers(["rlnOriginX", "rlnOriginY"]) * pixel_size_A

    def _ignored(self) -> list[str]:
        """What the table says of the images and mpop does not model."""
        found = [
            name for name, columns in ABERRATIONS.items() if any(self._is_given(column) for column in columns)
        ]
        matrices = [(self.of_optics(column), value) for column, value in MAGNIFICATION.items()]
        if any(values is not None and np.abs(values - unit).max() > 1e-5 for values, unit in matrices):
            found.append("anisotropic magnification")
        return found

    def _is_given(self, column: str) -> bool:
        """Whether a column of numbers, or of lists of them ([0,0.1,...]), holds one other than 0."""
        for table in (self.table, self.optics):
            if table is not None and column in table.columns:
                numbers = re.findall(r"[-+.\deE]+", " ".join(str(value) for value in table[column]))
                return any(float(number) != 0 for number in numbers if re.search(r"\d", number))
        return False
