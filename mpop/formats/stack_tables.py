"""STAR tables of extracted particle images: RELION 3.0 (one block), 3.1 and 5 (with optics groups).

    rlnImageName        NNN@file, NNN from 1
    rlnDefocusU/V       A, positive = underfocus; rlnDefocusAngle from x to U, rlnPhaseShift deg
    rlnCtfBfactor       A^2, positive = damping; rlnCtfScalefactor
    rlnOriginX/YAngst   A, what moves the particle to the centre of the image: it lies at size // 2 - origin
    rlnOriginX/Y        the same in pixels (3.0)

Of the CTF, a particle's own column wins over that of its optics group, as in RELION; of the pixel size, the optics
group does. What the images hold and mpop does not model (beam tilt, higher aberrations, anisotropic magnification)
is named in `ignored`; whether to go on is for the caller to say. All other columns, and the optics groups as they
are, are kept for export.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mpop.doubts import Doubt
from mpop.errors import InputError
from mpop.formats.kept_columns import Columns, keep_columns
from mpop.formats.known_kinds import PARTICLES, table_is_not
from mpop.formats.star import Blocks, read_star
from mpop.formats.table_reader import TableReader

Array = NDArray[np.float64]

IMAGE_NAME = re.compile(r"(\d+)@(.+)")
TOMO_COLUMNS = ("rlnTomoName", "rlnCoordinateZ", "rlnCenteredCoordinateXAngst", "wrpCoordinateX1")
OPTICS = ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")
CTF = ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnPhaseShift", "rlnCtfBfactor", "rlnCtfScalefactor")
MODELLED = {
    "rlnImageName",
    *("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"),
    *("rlnOriginX", "rlnOriginY", "rlnOriginXAngst", "rlnOriginYAngst"),
    *CTF,
    *OPTICS,
    "rlnRandomSubset",
}
"""Columns of particles that an export writes anew from what mpop knows; all others are kept."""
ABERRATIONS = {
    "beam tilt": ("rlnBeamTiltX", "rlnBeamTiltY"),
    "odd aberrations": ("rlnOddZernike",),
    "even aberrations": ("rlnEvenZernike",),
}
MAGNIFICATION = {"rlnMagMat00": 1.0, "rlnMagMat01": 0.0, "rlnMagMat10": 0.0, "rlnMagMat11": 1.0}
MICROGRAPH_PIXEL = ("rlnMicrographPixelSize", "rlnMicrographOriginalPixelSize")
SAME = 1e-4
"""Relative difference up to which two statements of a quantity agree: tables have six decimals."""
SAME_PIXEL = 0.01


@dataclass(frozen=True)
class StackTable:
    """p particle images. Arrays are (p,) unless said.

    files: distinct names of stacks; file: index into them; image: place in the stack, from 0. half: 1 or 2, None
    when the table does not say. pixel_sizes_A: None when the table does not say. optics: (p, 3) kV, Cs (mm),
    amplitude contrast; what the table lacks of these and of the defocus is NaN and named in `missing`.
    optics_group: index into `groups`, the rows of data_optics by column, those that no particle uses too; [] when
    the table has none. angles_deg: (p, 3) rot, tilt, psi, None when the table has none; origin_A: (p, 2).
    centre_A: (p, 2) of the particle in its micrograph, micrograph: number of that; None when the table does not
    say. extra: columns kept for export.
    """

    path: Path
    files: list[str]
    file: NDArray[np.int64]
    image: NDArray[np.int64]
    half: NDArray[np.uint8] | None
    pixel_sizes_A: Array | None
    defocus_um: Array
    defocus_delta_um: Array
    defocus_angle_deg: Array
    phase_shift_pi: Array
    bfactor_A2: Array
    scale: Array
    optics: Array
    optics_group: NDArray[np.int64]
    groups: list[dict[str, str | float | int]]
    angles_deg: Array | None
    origin_A: Array
    centre_A: Array | None
    micrograph: NDArray[np.int64] | None
    extra: Columns
    ignored: list[str]
    missing: list[str]
    doubts: list[Doubt]

    def __len__(self) -> int:
        return len(self.image)

    @property
    def pixel_size_A(self) -> float | None:
        """Of the images; None when the table does not say. Raises InputError for several."""
        sizes = self.pixel_sizes_A
        if sizes is None:
            return None
        if np.ptp(sizes) > SAME * sizes[0]:
            raise InputError(
                f"{self.path}: images of {sizes.min():g} and of {sizes.max():g} A/px; add a source for each, "
                f"with --optics-group {self._group_names()}"
            )
        return float(sizes[0])

    def _group_names(self) -> str:
        return " or ".join(str(self.groups[index]["rlnOpticsGroup"]) for index in np.unique(self.optics_group)[:5])

    def take(self, rows: NDArray[np.int64]) -> StackTable:
        """Some of its rows."""
        values: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, np.ndarray):
                values[one.name] = value[rows]
        used, file = np.unique(values.pop("file"), return_inverse=True)
        return replace(
            self,
            **values,
            files=[self.files[number] for number in used],
            file=file.reshape(-1).astype(np.int64),
            extra={name: [column[row] for row in rows.tolist()] for name, column in self.extra.items()},
        )

    def repeated(self) -> NDArray[np.int64]:
        """(p,) first row with the image of each row; that itself where no other row shares its image."""
        _, first, of_row = np.unique(
            np.stack([self.file, self.image]), axis=1, return_index=True, return_inverse=True
        )
        return first[of_row.reshape(-1)].astype(np.int64)

    def one_row_per_image(self, take_first: bool) -> StackTable:
        """The table if every image is in one row, or the first rows of images. Raises InputError."""
        first = self.repeated()
        again = np.flatnonzero(first != np.arange(len(self)))
        if len(again) == 0:
            return self
        if not take_first:
            row = again[0]
            raise InputError(
                f"{self.path}: image {self.image[row] + 1}@{self.files[self.file[row]]} is in several rows, "
                f"as {len(again)} of {len(self)} are; if the table is symmetry-expanded, take the first row of "
                "each image with --first-per-image"
            )
        return self.take(np.flatnonzero(first == np.arange(len(self))))

    def of_groups(self, wanted: Sequence[str]) -> StackTable:
        """The rows of some optics groups, by number or name. Raises InputError for one that is not there."""
        chosen: set[int] = set()
        for name in wanted:
            columns = ("rlnOpticsGroup", "rlnOpticsGroupName")
            found = [
                n for n, row in enumerate(self.groups) if name in [str(row.get(column)) for column in columns]
            ]
            if not found:
                there = ", ".join(str(row.get("rlnOpticsGroup")) for row in self.groups) or "none"
                raise InputError(f"{self.path}: no optics group {name} (there are: {there})")
            chosen.update(found)
        rows = np.flatnonzero(np.isin(self.optics_group, list(chosen)))
        if len(rows) == 0:
            raise InputError(f"{self.path}: no particle is in optics group {', '.join(wanted)}")
        return self.take(rows)


def stack_table_if_one(
    path: str | Path, pixel_size_A: float | None = None, blocks: Blocks | None = None
) -> StackTable | None:
    """As `read_stack_table`; None for a table that lists no images of stacks, or particles of tomograms.

    blocks: those of the file, if it was read.
    """
    blocks = read_star(Path(path)) if blocks is None else blocks
    table = _block(blocks)[1]
    if "rlnImageName" not in table.columns or any(column in table.columns for column in TOMO_COLUMNS):
        return None
    if len(table) == 0 or "@" not in str(table["rlnImageName"].iloc[0]):
        return None
    return _read(Path(path), blocks, pixel_size_A)


def read_stack_table(path: str | Path, pixel_size_A: float | None = None, with_extra: bool = True) -> StackTable:
    """Read a table of particle images.

    pixel_size_A: of the images, in place of what the table says. with_extra: read the columns that are kept for
    export, too. Raises InputError naming file, block and column.
    """
    return _read(Path(path), read_star(Path(path)), pixel_size_A, with_extra)


def _read(path: Path, blocks: Blocks, pixel_size_A: float | None, with_extra: bool = True) -> StackTable:
    name, table = _block(blocks)
    if "rlnImageName" not in table.columns:
        message = f"block data_{name} has no column _rlnImageName; is it a table of particle images?"
        raise InputError(table_is_not(path, blocks, PARTICLES, message))
    if len(table) == 0:
        raise InputError(f"{path}: block data_{name} has no rows")
    if any(column in table.columns for column in TOMO_COLUMNS):
        raise InputError(f"{path}: its particles lie in tomograms; import the tilt series with --warp")
    return _Reader(path, name, table, blocks.get("optics")).read(pixel_size_A, with_extra)


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

    def read(self, pixel_size_A: float | None, with_extra: bool) -> StackTable:
        """Everything that mpop uses of it, and all that it keeps."""
        self._refuse()
        self.missing: list[str] = []
        count = len(self.table)
        pixel = self._pixel_sizes() if pixel_size_A is None else np.full(count, pixel_size_A)
        files, file, image = self._images()
        u, v = (self._required(f"rlnDefocus{axis}") for axis in "UV")
        origin = self._origin(pixel)
        others = [column for column in self.table.columns if with_extra and column not in MODELLED]
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
            np.zeros(count, dtype=np.int64) if self.optics is None else self.optics_rows().astype(np.int64),
            self._groups(),
            self.whole(["rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi"]),
            origin,
            self._centre(pixel, origin),
            self._micrograph(),
            keep_columns(self, others),
            self._ignored(),
            self.missing,
            self.doubts,
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
        return files, file, image

    def _pixel_sizes(self) -> Array | None:
        """(p,) of the images; None when the table does not say."""
        sizes = self._of_groups_alone("rlnImagePixelSize")
        if sizes is None:
            sizes = self.of_optics("rlnImagePixelSize")
        if not self.has("rlnDetectorPixelSize", "rlnMagnification"):
            return sizes if sizes is not None else self.of_optics("rlnPixelSize")
        detector, magnification = self.numbers(["rlnDetectorPixelSize", "rlnMagnification"]).T
        with np.errstate(divide="ignore", invalid="ignore"):
            magnified = detector * 1e4 / magnification
        if sizes is None:
            return magnified
        self._compare(
            "rlnImagePixelSize", sizes, "_rlnDetectorPixelSize / _rlnMagnification", magnified, SAME_PIXEL
        )
        return sizes

    def _of_groups_alone(self, column: str) -> Array | None:
        """(p,) values of the optics groups, whatever the particles say. None when they have none."""
        if self.optics is None or column not in self.optics.columns:
            return None
        values = TableReader(self.path, "optics", self.optics).numbers([column])[:, 0][self.optics_rows()]
        if self.has(column):
            own = self.numbers([column])[:, 0]
            self._compare(f"{column} of data_optics", values, f"_{column} of its own", own, SAME)
        return values

    def _compare(self, name: str, used: Array, other: str, values: Array, tolerance: float) -> None:
        """Doubt two statements of one quantity that differ."""
        differ = np.flatnonzero(~(np.abs(values - used) <= tolerance * np.maximum(np.abs(used), tolerance)))
        if len(differ):
            row = differ[0]
            self.doubts.append(
                Doubt(
                    "optics-contradict",
                    f"{self.path}: row {row + 1} of data_{self.block}",
                    f"_{name} is {used[row]:g}",
                    f"{other} is {values[row]:g} (so in {len(differ)} of {len(used)} rows)",
                    "the former is used, as RELION does",
                )
            )

    def _column(self, column: str, default: float) -> Array:
        """(p,) values; where particle and optics group both have it, the particle's own."""
        found = self.of_optics(column)
        if found is None:
            return np.full(len(self.table), default)
        if self.has(column) and self.optics is not None and column in self.optics.columns:
            groups = TableReader(self.path, "optics", self.optics).numbers([column])[:, 0][self.optics_rows()]
            self._compare(column, found, "data_optics says that it", groups, SAME)
        return found

    def _required(self, column: str) -> Array:
        """(p,) values; NaN, and named as missing, when there are none."""
        values = self._column(column, np.nan)
        if np.isnan(values).any():
            self.missing.append(column)
        return values

    def _groups(self) -> list[dict[str, str | float | int]]:
        """The rows of data_optics as they are."""
        if self.optics is None:
            return []
        reader = TableReader(self.path, "optics", self.optics)
        kept = keep_columns(reader, list(self.optics.columns))
        self.doubts += reader.doubts
        return [{name: values[row] for name, values in kept.items()} for row in range(len(self.optics))]

    def _origin(self, pixel_sizes_A: Array | None) -> Array:
        """(p, 2) shift that is still to be applied, A."""
        in_angstrom = self.shift(["rlnOriginXAngst", "rlnOriginYAngst"])
        if in_angstrom is not None:
            return in_angstrom
        shift = self.shift(["rlnOriginX", "rlnOriginY"])
        if shift is None or not shift.any():
            return np.zeros((len(self.table), 2))
        if pixel_sizes_A is None:
            raise InputError(
                f"{self.path}: _rlnOriginX/Y are in pixels of unknown size; give --angpix, or --angpix-shifts"
            )
        return shift * pixel_sizes_A[:, None]

    def _centre(self, pixel_sizes_A: Array | None, origin_A: Array) -> Array | None:
        """(p, 2) of the particles in their micrographs, A.

        Where the pixels of the micrograph are not given they are taken as those of the images: they are no larger.
        """
        if not self.has("rlnCoordinateX", "rlnCoordinateY"):
            return None
        given = (self.of_optics(column) for column in MICROGRAPH_PIXEL)
        pixel = next((sizes for sizes in given if sizes is not None), pixel_sizes_A)
        if pixel is None:
            return None
        return self.numbers(["rlnCoordinateX", "rlnCoordinateY"]) * pixel[:, None] - origin_A

    def _micrograph(self) -> NDArray[np.int64] | None:
        if not self.has("rlnMicrographName"):
            return None
        return pd.factorize(self.table["rlnMicrographName"])[0].astype(np.int64)

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
