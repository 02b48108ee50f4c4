"""What a refinement of RELION wrote about one of its iterations: sampling, mask, pixel size, and how it began."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpop.errors import InputError
from mpop.formats.external_reconstruct import RequestName
from mpop.formats.star import read_star, require_columns, require_finite
from mpop_store.paths import inside

INITIAL_LOW_PASS = re.compile(r"--ini_high[ =]+([\d.]+)")


@dataclass(frozen=True)
class IterationState:
    """One iteration that is complete. mask: as RELION was given it, counted from the working folder."""

    optimiser: Path
    number: int
    healpix_order: int
    pixel_size_A: float
    particle_diameter_A: float
    mask: Path | None


def read_before(name: RequestName) -> IterationState:
    """The iteration before the one of a request. Raises InputError when its files are not there."""
    before = (name.iteration or 1) - 1
    optimiser = _optimiser(name, before)
    row = _row(optimiser, "optimiser_general", ["rlnOrientSamplingStarFile"], ["rlnParticleDiameter"])
    sampling = optimiser.with_name(optimiser.name.replace("_optimiser.star", "_sampling.star"))
    model = optimiser.with_name(optimiser.name.replace("_optimiser.star", "_half1_model.star"))
    if not model.is_file():  # without half-sets
        model = optimiser.with_name(optimiser.name.replace("_optimiser.star", "_model.star"))
    mask = str(row.get("rlnSolventMaskName", "None"))
    return IterationState(
        optimiser,
        before,
        int(_row(sampling, "sampling_general", [], ["rlnHealpixOrder"])["rlnHealpixOrder"]),
        float(_row(model, "model_general", [], ["rlnPixelSize"])["rlnPixelSize"]),
        float(row["rlnParticleDiameter"]),
        None if mask in ("None", "") else Path(mask),
    )


def starting_reference(name: RequestName) -> Path:
    """The low-passed reference with which a run began, of the same half and class. Raises InputError."""
    half = f"half{name.half}_" if name.half else ""
    for run in _runs(name):
        path = inside(name.folder, f"{run}_it000_{half}{name.part}.mrc")
        if path.is_file():
            return path
    raise InputError(
        f"{name.of_iteration(0, f'{half}{name.part}.mrc')}: no such file, to keep low resolution from"
    )


def initial_low_pass_A(name: RequestName) -> float | None:
    """The resolution of --ini_high in the command that started a run; None when it is not found."""
    for run in _runs(name):
        path = inside(name.folder, f"{run}_it000_optimiser.star")
        if path.is_file():
            found = INITIAL_LOW_PASS.search(path.read_text(errors="replace").split("data_")[0])
            return float(found[1]) if found else None
    return None


def _optimiser(name: RequestName, iteration: int) -> Path:
    """Of the run itself, or of the one that it continues."""
    for run in _runs(name):
        path = inside(name.folder, f"{run}_it{iteration:03d}_optimiser.star")
        if path.is_file():
            return path
    raise InputError(
        f"{name.of_iteration(iteration, 'optimiser.star')}: no such file; it says how RELION searches"
    )


def _runs(name: RequestName) -> list[str]:
    """Names that the run may have had: its own, then those of the runs that it continues.

    `relion_refine --continue run_it005_optimiser.star --o run_ct5` leaves the earlier files to `run`. RELION's
    own name for the new run comes first; a continuation under any other name is recognised by being older.
    """
    runs = [name.run]
    shorter = name.run
    while match := re.fullmatch(r"(.*)_ct\d+", shorter):
        shorter = match[1]
        runs.append(shorter)
    others = sorted(name.folder.glob("*_optimiser.star"), key=lambda path: -path.stat().st_mtime)
    for path in others:
        run = re.sub(r"_it\d{3,}_optimiser$", "", path.stem)
        if run not in runs:
            runs.append(run)
    return runs


def _row(path: Path, block: str, columns: list[str], finite: list[str]) -> dict[str, Any]:
    """The first row of a block, which must have these columns, and finite numbers in others."""
    blocks = read_star(path)
    if block not in blocks:
        raise InputError(f"{path}: no block data_{block}")
    require_columns(blocks[block], columns, path, block)
    require_finite(blocks[block], finite, path, block)
    return blocks[block].iloc[0].to_dict()
