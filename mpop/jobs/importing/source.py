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

from mpop.doubts import Doubt, settle
from mpop.errors import InputError, NotFoundError, StateError
from mpop.formats.images import MRC_SUFFIXES, TIFF_SUFFIXES, decode_image
from mpop.formats.known_kinds import SETTINGS, is_not
from mpop.formats.tomostar import ANGLE, AXIS, DOSE, Tomostar, read_tomostar
from mpop.formats.warp_settings import read_settings
from mpop.formats.warp_xml import (
    SeriesNotes,
    has_aberrations,
    read_notes,
    read_tilt_series,
    without_aberrations,
)
from mpop.jobs.importing.optics_checks import questioned_optics
from mpop.jobs.importing.warp_checks import (
    SIZE_TOLERANCE,
    by_movie,
    compared_angles,
    compared_axis,
    compared_exposures,
    compared_image,
    compared_pixel,
    compared_volume,
    gathered,
    questioned_exposures,
)
from mpop.jobs.leasing import leased
from mpop.jobs.relocating import learn_places
from mpop.population import Population
from mpop.records.models import ItemRecord, RawImage, SourceRecord
from mpop.records.tilt_series import TiltSeriesModel
from mpop.run import Progress, silent
from mpop.words import counted
from mpop_hooks.attachments import WARP_TOMOSTAR, WARP_XML
from mpop_hooks.names import require_name
from mpop_store import canonical_json, hash_bytes
from mpop_store.filecache import FileState
from mpop_store.paths import inside
from mpop_store.threads import allowed

READERS = 2
"""Images read at a time: more than a disk can follow."""


@dataclass(frozen=True)
class WarpProject:
    """Where the files of a Warp tilt-series project are, and what holds for all of them.

    volume_from: who says the size of the tomograms. exposure_per_tilt: e/A^2 by the settings, 0 if they have none.
    """

    tomostars: list[Path]
    xml_folder: Path
    pixel_size_A: float
    volume_dims_A: tuple[float, float, float] | None
    volume_from: str = "the settings say"
    exposure_per_tilt: float = 0.0


@dataclass(frozen=True)
class SeriesFiles:
    """One series of a project: its tables, and the image of every tilt, in the order of the XML."""

    tomostar: Tomostar
    path: Path
    """Of the tomostar."""
    images: list[Path]
    xml: bytes
    notes: SeriesNotes
    model: TiltSeriesModel
    """What the XML says alone; sizes that it leaves out are 0."""


@dataclass(frozen=True)
class AddedSource:
    """The staged source, and what was doubted of it."""

    record: SourceRecord
    doubts: list[Doubt]


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
        message = "give a Warp .settings file, or a folder with XMLs and --tomostar DIR"
        raise InputError(is_not(warp, SETTINGS, message))
    found = read_settings(warp)
    base = warp.parent
    folder = tomostar or base / found.data_folder
    pixel = pixel_size_A or found.binned_pixel_size_A
    dims = np.array(found.volume_dims_px) * pixel / 2.0**found.bin_times  # the settings count unbinned pixels
    volume = None if not dims.all() else (float(dims[0]), float(dims[1]), float(dims[2]))
    xml_folder = base / (found.processing_folder or found.data_folder)
    per_tilt = max(-found.exposure_per_tilt, 0.0)  # what is not negative is that of a frame
    return WarpProject(_tomostars(folder, found.extension), xml_folder, pixel, volume, exposure_per_tilt=per_tilt)


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
    ignore_aberrations: bool = False,
    force: bool = False,
    progress: Progress = silent,
) -> AddedSource:
    """Import a project and stage it. Raises InputError with every kind of mismatch; then nothing is staged.

    ignore_aberrations: go on although XMLs have Zernike terms, which mpop does not model. force: go on in spite of
    grave doubts.
    """
    refuse_name(population, name)
    project = locate_project(Path(warp), Path(tomostar) if tomostar else None, pixel_size_A)
    if volume_dims_A is not None:
        if not min(volume_dims_A) > 0:
            raise InputError("--volume takes three lengths in A greater than 0")
        project = replace(project, volume_dims_A=volume_dims_A, volume_from="--volume says")
    doubts: list[Doubt] = []
    described = [_series_files(path, project, doubts) for path in project.tomostars]
    series = [one for one in described if one is not None]
    if not series:
        raise InputError("every series of this project is deselected in Warp (UnselectManual); select some there")
    settle(gathered(doubts), force)  # before the long reading of images
    total, done = sum(len(one.images) for one in series), 0
    items: list[ItemRecord] = []
    models: list[TiltSeriesModel] = []
    shape: tuple[int, int] | None = None
    for one in series:
        raws: list[RawImage] = []
        with ThreadPoolExecutor(min(READERS, allowed())) as pool:
            jobs = pool.map(lambda file: _read_raw(population, file, store_raw), one.images)
            for file, found in zip(one.images, jobs, strict=True):
                shape = shape or found.shape
                if found.shape != shape:
                    size = f"{found.shape[1]} x {found.shape[0]} px"
                    raise InputError(f"{file}: {size}, but other images are {shape[1]} x {shape[0]}")
                doubts += settle(_image_doubts(file, found, project.pixel_size_A), force)
                raws.append(found.raw)
                done += 1
                progress("read tilt images", done, total)
        assert shape is not None
        model, about_it = _model(one, project, shape, ignore_aberrations)
        doubts += settle(about_it, force)
        models.append(model)
        items.append(_item(population, one, raws, model))
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
    return AddedSource(population.source(identity), gathered(doubts))


def source_id(items: Iterable[str]) -> str:
    """Id of a source, 16 hex digits that follow from the ids of its series."""
    return hash_bytes(canonical_json(sorted(items)))[:16]


def _series_files(path: Path, project: WarpProject, doubts: list[Doubt]) -> SeriesFiles | None:
    """None if the series is deselected in Warp. doubts: those about it are added."""
    tomostar = read_tomostar(path)
    require_name("series", tomostar.name)
    xml = _xml(tomostar, project)
    model, notes = _described(tomostar, xml)
    if notes.deselected:
        text = "deselected in Warp (UnselectManual)"
        doubts.append(Doubt("deselected", f"{tomostar.name}.xml", text, assumed="the series was left out"))
        return None
    tomostar, about_movies = by_movie(tomostar, notes.movies)
    doubts += about_movies
    files = SeriesFiles(tomostar, path, _image_paths(tomostar, path), xml, notes, model)
    doubts += _compared_tables(files)
    return files


def _compared_tables(files: SeriesFiles) -> list[Doubt]:
    """What the tomostar and the XML both say of every tilt."""
    checks = (
        (ANGLE, files.model.angles_deg, compared_angles),
        (DOSE, files.model.exposure, compared_exposures),
        (AXIS, files.model.axis_angle_deg, compared_axis),
    )
    doubts: list[Doubt] = []
    for column, values, compared in checks:
        if values.any() and column in files.tomostar.table.columns:
            stated = _column(files, column)
            doubts += compared(files.tomostar, values, stated) if stated.any() else []
    if files.notes.old_magnification is not None:
        numbers = ", ".join(f"{number:g}" for number in files.notes.old_magnification)
        doubts.append(
            Doubt(
                "magnification-of-warp-1",
                f"{files.tomostar.name}.xml",
                f"MagnificationCorrection {numbers} has the two scales and the angle of Warp 1",
                "later Warp does not read that, nor does mpop",
                "no anisotropy of magnification is corrected",
                "write the four numbers of its matrix",
                grave=True,
            )
        )
    return doubts


def _item(population: Population, files: SeriesFiles, raws: list[RawImage], model: TiltSeriesModel) -> ItemRecord:
    """The record of a series, its objects stored; the source is not known yet."""
    return ItemRecord(
        id=hash_bytes(canonical_json([raw.hash for raw in raws]))[:16],
        name=files.tomostar.name,
        source="",
        raw=raws,
        model_object=population.write_tilt_series(model),
        attachments={
            WARP_XML: population.objects.put(files.xml),
            WARP_TOMOSTAR: population.objects.put(files.path.read_bytes()),
        },
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
    return path.read_bytes()


def _described(tomostar: Tomostar, xml: bytes) -> tuple[TiltSeriesModel, SeriesNotes]:
    name = f"{tomostar.name}.xml"
    model = read_tilt_series(xml, name, (0.0, 0.0), (0.0, 0.0, 0.0))
    if model.n_tilts != len(tomostar.table):
        raise InputError(
            f"{name}: {model.n_tilts} tilts, but {tomostar.name}.tomostar lists {len(tomostar.table)}; "
            "they must belong together"
        )
    return model, read_notes(xml, name)


def _model(
    files: SeriesFiles, project: WarpProject, shape: tuple[int, int], ignore_aberrations: bool
) -> tuple[TiltSeriesModel, list[Doubt]]:
    """The model of a series, and what is doubted of it; what the XML leaves out comes from the tomostar."""
    series, table = files.tomostar.name, files.tomostar.table
    name = f"{series}.xml"
    image = (shape[1] * project.pixel_size_A, shape[0] * project.pixel_size_A)
    model = files.model if all(files.model.image_dims_A) else replace(files.model, image_dims_A=image)
    stated = project.volume_dims_A or (0.0, 0.0, 0.0)
    doubts = compared_volume(series, model.volume_dims_A, stated, project.volume_from)
    if doubts or not all(model.volume_dims_A):
        model = replace(model, volume_dims_A=stated)
    if not all(model.volume_dims_A):
        raise InputError(
            f"{name}: neither settings nor XML give the size of the tomogram; give --volume X Y Z in A"
        )
    of_images = compared_image(series, model, image, project.pixel_size_A)
    if of_images:
        model = replace(model, image_dims_A=image)
    doubts += of_images
    doubts += compared_pixel(series, files.notes.pixel_size_A, project.pixel_size_A)
    if not model.axis_angle_deg.any() and AXIS in table.columns:
        model = replace(model, axis_angle_deg=_column(files, AXIS))
    if not model.exposure.any() and DOSE in table.columns:
        model = replace(model, exposure=_column(files, DOSE))
    if not model.angles_deg.any():
        model = replace(model, angles_deg=_column(files, ANGLE))
    doubts += questioned_exposures(series, model.exposure, project.exposure_per_tilt)
    ctf = model.ctf
    optics = [(ctf.voltage_kV, ctf.cs_mm, ctf.amplitude_contrast)]
    doubts += questioned_optics(name, optics, model.grid_ctf.values)
    if model.weight <= 0:
        read = f"Weight is {model.weight:g}"
        doubts.append(Doubt("weight-0", name, read, "the series would add nothing to any map", grave=True))
    if not model.use.any():
        raise InputError(f"{name}: <UseTilt> leaves out every tilt; take the series out of the project")
    if not np.any(model.grid_ctf.values):
        raise InputError(f"{name}: no defocus in <GridCTF>; run CTF estimation in Warp first")
    if has_aberrations(model):
        text = "its CTF has Zernike terms, which mpop does not model"
        if not ignore_aberrations:
            raise InputError(f"{name}: {text}; use --ignore-aberrations to refine without")
        assumed = "poses and maps will be without that correction; export gives the terms back"
        doubts.append(Doubt("aberrations", name, text, assumed=assumed))
        model = without_aberrations(model)
    return model, doubts


def _column(files: SeriesFiles, column: str) -> np.ndarray:
    """(n,) finite numbers of a column of the tomostar."""
    numbers = np.asarray(pd.to_numeric(files.tomostar.table[column], errors="coerce"), dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(numbers))
    if len(bad):
        raise InputError(f"{files.path}: _{column} is not a number in row {bad[0] + 1}")
    return numbers


@dataclass(frozen=True)
class _ReadImage:
    """A tilt image: its record, shape (y, x), the pixel size that its header claims, whether all is one value."""

    raw: RawImage
    shape: tuple[int, int]
    pixel_size_A: float | None
    blank: bool


def _image_doubts(path: Path, found: _ReadImage, pixel_size_A: float) -> list[Doubt]:
    doubts: list[Doubt] = []
    if found.pixel_size_A is not None and abs(found.pixel_size_A / pixel_size_A - 1) > SIZE_TOLERANCE:
        doubts.append(
            Doubt(
                "pixel-size-of-header",
                str(path),
                f"its header says {found.pixel_size_A:g} A/px",
                f"the project {pixel_size_A:g} A/px",
                "the latter holds",
                "give the right --angpix",
                grave=True,
            )
        )
    if found.blank:
        text = "all its pixels have one value"
        doubts.append(Doubt("blank-tilt", str(path), text, assumed="it is left out of maps and refinement"))
    return doubts


def _read_raw(population: Population, path: Path, store_raw: bool) -> _ReadImage:
    """Hash an image, check it, and put it into the store if wished. The bytes checked are the bytes hashed."""
    state, content = FileState.of(path), path.read_bytes()
    image, claimed = decode_image(content, path, square_pixels=True)
    stored = population.write_group({"image": image}) if store_raw else None
    # folders may be links, and `..` behind a link leads elsewhere than it reads: relative between real folders
    relative = Path(os.path.relpath(path.parent.resolve() / path.name, population.root.resolve())).as_posix()
    raw = RawImage(path=relative, hash=hash_bytes(content), size=len(content), stored_object=stored)
    population.files.remember(path, state, raw.hash)
    return _ReadImage(raw, (image.shape[0], image.shape[1]), claimed, bool(image.min() == image.max()))


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
