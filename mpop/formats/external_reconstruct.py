"""The files by which relion_refine hands one reconstruction to an outside program, and takes its map back.

    run_it005_half1_class001_external_reconstruct.star    what is to be done; tau2 and FSC of this iteration
                                        ..._data_real.mrc, ..._data_imag.mrc    sums of CTF * image / sigma^2
                                        ..._weight.mrc    sums of CTF^2 / sigma^2
                                        ....mrc           the map, which RELION reads when the program has ended

All is found from the name of the STAR file: names inside it count from RELION's working folder, and RELION cuts
them at the first space. Sums are transforms in rfftn layout, padded, with phase zero at the origin voxel box // 2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpop.doubts import Doubt
from mpop.errors import InputError
from mpop.formats.images import open_stack, write_map
from mpop.formats.star import read_star, require_finite, require_numbers
from mpop.words import counted
from mpop_store.paths import inside

Array = NDArray[np.float64]

NAME = re.compile(
    r"(?P<run>.*?)(_it(?P<iteration>\d{3,}))?(_half(?P<half>[12]))?_(?P<part>(class|body)\d{3})_external_reconstruct"
)
"""RELION's names; the run's own name may hold anything, also what looks like an iteration."""


FSC_TOLERANCE = 1e-3
"""By rounding."""


@dataclass(frozen=True)
class RequestName:
    """What the name of a request says. half: None for all particles, as in the last iteration."""

    folder: Path
    run: str
    iteration: int | None
    half: int | None
    part: str
    """class001, or body001 of a multi-body refinement."""

    @classmethod
    def parse(cls, path: Path) -> RequestName:
        """Raises InputError for a name that RELION does not give."""
        match = NAME.fullmatch(path.stem) if path.suffix == ".star" else None
        if match is None:
            raise InputError(
                f"{path}: not a name that RELION gives, NAME_it001_half1_class001_external_reconstruct.star"
            )
        iteration, half = match["iteration"], match["half"]
        return cls(
            path.parent,
            match["run"],
            int(iteration) if iteration else None,
            int(half) if half else None,
            match["part"],
        )

    def of_iteration(self, iteration: int, kind: str) -> Path:
        """A file of this run and an iteration: `optimiser.star`, or `half1_class001.mrc`."""
        return inside(self.folder, f"{self.run}_it{iteration:03d}_{kind}")


@dataclass(frozen=True)
class ReconstructRequest:
    """One reconstruction that RELION asks for.

    tau2, fsc: of shells 0, 1, ..., box // 2; tau2 in RELION's units, power of |transform| / box^2. reach: shells
    that hold data. fudge: RELION's T. padding: how many times finer than the box the sums are sampled.
    """

    path: Path
    name: RequestName
    box: int
    reach: int
    padding: float
    fudge: float
    tau2: Array
    fsc: Array
    doubts: tuple[Doubt, ...] = ()

    @property
    def result(self) -> Path:
        """Where RELION looks for the map."""
        return self._beside(".mrc")

    def data(self) -> NDArray[np.complex64]:
        """(padded, padded, padded // 2 + 1) sums of CTF * image / sigma^2."""
        real = self._sums("data_real")
        data = np.empty(real.shape, dtype=np.complex64)
        data.real, data.imag = real, self._sums("data_imag")
        return data

    def weight(self) -> NDArray[np.float32]:
        """(padded, padded, padded // 2 + 1) sums of CTF^2 / sigma^2."""
        return self._sums("weight")

    def write_result(self, volume: NDArray[np.floating], pixel_size_A: float) -> None:
        """Write the map (z, y, x), whole or not at all."""
        write_map(self.result, volume, pixel_size_A)

    def _beside(self, ending: str) -> Path:
        return self.path.with_name(self.path.stem + ending)

    def _sums(self, kind: str) -> NDArray[np.float32]:
        path = self._beside(f"_{kind}.mrc")
        values = np.array(open_stack(path)[0], dtype=np.float32)
        padded = round(self.padding * self.box)
        shape = (padded, padded, padded // 2 + 1)
        if values.shape != shape:
            found = " x ".join(map(str, values.shape[::-1]))
            raise InputError(
                f"{path}: is {found}, but box and padding ask for {' x '.join(map(str, shape[::-1]))}"
            )
        if not np.isfinite(values).all():
            raise InputError(f"{path}: holds values that are NaN or infinite")
        return values


def read_request(path: Path) -> ReconstructRequest:
    """Read the STAR file; sums are read when asked for. Raises InputError naming what is wrong."""
    name = RequestName.parse(path)
    blocks = read_star(path)
    general, shells = "external_reconstruct_general", "external_reconstruct_tau2"
    for block in (general, shells):
        if block not in blocks:
            raise InputError(
                f"{path}: no block data_{block}; is it RELION's request for an external reconstruction?"
            )
    wanted = ["rlnTau2FudgeFactor", "rlnPaddingFactor", "rlnReferenceDimensionality", "rlnOriginalImageSize"]
    require_finite(blocks[general], [*wanted, "rlnCurrentImageSize"], path, general)
    require_numbers(blocks[shells], ["rlnReferenceTau2", "rlnGoldStandardFsc"], path, shells)
    row, table = blocks[general].iloc[0], blocks[shells]
    box = int(row["rlnOriginalImageSize"])
    if int(row["rlnReferenceDimensionality"]) != 3:
        raise InputError(
            f"{path}: references are {row['rlnReferenceDimensionality']}-D; only maps are reconstructed"
        )
    if len(table) != box // 2 + 1:
        raise InputError(f"{path}: {len(table)} shells in data_{shells}, a box of {box} has {box // 2 + 1}")
    reach = min(int(row["rlnCurrentImageSize"]) // 2, box // 2)
    correlation, doubts = _correlation(path, table["rlnGoldStandardFsc"].to_numpy(np.float64))
    return ReconstructRequest(
        path,
        name,
        box,
        reach,
        float(row["rlnPaddingFactor"]),
        float(row["rlnTau2FudgeFactor"]),
        _tau2(path, table["rlnReferenceTau2"].to_numpy(np.float64), reach),
        correlation,
        doubts,
    )


def _tau2(path: Path, tau2: Array, reach: int) -> Array:
    """0 in shells without data, whatever stands there. Raises InputError for what is no power in the others."""
    held = np.arange(len(tau2)) <= reach
    wrong = np.flatnonzero(held & ~(np.isfinite(tau2) & (tau2 >= 0)))
    if len(wrong):
        raise InputError(
            f"{path}: rlnReferenceTau2 of shell {wrong[0]} is {tau2[wrong[0]]:g}, and must be a finite power, 0 "
            "or more: the iteration before has gone wrong; go on from an earlier one"
        )
    return np.where(held, tau2, 0.0)


def _correlation(path: Path, fsc: Array) -> tuple[Array, tuple[Doubt, ...]]:
    """The FSC with 0 where there is none: RELION divides 0 by 0 in shells that are empty in both half-maps."""
    wrong = np.flatnonzero(np.abs(fsc) > 1 + FSC_TOLERANCE)
    if len(wrong):
        raise InputError(
            f"{path}: rlnGoldStandardFsc of shell {wrong[0]} is {fsc[wrong[0]]:g}, and must lie between -1 and 1"
        )
    lost = np.flatnonzero(np.isnan(fsc))
    if not len(lost):
        return fsc, ()
    doubt = Doubt(
        "no-number",
        str(path),
        f"rlnGoldStandardFsc is NaN in {counted(len(lost), 'shell')}, the first is {lost[0]}",
        assumed="it counts as 0 there: the half-maps have nothing in common",
    )
    return np.nan_to_num(fsc), (doubt,)
