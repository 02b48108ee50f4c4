"""A Warp project made by hand, small enough to import many times: two series of five tilts and one species."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd
import pytest

from mpop.formats.images import write_map
from mpop.formats.star import write_star
from mpop.formats.tomostar import read_tomostar, write_tomostar
from mpop.formats.warp_settings import WarpSettings, read_settings, write_settings
from mpop.jobs.importing.source import add_source
from mpop.population import Population

ANGLES = (-40.0, -20.0, 0.0, 20.0, 40.0)
PIXEL_A = 10.0
IMAGE_SHAPE = (24, 32)
VOLUME_PX = (32, 24, 20)
BOX, DIAMETER_A = 16, 80.0

XML = """\ufeff<?xml version="1.0" encoding="utf-8"?>
<TiltSeries AreAnglesInverted="False" LevelAngleX="1.5" UnselectFilter="False" Future="kept">
\t<Angles>{angles}</Angles>
\t<Dose>12\n6\n0\n3\n9</Dose>
\t<UseTilt>True\nTrue\nTrue\nTrue\nFalse</UseTilt>
\t<AxisAngle>{axis}</AxisAngle>
\t<CTF><Param Name="Voltage" Value="200" /><Param Name="Unknown" Value="kept" /></CTF>
\t<GridCTF Width="1" Height="1" Depth="1" MarginX="0"><Node X="0" Y="0" Z="0" Value="3.25" /></GridCTF>
</TiltSeries>
"""


@dataclass(frozen=True)
class WarpFiles:
    """Where the parts of the project are."""

    folder: Path
    series: tuple[str, ...] = ("TS_01", "00254")

    @property
    def settings(self) -> Path:
        """The settings file."""
        return self.folder / "warp_tiltseries.settings"

    def tomostar(self, name: str) -> Path:
        """The tomostar of a series."""
        return self.folder / "tomostar" / f"{name}.tomostar"

    def xml(self, name: str) -> Path:
        """The XML of a series."""
        return self.folder / "warp_tiltseries" / f"{name}.xml"

    def image(self, name: str, tilt: int) -> Path:
        """Warp's average of a tilt."""
        return self.folder / "warp_frameseries" / "average" / f"{name}_{tilt}.mrc"

    def map(self, kind: str) -> Path:
        """half1, half2 or mask."""
        return self.folder / "species" / f"{kind}.mrc"

    @property
    def particles(self) -> Path:
        """The particle table."""
        return self.folder / "species" / "particles.star"

    def write_series(self, name: str, seed: int) -> None:
        """Images (half precision, as Warp's averages are), tomostar and XML of a series."""
        rng = np.random.default_rng(seed)
        for tilt in range(len(ANGLES)):
            self.write_image(name, tilt, rng.normal(size=IMAGE_SHAPE))
        self.write_tomostar(name, tilt_table(name))
        self.xml(name).parent.mkdir(exist_ok=True)
        angles, axis = "\n".join(map(str, ANGLES)), "\n".join(["84.5"] * len(ANGLES))
        self.xml(name).write_bytes(XML.format(angles=angles, axis=axis).encode())

    def write_image(self, name: str, tilt: int, image: np.ndarray, pixel_size_A: float = PIXEL_A) -> None:
        """The average of a tilt."""
        path = self.image(name, tilt)
        path.parent.mkdir(parents=True, exist_ok=True)
        with mrcfile.new(path, overwrite=True) as mrc:
            mrc.set_data(image.astype(np.float16))
            mrc.voxel_size = pixel_size_A
            mrc.header.label[:] = b""  # it holds the time

    def write_tomostar(self, name: str, table: pd.DataFrame) -> None:
        """The tomostar of a series."""
        write_tomostar(self.tomostar(name), table)

    def edit_tomostar(self, name: str, **columns: list) -> None:
        """Set columns; None takes one out."""
        table = read_tomostar(self.tomostar(name)).table
        for column, values in columns.items():
            table = table.drop(columns=column) if values is None else table.assign(**{column: values})
        self.write_tomostar(name, table)

    def edit_xml(self, name: str, old: str, new: str) -> None:
        """Replace text that must be there."""
        text = self.xml(name).read_text()
        assert old in text
        self.xml(name).write_text(text.replace(old, new))

    def edit_settings(self, **changes: object) -> None:
        """Set fields of the settings."""
        write_settings(self.settings, replace(read_settings(self.settings), **changes))

    def write_particles(self, **changes: list | None) -> None:
        """The particle table with columns changed; None takes one out."""
        columns = {name: values for name, values in (particle_columns() | changes).items() if values is not None}
        write_star(self.particles, {"particles": pd.DataFrame(columns)})

    def write_map(self, kind: str, volume: np.ndarray, pixel_size_A: float = PIXEL_A) -> None:
        """half1, half2 or mask."""
        write_map(self.map(kind), volume, pixel_size_A)

    def species_files(self) -> tuple[Path, Path, Path, Path]:
        """half1, half2, mask, particles."""
        return self.map("half1"), self.map("half2"), self.map("mask"), self.particles


def tilt_table(name: str) -> pd.DataFrame:
    """The tomostar of a series as a table."""
    return pd.DataFrame(
        {
            "wrpMovieName": [f"../warp_frameseries/{name}_{tilt}.tif" for tilt in range(len(ANGLES))],
            "wrpAngleTilt": ANGLES,
            "wrpAxisAngle": [85.0] * len(ANGLES),
            "wrpDose": [10.0, 5.0, 0.0, 2.5, 7.5],
            "wrpSomethingNew": [0.5] * len(ANGLES),
        }
    )


def particle_columns() -> dict[str, list]:
    """Six particles in two series."""
    rng = np.random.default_rng(1)
    columns: dict[str, list] = {"rlnTomoName": ["TS_01.tomostar"] * 4 + ["00254"] * 2}
    for axis, size in zip("XYZ", VOLUME_PX, strict=True):
        columns[f"rlnCoordinate{axis}"] = rng.uniform(2, size - 2, 6).round(3).tolist()
    for angle in ("Rot", "Tilt", "Psi"):
        columns[f"rlnAngle{angle}"] = rng.uniform(0, 180, 6).round(3).tolist()
    return columns | {"rlnRandomSubset": [1, 2, 1, 2, 1, 2], "rlnTomogramPixelSize": [PIXEL_A] * 6}


def write_species(files: WarpFiles) -> None:
    """Half-maps that agree at low resolution, a mask, and a particle table."""
    rng = np.random.default_rng(7)
    z, y, x = np.indices((BOX,) * 3) - BOX // 2
    signal = np.exp(-(x**2 + y**2 + 2 * z**2) / 8.0)
    signal += 0.5 * np.exp(-((x - 1.5) ** 2 + (y - 0.7) ** 2 + (z + 1) ** 2) / 2.0)  # no symmetry
    for kind in ("half1", "half2"):
        files.write_map(kind, signal + 0.02 * rng.normal(size=signal.shape))
    files.write_map("mask", np.clip((8.5 - np.sqrt(x**2 + y**2 + z**2)) / 4, 0, 1))
    files.write_particles()


def write_whole_project(folder: Path) -> WarpFiles:
    """Both series, the settings and the species."""
    files = WarpFiles(folder)
    for seed, name in enumerate(files.series):
        files.write_series(name, seed)
    write_settings(files.settings, WarpSettings(PIXEL_A, "tomostar", "warp_tiltseries", "*.tomostar", VOLUME_PX))
    write_species(files)
    return files


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the project (warp), an empty population (empty) and one with the source (population)."""
    folder = tmp_path_factory.mktemp("template")
    files = write_whole_project(folder / "warp")
    Population.init(folder / "empty", "test")
    population = Population.init(folder / "population", "test")
    add_source(population, "mine", files.settings)
    population.commit("Add the source")
    return folder


@pytest.fixture
def warp_files(tmp_path: Path, template: Path) -> WarpFiles:
    """The project in a folder of its own."""
    shutil.copytree(template / "warp", tmp_path / "warp")
    return WarpFiles(tmp_path / "warp")


@pytest.fixture
def empty_population(tmp_path: Path, template: Path) -> Population:
    """A new population beside the project."""
    shutil.copytree(template / "empty", tmp_path / "population")
    return Population.open(tmp_path / "population")


@pytest.fixture
def population(tmp_path: Path, template: Path) -> Population:
    """A population beside the project that holds its two series, committed."""
    shutil.copytree(template / "population", tmp_path / "population")
    return Population.open(tmp_path / "population")
