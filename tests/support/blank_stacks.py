"""Stacks of images without content, for tables whose images are not at hand, and maps for a species of them."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
from noisy_halves import noisy_halves

from mpop.formats.images import write_map
from mpop.formats.stack_tables import StackTable
from mpop.jobs.export_stacks import export_relion
from mpop.jobs.importing.source import add_source
from mpop.jobs.importing.species import add_species
from mpop.population import Population

MAP_PIXEL_A, DIAMETER_A = 5.0, 130.0


def write_stacks(folder: Path, table: StackTable, size: int) -> None:
    """All files of a table, as small as it lets them be, and different from each other."""
    for number, file in enumerate(table.files):
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        images = np.zeros((int(table.image[table.file == number].max()) + 1, size, size), np.int8)
        images[0, 0, :2] = number % 100, number // 100
        with mrcfile.new(path, overwrite=True) as mrc:
            mrc.set_data(images)
            mrc.set_image_stack()
            mrc.header.nlabl, mrc.header.label = 0, b""  # it holds the time: the same images are the same file


def write_maps(folder: Path) -> list[Path]:
    """half1, half2 and mask of something."""
    made = noisy_halves(32, MAP_PIXEL_A, b_factor_A2=3000.0, noise=0.6)
    volumes = {"half1": made.half1, "half2": made.half2, "mask": made.mask}
    for name, volume in volumes.items():
        write_map(folder / f"{name}.mrc", volume, MAP_PIXEL_A)
    return [folder / f"{name}.mrc" for name in volumes]


def through_a_population(
    folder: Path, star: Path, images: Path, groups: tuple[str, ...] = (), **options: object
) -> Path:
    """Import a table and export it; returns the table that comes out. groups: each becomes a source of its own."""
    folder.mkdir()
    population = Population.init(folder / "population")
    for number, group in enumerate(groups or ("",)):
        add_source(
            population,
            f"source{number}",
            star,
            images=images,
            ignore_aberrations=True,
            optics_groups=(group,) if group else (),
            **options,  # pyright: ignore[reportArgumentType]
        )
    add_species(population, "molecule", *write_maps(folder), star, diameter_A=DIAMETER_A, force=True)
    population.commit("Import")
    (written,) = export_relion(population, folder / "out")
    return written
