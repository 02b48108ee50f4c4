"""`mpop export`: what other programs read, so that they can check us.

Files are written into a temporary folder and moved to the target when all are complete.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mpop.errors import InputError, StateError
from mpop.formats.fsc_files import NO_RESOLUTION, fsc_table, write_postprocess
from mpop.formats.images import write_map
from mpop.formats.particle_tables import write_m_particles
from mpop.formats.warp_xml import with_aberrations_of, write_tilt_series
from mpop.maps.filtered import FSC_COLUMNS
from mpop.population import Population
from mpop.records.models import ItemRecord, SpeciesRecord
from mpop_hooks.attachments import WARP_XML
from mpop_store.paths import inside, refuse_same_files


def export_warp(
    population: Population, directory: str | Path, at: str | None = None, force: bool = False
) -> list[Path]:
    """`<series>.xml` of every series and `<species>_particles.star` of every species, as M reads them."""
    items, species = population.items(at), population.species(at)
    sources = population.sources(at)
    items = {item.id: item for item in items.values() if sources[item.source].type == "tilt-series"}
    species = {one.id: one for one in species.values() if items.keys() & one.particles.keys()}
    refuse_same_files("series", [item.name for item in items.values()])
    refuse_same_files("species", [file_name(one.name) for one in species.values()])

    def write(folder: Path) -> None:
        for item in items.values():
            original = population.attachment(item, WARP_XML)
            model = population.tilt_series(item)
            if original is not None:
                model = with_aberrations_of(model, original, item.name)
            content = write_tilt_series(model, original, item.name)
            inside(folder, f"{item.name}.xml").write_bytes(content)
        for one in species.values():
            _write_particles(population, one, items, inside(folder, f"{file_name(one.name)}_particles.star"))

    return write_all(Path(directory), force, write)


def export_maps(
    population: Population, directory: str | Path, at: str | None = None, force: bool = False
) -> list[Path]:
    """Half-maps, mask, filtered map and FSC of every species."""
    species = population.species(at)
    refuse_same_files("species", [file_name(one.name) for one in species.values()])

    def write(folder: Path) -> None:
        for one in species.values():
            maps = population.maps(one)
            if lacking := {"half1", "half2", "mask", "filtered", "fsc"} - maps.keys():
                raise StateError(f"species {one.name} has no {min(lacking)} among its maps; ask who made it")
            stem = file_name(one.name)
            for kind in ("half1", "half2", "mask", "filtered"):
                write_map(inside(folder, f"{stem}_{kind}.mrc"), maps[kind], one.pixel_size_A)
            _write_fsc(one, maps["fsc"], inside(folder, f"{stem}_fsc.star"))

    return write_all(Path(directory), force, write)


def write_all(directory: Path, force: bool, write: Callable[[Path], None]) -> list[Path]:
    """Let `write` fill a temporary folder, then move its files to the target.

    The temporary folder is on the target's file system, so that moving is renaming, which never follows a link.
    """
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory}: is a file, not a folder")
    directory.parent.mkdir(parents=True, exist_ok=True)
    beside = directory if directory.exists() else directory.parent
    with tempfile.TemporaryDirectory(dir=beside, prefix=".mpop-export-") as temporary:
        folder = Path(temporary)
        write(folder)
        targets = {file: inside(directory, file.name) for file in sorted(folder.iterdir())}
        if not targets:
            raise StateError("nothing to export: no series and no species for such files")
        for target in targets.values():
            if target.is_dir() and not target.is_symlink():
                raise InputError(f"{directory}: {target.name} is a folder; move it away")
            if os.path.lexists(target) and not force:
                raise InputError(f"{directory}: {target.name} is there already; use --force to overwrite")
        directory.mkdir(exist_ok=True)
        for file, target in targets.items():
            os.replace(file, target)
        return [*targets.values()]


def file_name(name: str) -> str:
    """A species' name as part of a file name."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name).lstrip(".") or "species"


def _write_particles(
    population: Population, species: SpeciesRecord, items: dict[str, ItemRecord], path: Path
) -> None:
    held = sorted((items[item] for item in species.particles if item in items), key=lambda item: item.name)
    sets = [population.particles(species, item.id) for item in held]
    if len({(part.position_A.shape[1], part.angles_deg.shape[1]) for part in sets}) > 1:
        raise StateError(
            f"species {species.name}: its series differ in trajectory samples; M's format cannot hold that"
        )
    pairs = list(zip(held, sets, strict=True))
    names = [name for name in sets[0].extra if all(name in part.extra for part in sets)]
    extra = {name: [value for part in sets for value in part.extra[name]] for name in names}
    # M knows a series by a hash of its own; mpop cannot make it, but gives back what an imported table had
    hashes = extra.pop("wrpSourceHash", None) or [item.id for item, part in pairs for _ in range(len(part))]
    write_m_particles(
        path,
        [f"{item.name}.tomostar" for item, part in pairs for _ in range(len(part))],
        np.concatenate([part.position_A for part in sets]),
        np.concatenate([part.angles_deg for part in sets]),
        np.concatenate([part.half for part in sets]),
        [str(value) for value in hashes],
        extra,
    )


def _write_fsc(species: SpeciesRecord, fsc: np.ndarray, path: Path) -> None:
    """The FSC in the columns of RELION's postprocess.star."""
    curves: dict[str, np.ndarray] = dict(zip(FSC_COLUMNS, fsc, strict=True))
    general = {"rlnFinalResolution": species.resolution_A or NO_RESOLUTION}
    write_postprocess(path, general, fsc_table(curves.pop("frequency"), curves))
