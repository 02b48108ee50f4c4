"""Warp tilt-series projects: settings, a tomostar and an XML for each series.

What Warp lets win where these contradict each other wins here, too; see `mpop.importing.warp_checks`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from mpop.doubts import Doubt
from mpop.errors import InputError
from mpop.formats.images import MRC_SUFFIXES, TIFF_SUFFIXES
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
from mpop.importing.importer import ImportedItem, ImportedSource, ImporterOptions
from mpop.importing.warp_checks import (
    by_movie,
    compared_angles,
    compared_axis,
    compared_exposures,
    compared_pixel,
    compared_steps,
    compared_volume,
)
from mpop.records.tilt_series import TiltSeriesModel
from mpop_hooks.attachments import WARP_TOMOSTAR, WARP_XML
from mpop_hooks.names import require_name
from mpop_store.paths import inside


class WarpOptions(ImporterOptions):
    """How a Warp project is read."""

    tomostar: Path | None = Field(None, description="Folder with tomostar files.")
    pixel_size_A: float | None = Field(None, description="Of the tilt images, in place of that in the settings.")
    volume_dims_A: tuple[float, float, float] | None = Field(None, description="Size of the tomograms, x, y, z.")
    ignore_aberrations: bool = Field(False, description="Go on although XMLs have Zernike terms.")


class WarpImporter:
    """A `.settings` file, or a folder of XMLs and a folder of tomostars."""

    name = "warp"
    what = "a Warp tilt-series project"
    Options = WarpOptions

    def reads(self, path: Path) -> bool:
        """Whether a path is that of settings or a folder."""
        return path.suffix == ".settings" or path.is_dir()

    def read(self, path: Path, options: WarpOptions) -> ImportedSource:
        """The series of a project that are not deselected in Warp."""
        project = locate_project(path, options.tomostar, options.pixel_size_A)
        if options.volume_dims_A is not None:
            if not min(options.volume_dims_A) > 0:
                raise InputError("--volume takes three lengths in A greater than 0")
            project = replace(project, volume_dims_A=options.volume_dims_A, volume_from="--volume says")
        doubts: list[Doubt] = []
        described = [_series_files(tomostar, project, doubts) for tomostar in project.tomostars]
        series = [one for one in described if one is not None]
        if not series:
            raise InputError(
                "every series of this project is deselected in Warp (UnselectManual); select some there"
            )
        items = [_item(one, project, options.ignore_aberrations, doubts) for one in series]
        return ImportedSource(project.pixel_size_A, items, doubts)


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


def _item(files: SeriesFiles, project: WarpProject, ignore_aberrations: bool, doubts: list[Doubt]) -> ImportedItem:
    """doubts: those about the model are added."""
    model, about_it = _model(files, project, ignore_aberrations)
    doubts += about_it
    attachments = {WARP_XML: files.xml, WARP_TOMOSTAR: files.path.read_bytes()}
    return ImportedItem(files.tomostar.name, files.images, model, f"{files.tomostar.name}.xml", attachments)


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
    files: SeriesFiles, project: WarpProject, ignore_aberrations: bool
) -> tuple[TiltSeriesModel, list[Doubt]]:
    """The model of a series, and what is doubted of it; what the XML leaves out comes from the tomostar."""
    series, table, model = files.tomostar.name, files.tomostar.table, files.model
    name = f"{series}.xml"
    stated = project.volume_dims_A or (0.0, 0.0, 0.0)
    doubts = compared_volume(series, model.volume_dims_A, stated, project.volume_from)
    if doubts or not all(model.volume_dims_A):
        model = replace(model, volume_dims_A=stated)
    if not all(model.volume_dims_A):
        raise InputError(
            f"{name}: neither settings nor XML give the size of the tomogram; give --volume X Y Z in A"
        )
    doubts += compared_pixel(series, files.notes.pixel_size_A, project.pixel_size_A)
    if not model.axis_angle_deg.any() and AXIS in table.columns:
        model = replace(model, axis_angle_deg=_column(files, AXIS))
    if not model.exposure.any() and DOSE in table.columns:
        model = replace(model, exposure=_column(files, DOSE))
    if not model.angles_deg.any():
        model = replace(model, angles_deg=_column(files, ANGLE))
    doubts += compared_steps(series, model.exposure, project.exposure_per_tilt)
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
