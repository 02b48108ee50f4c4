"""`mpop source add`: a Warp tilt-series project becomes a source and its series items.

Everything is read and checked before the working state is touched, by one `stage`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from mpop.errors import InputError, NotFoundError, StateError
from mpop.formats.images import MRC_SUFFIXES, TIFF_SUFFIXES, decode_image
from mpop.formats.tomostar import ANGLE, AXIS, DOSE, Tomostar, read_tomostar
from mpop.formats.warp_settings import read_settings
from mpop.formats.warp_xml import read_tilt_series
from mpop.jobs.leasing import leased
from mpop.jobs.progress import Progress, silent
from mpop.jobs.relocating import learn_places
from mpop.population import Population
from mpop.records.models import ItemRecord, RawImage, SourceRecord
from mpop.records.tilt_series import TiltSeriesModel
from mpop.words import counted
from mpop_hooks.names import require_name
from mpop_store import canonical_json, hash_bytes
from mpop_store.filecache import FileState
from mpop_store.paths import inside

SIZE_TOLERANCE = 0.01
"""Relative difference up to which two statements of a size agree."""


@dataclass(frozen=True)
class WarpProject:
    """Where the files of a Warp tilt-series project are."""

    tomostars: list[Path]
    xml_folder: Path
    pixel_size_A: float
    volume_dims_A: tuple[float, float, float] | None


@dataclass(frozen=True)
class SeriesFiles:
    """One series of a project: its tables, and the image of every tilt."""

    tomostar: Tomostar
    path: Path
    """Of the tomostar."""
    images: list[Path]
    xml: bytes


def locate_project(warp: Path, tomostar: Path | None, pixel_size_A: float | None) -> WarpProject:
    """Find a project from its `.settings` file, or from a folder of XMLs and a folder of tomostars.

    pixel_size_A: of the tilt images, in place of what the settings say.
    """
    if pixel_size_A is not None and not pixel_size_A > 0:
        raise InputError(f"--angpix {pixel_size_A:g} is not a pixel size; it must be greater than 0")
    if warp.is_dir():
        settings = sorted(warp.glob("*.settings")) if tomostar is None else []
        if len(settings) == 1:
            return locate_project(settings[0], None, pixel_size_A)
        if tomostar is None:
            raise InputError(f"{warp}: a folder needs --tomostar DIR as well, or name the .settings file")
        if pixel_size_A is None:
            raise InputError("--angpix is needed when no .settings file gives the pixel size")
        return WarpProject(_tomostars(tomostar, "*.tomostar"), warp, pixel_size_A, None)
    if warp.suffix != ".settings":
        raise InputError(f"{warp}: give a Warp .settings file, or a folder with XMLs and --tomostar DIR")
    found = read_settings(warp)
    base = warp.parent
    folder = tomostar or base / found.data_folder
    pixel = pixel_size_A or found.binned_pixel_size_A
    dims = np.array(found.volume_dims_px) * pixel / 2.0**found.bin_times  # the settings count unbinned pixels
    volume = None if not dims.all() else (float(dims[0]), float(dims[1]), float(dims[2]))
    xml_folder = base / (found.processing_folder or found.data_folder)
    return WarpProject(_tomostars(folder, found.extension), xml_folder, pixel, volume)


def _tomostars(folder: Path, pattern: str) -> list[Path]:
    files = sorted(folder.glob(pattern if pattern.endswith(".tomostar") else "*.tomostar"))
    if not files:
        raise InputError(f"{folder}: no tomostar files there")
    return files


@leased("source add")
def add_source(
    population: Population,
    name: str,
    warp: str | Path,
    tomostar: str | Path | None = None,
    pixel_size_A: float | None = None,
    volume_dims_A: tuple[float, float, float] | None = None,
    store_raw: bool = False,
    progress: Progress = silent,
) -> SourceRecord:
    """Import a project and stage it. Raises InputError with every kind of mismatch; then nothing is staged."""
    refuse_name(population, name)
    project = locate_project(Path(warp), Path(tomostar) if tomostar else None, pixel_size_A)
    if volume_dims_A is not None:
        if not min(volume_dims_A) > 0:
            raise InputError("--volume takes three lengths in A greater than 0")
        project = replace(project, volume_dims_A=volume_dims_A)
    series = [_series_files(path, project) for path in project.tomostars]  # before the long reading of images
    total, done = sum(len(one.images) for one in series), 0
    items: list[ItemRecord] = []
    models: list[TiltSeriesModel] = []
    shape: tuple[int, int] | None = None
    for one in series:
        raws: list[RawImage] = []
        with ThreadPoolExecutor(2) as pool:
            jobs = pool.map(lambda file: _read_raw(population, file, project.pixel_size_A, store_raw), one.images)
            for file, (raw, found) in zip(one.images, jobs, strict=True):
                shape = shape or found
                if found != shape:
                    raise InputError(
                        f"{file}: {found[1]} x {found[0]} px, but other images are {shape[1]} x {shape[0]}"
                    )
                raws.append(raw)
                done += 1
                progress("read tilt images", done, total)
        assert shape is not None
        models.append(_model(one, project, shape))
        items.append(_item(population, one, raws, models[-1]))
    assert shape is not None
    refuse_known(population, items)
    identity = source_id(item.id for item in items)
    source = SourceRecord(
        id=identity,
        name=name,
        pixel_size_A=project.pixel_size_A,
        image_shape=shape,
        volume_dims_A=models[0].volume_dims_A,
        items=sorted(item.id for item in items),
    )
    population.stage([source, *(item.model_copy(update={"source": identity}) for item in items)])
    return population.source(identity)


def source_id(items: Iterable[str]) -> str:
    """Id of a source, 16 hex digits that follow from the ids of its series."""
    return hash_bytes(canonical_json(sorted(items)))[:16]


def _series_files(path: Path, project: WarpProject) -> SeriesFiles:
    tomostar = read_tomostar(path)
    require_name("series", tomostar.name)
    images = _image_paths(tomostar, path)
    return SeriesFiles(tomostar, path, images, _xml(tomostar, project))


def _item(population: Population, files: SeriesFiles, raws: list[RawImage], model: TiltSeriesModel) -> ItemRecord:
    """The record of a series, its objects stored; the source is not known yet."""
    return ItemRecord(
        id=hash_bytes(canonical_json([raw.hash for raw in raws]))[:16],
        name=files.tomostar.name,
        source="",
        raw=raws,
        model_object=population.write_tilt_series(model),
        warp_xml_object=population.objects.put(files.xml),
        tomostar_object=population.objects.put(files.path.read_bytes()),
    )


def refuse_name(population: Population, name: str) -> None:
    """Raise InputError for what cannot be a name, and StateError when there is a source of this name."""
    require_name("source", name)
    if any(source.name == name for source in population.sources().values()):
        raise StateError(f"there is a source called {name} already; choose another name")


def refuse_known(population: Population, items: Sequence[ItemRecord]) -> None:
    """Raise StateError when the raw images of an item are in the population already.

    Those that are gone from where they should be are found again by that.
    """
    known = population.items()
    names = {item.id: item.name for item in items}
    if len(names) != len(items):
        twice = [item.name for item in items if names[item.id] != item.name]
        raise InputError(f"series {', '.join(twice)}: the same tilt images as another series of this project")
    again = [item for item in items if item.id in known]
    if again:
        text = f"the raw images of {', '.join(item.name for item in again[:5])} are in this population already"
        if moved := learn_places(population, [known[item.id] for item in again], again):
            text += f"; {counted(moved, 'file')} that had moved will be read from where this import found them"
        raise StateError(text)


def _image_paths(series: Tomostar, path: Path) -> list[Path]:
    """The image of every tilt: Warp's average beside the movie, else the movie itself."""
    found, missing = [], []
    for movie in series.movies:
        movie_path = path.parent / movie
        suffixes = sorted(MRC_SUFFIXES | TIFF_SUFFIXES)
        candidates = [movie_path.parent / "average" / (movie_path.stem + suffix) for suffix in suffixes]
        if movie_path.suffix.lower() in suffixes:
            candidates.append(movie_path)
        existing = [candidate for candidate in candidates if candidate.is_file()]
        if existing:
            found.append(existing[0])
        else:
            missing.append(movie)
    if missing:
        raise InputError(
            f"{path}: {len(missing)} of {len(series.movies)} tilt images are missing, the first is {missing[0]} "
            f"(looked for it and for average/{Path(missing[0]).stem}.mrc beside it)"
        )
    return found


def _xml(series: Tomostar, project: WarpProject) -> bytes:
    path = inside(project.xml_folder, f"{series.name}.xml")
    if not path.is_file():
        raise InputError(f"{path}: no such file; series {series.name} has a tomostar but no XML")
    content = path.read_bytes()
    model = read_tilt_series(content, str(path), (1.0, 1.0), (1.0, 1.0, 1.0))
    if model.n_tilts != len(series.table):
        raise InputError(
            f"{path}: {model.n_tilts} tilts, but {series.name}.tomostar lists {len(series.table)}; "
            "they must belong together"
        )
    return content


def _model(files: SeriesFiles, project: WarpProject, shape: tuple[int, int]) -> TiltSeriesModel:
    """The model of a series; what the XML leaves out comes from the tomostar."""
    name, table = f"{files.tomostar.name}.xml", files.tomostar.table
    image = (shape[1] * project.pixel_size_A, shape[0] * project.pixel_size_A)
    model = read_tilt_series(files.xml, name, image, project.volume_dims_A or (0.0, 0.0, 0.0))
    if not all(model.volume_dims_A):
        raise InputError(
            f"{name}: neither settings nor XML give the size of the tomogram; give --volume X Y Z in A"
        )
    if np.abs(np.divide(model.image_dims_A, image) - 1).max() > SIZE_TOLERANCE:
        told, measured = (" x ".join(f"{length:.0f}" for length in dims) for dims in (model.image_dims_A, image))
        raise InputError(
            f"{name}: images should be {told} A, but at {project.pixel_size_A:g} A/px they are {measured} A; "
            "give the right --angpix"
        )
    if not model.axis_angle_deg.any() and AXIS in table.columns:
        model = replace(model, axis_angle_deg=_column(files, AXIS))
    if not model.exposure.any() and DOSE in table.columns:
        model = replace(model, exposure=_column(files, DOSE))
    if not model.angles_deg.any():
        model = replace(model, angles_deg=_column(files, ANGLE))
    if not model.use.any():
        raise InputError(f"{name}: <UseTilt> leaves out every tilt; take the series out of the project")
    if not np.any(model.grid_ctf.values):
        raise InputError(f"{name}: no defocus in <GridCTF>; run CTF estimation in Warp first")
    return model


def _column(files: SeriesFiles, column: str) -> np.ndarray:
    """(n,) finite numbers of a column of the tomostar."""
    numbers = np.asarray(pd.to_numeric(files.tomostar.table[column], errors="coerce"), dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        raise InputError(f"{files.path}: _{column} is not a number in row {bad[0] + 1}")
    return numbers


def _read_raw(
    population: Population, path: Path, pixel_size_A: float, store_raw: bool
) -> tuple[RawImage, tuple[int, int]]:
    """Hash an image, check it, and put it into the store if wished. The bytes checked are the bytes hashed."""
    state, content = FileState.of(path), path.read_bytes()
    image, claimed = decode_image(content, path)
    if claimed is not None and abs(claimed / pixel_size_A - 1) > SIZE_TOLERANCE:
        raise InputError(
            f"{path}: its header says {claimed:g} A/px, the project {pixel_size_A:g} A/px; give the right --angpix"
        )
    stored = population.write_group({"image": image}) if store_raw else None
    # folders may be links, and `..` behind a link leads elsewhere than it reads: relative between real folders
    relative = Path(os.path.relpath(path.parent.resolve() / path.name, population.root.resolve())).as_posix()
    raw = RawImage(path=relative, hash=hash_bytes(content), size=len(content), stored_object=stored)
    population.files.remember(path, state, raw.hash)
    return raw, (image.shape[0], image.shape[1])


def remove_source(population: Population, name: str) -> None:
    """Take a source and its series out of the working state. Refused while a species has particles there."""
    source = population.source(name)
    users = [s.name for s in population.species().values() if set(s.particles) & set(source.items)]
    if users:
        raise StateError(f"species {', '.join(users)} has particles in {source.name}; remove the species first")
    items = population.items()
    missing = [identity for identity in source.items if identity not in items]
    if missing:
        raise NotFoundError(f"item {missing[0]} of source {source.name} is not in the population")
    population.stage([], remove=[source, *(items[identity] for identity in source.items)])
