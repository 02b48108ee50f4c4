"""`mpop fsc`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from mpop.cli import context
from mpop.cli.map_arguments import MapOptions, add_command, check_out, made, show_finding
from mpop.doubts import Doubt
from mpop_store.errors import InputError

WRITTEN = ("map.mrc", "map_masked.mrc")
"""Maps that --out holds in the end, besides a mask where none was given."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    add_command(
        app,
        "fsc",
        fsc,
        "mpop fsc half1.mrc half2.mrc --mask mask.mrc --out fsc",
        "mpop fsc ribosome --out fsc",
        "mpop fsc map.mrc --model model.cif",
    )


def fsc(
    given: MapOptions,
    b_factor: Annotated[
        float | None,
        typer.Option(
            help="B-factor in A^2 to sharpen with, negative; 0 for none. Fitted if not given.", show_default=False
        ),
    ] = None,
    low_pass: Annotated[
        float | None,
        typer.Option(help="Low-pass of the map in A; the resolution if not given.", show_default=False),
    ] = None,
    mtf: Annotated[Path | None, typer.Option(help="MTF of the detector: STAR as RELION has it.")] = None,
    mtf_angpix: Annotated[
        float | None,
        typer.Option(help="Pixel size in A of the images at the detector; that of the maps if not given."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the random phases.")] = 0,
    model: Annotated[
        Path | None, typer.Option(help="Compare with this atomic model (mmCIF or PDB) instead.")
    ] = None,
    other: Annotated[Path | None, typer.Option("--map", help="Compare with this map (MRC) instead.")] = None,
) -> None:
    """Measure the resolution of two half-maps, and sharpen their mean; or compare a map with a model or a map.

    Without --mask one is made from the half-maps, or around the model. With --out, the sharpened map is written,
    the curves for RELION's scripts (postprocess.star) and for EMDB (fsc.xml), and a report. Of a species, the
    result is committed.
    """
    is_comparison = model is not None or other is not None
    if is_comparison:
        replaced = check_out(given.out, "mpop.map-fsc-report")
    else:
        replaced = given.check_out("mpop.fsc-report", made(WRITTEN, given.mask))
    if is_comparison:
        if (b_factor, low_pass, mtf, mtf_angpix) != (None,) * 4 or (model is not None and other is not None):
            raise InputError("--model and --map each go alone, without options for sharpening")
        return _compare(given, model, other, replaced)
    from mpop.jobs.maps import fsc as job
    from mpop.jobs.maps.parameters import FSCParameters
    from mpop.reports.fsc import REPORT

    maps = given.read()
    path = None if mtf is None else context.relative(mtf)
    parameters = FSCParameters(b_factor_A2=b_factor, low_pass_A=low_pass, mtf_pixel_size_A=mtf_angpix)
    commit = None
    with context.run() as run:
        if maps.species is None:
            found = job.finding(job.half_map_fsc(maps, parameters, seed, path))
        else:
            found, commit = job.fsc_of_species(context.population(), maps, parameters, seed, path, run)

    write = partial(job.write_files, files=maps.files)
    show_finding(REPORT, found, maps.species is not None, commit, given.out, write, replaced)


def _compare(given: MapOptions, model: Path | None, other: Path | None, replaced: Sequence[Doubt]) -> None:
    """A map, half-maps or a species against a model or a map."""
    from mpop.jobs.maps import fsc_to_reference as job
    from mpop.reports.map_fsc import REPORT

    against, named = ("map", other) if model is None else ("model", model)
    assert named is not None
    path, first = context.relative(named), context.relative(Path(given.maps[0]))
    is_one = len(given.maps) == 1 and first.is_file()
    halves = None if is_one else given.read()
    commit = None
    with context.run() as run:
        if halves is None:
            mask = None if given.mask is None else context.relative(given.mask)
            found = job.compared(job.OneMap.read(first, mask, given.angpix), against, path)
        elif halves.species is None:
            found = job.compared(job.OneMap.of_halves(halves, first, given.angpix is None), against, path)
        else:
            found, commit = job.compared_of_species(context.population(), halves, against, path, run)
    of_species = halves is not None and halves.species is not None
    show_finding(REPORT, found, of_species, commit, given.out, job.write_files, replaced)
