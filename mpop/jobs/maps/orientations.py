"""How evenly the images of a particle table, or of a species, fill Fourier space. On a species: one commit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mpop.errors import InputError
from mpop.formats.star import Blocks, read_star
from mpop.geometry.symmetry import symmetry_matrices
from mpop.jobs.maps.analysis import Analysis, made
from mpop.jobs.maps.finding import Finding
from mpop.jobs.maps.input import of_job
from mpop.jobs.maps.parameters import PUBLISHED_BFACTOR_A2, OrientationsParameters
from mpop.jobs.spec import JobSpec
from mpop.maps.conventions import EMPTY_TOLERANCE, SIDE_VIEWS_SCF
from mpop.maps.sampling import (
    Efficiency,
    ShellSampling,
    Sphere,
    Views,
    directions_of_angles,
    efficiency,
    shell_sampling,
)
from mpop.population import Population
from mpop.records.models import SpeciesRecord
from mpop.records.stack import SeriesModel
from mpop.records.tilt_series import ParticleSet
from mpop.run import Progress, Run, limited, silent
from mpop.series.opening import series_of
from mpop.series.views import SeriesState

PUBLISHED_RADIUS = 50.0
"""Shell on which SCF is taken when no resolution is given, as its authors do, in units of 1 / diameter."""
COLUMNS, ROWS = 72, 36
"""Cells of a sphere that pages show: equidistant in longitude and in the sine of latitude, so of equal area."""
SHOWN = ("views_on_sphere", "sampling", "sampling_on_sphere", "psf_on_sphere_A")
"""Arrays that reports are made of."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Geometry:
    """What the figures are taken for: a particle, and the shell at a resolution; None: diameter / 50."""

    diameter_A: float
    resolution_A: float | None
    symmetry: str
    bfactor_A2: float = PUBLISHED_BFACTOR_A2

    def __post_init__(self) -> None:
        for option, value in (
            ("--diameter", self.diameter_A),
            ("--resolution", self.resolution_A),
            ("--b-factor", self.bfactor_A2),
        ):
            if value is not None and not 0 < value < np.inf:
                raise InputError(f"{option} {value:g}: give a number greater than 0")
        if self.radius < 2:
            raise InputError(
                f"a resolution of {self.resolution_A:g} A hardly resolves a particle of {self.diameter_A:g} A; "
                "every image would measure most of that shell"
            )

    @property
    def radius(self) -> float:
        """Of the shell, in units of 1 / diameter."""
        return PUBLISHED_RADIUS if self.resolution_A is None else self.diameter_A / self.resolution_A

    @property
    def frequency(self) -> float:
        """Of the shell, 1/A."""
        return self.radius / self.diameter_A


@dataclass(frozen=True)
class Orientations:
    """The images of `name` and what their directions give. particles: each may be seen in many images."""

    name: str
    views: Views
    particles: int
    geometry: Geometry
    shell: ShellSampling
    point_spread: Efficiency

    def finding(self) -> Finding:
        """Numbers; sampling and psf_extent_A by direction; and as pages show them, at rows from south to north and
        columns from -180 degrees: views_on_sphere, how many images look from there; sampling_on_sphere, relative
        to its mean; psf_on_sphere_A."""
        shell, spread = self.shell, self.point_spread
        arrays = {
            "sampling_direction": shell.sphere.points,
            "sampling": shell.value,
            "psf_direction": spread.sphere.points,
            "psf_extent_A": spread.extent_A,
            "views_on_sphere": _counted(self.views),
            "sampling_on_sphere": _on_sphere(shell.sphere, shell.value / shell.mean),
            "psf_on_sphere_A": _on_sphere(spread.sphere, spread.extent_A),
        }
        return Finding(self.numbers(), arrays)

    def numbers(self) -> dict[str, Any]:
        """The figures, as JSON holds them. Directions are (rot, tilt), degrees; extents in A."""
        extent, points = self.point_spread.extent_A, self.point_spread.sphere.points
        relative = self.shell.value / self.shell.mean
        return {
            "name": self.name,
            "particles": self.particles,
            "images": len(self.views),
            "symmetry": self.geometry.symmetry,
            "diameter_A": self.geometry.diameter_A,
            "shell_A": round(1 / self.geometry.frequency, 4),
            "scf": round(self.shell.scf, 4),
            "scf_star": round(self.shell.scf_star, 4),
            "empty_fraction": round(self.shell.empty, 4),
            "sampling_lowest": round(float(relative.min()), 4),
            "sampling_highest": round(float(relative.max()), 4),
            "least_sampled_direction": angles_of(self.shell.sphere.points[int(relative.argmin())]),
            "efficiency": round(self.point_spread.efficiency, 4),
            "bfactor_A2": self.geometry.bfactor_A2,
            "psf_mean_A": round(float(extent.mean()), 3),
            "psf_sd_A": round(float(extent.std()), 3),
            "psf_best_A": round(float(extent.min()), 3),
            "psf_worst_A": round(float(extent.max()), 3),
            "psf_worst_direction": angles_of(points[int(extent.argmax())]),
            "even": self.even,
            "verdict": self.verdict,
        }

    @property
    def even(self) -> bool:
        """Whether sampling is as even as the field asks for."""
        return self.shell.scf_star >= SIDE_VIEWS_SCF and self.shell.empty <= EMPTY_TOLERANCE

    @property
    def verdict(self) -> str:
        """One sentence."""
        scf = f"SCF* {self.shell.scf_star:.2f}"
        if self.shell.empty > EMPTY_TOLERANCE:
            return f"Views are missing: {100 * self.shell.empty:.0f} % of the shell is in no image ({scf})."
        if not self.even:
            lowest = self.shell.value.min() / self.shell.mean
            return f"Uneven: the least sampled direction has {100 * lowest:.0f} % of the mean sampling ({scf})."
        return f"Views cover all directions ({scf})."


def _counted(views: Views) -> Array:
    """(rows, columns) images that look from each cell of a sphere."""
    x, y, z = views.direction.T
    edges = (np.linspace(-1, 1, ROWS + 1), np.linspace(-np.pi, np.pi, COLUMNS + 1))
    return np.histogram2d(np.clip(z, -1, 1), np.arctan2(y, x), bins=edges, weights=views.weight)[0]


def _on_sphere(sphere: Sphere, values: Array) -> Array:
    """Values at the unique points of a sphere, in cells (rows, columns) all around it."""
    edges = np.linspace(-np.pi, np.pi, COLUMNS + 1)
    longitude = (edges[:-1] + edges[1:]) / 2
    sine = (np.arange(ROWS) + 0.5) / ROWS * 2 - 1
    radius = np.sqrt(1 - sine**2)[:, None]
    height = np.broadcast_to(sine[:, None], (ROWS, COLUMNS))
    cells = np.stack([radius * np.cos(longitude), radius * np.sin(longitude), height], axis=-1)
    return values[sphere.nearest(cells.reshape(-1, 3))].reshape(ROWS, COLUMNS)


def angles_of(direction: Array) -> list[float]:
    """[rot, tilt] of a direction, degrees."""
    x, y, z = direction
    tilt = np.rad2deg(np.arctan2(np.hypot(x, y), z))
    return [round(float(np.rad2deg(np.arctan2(y, x))), 1), round(float(tilt), 1)]


def measure(name: str, views: Views, particles: int, geometry: Geometry) -> Orientations:
    """All figures of a set of images."""
    matrices = symmetry_matrices(geometry.symmetry)
    shell = shell_sampling(views, matrices, geometry.radius)
    spread = efficiency(views, matrices, geometry.diameter_A, geometry.bfactor_A2)
    return Orientations(name, views, particles, geometry, shell, spread)


def orientations_of_table(path: Path, geometry: Geometry) -> Orientations:
    """Of the images in a STAR table with rlnAngleRot and rlnAngleTilt, each counting the same."""
    blocks = read_star(path)
    views = table_views(blocks, path)
    return measure(path.stem, views, len(views), _within_nyquist(geometry, blocks))


def _within_nyquist(geometry: Geometry, blocks: Blocks) -> Geometry:
    """With a shell that the images reach, where none was asked for and the table tells their pixel size."""
    name = "rlnImagePixelSize"
    sizes = [size for table in blocks.values() if name in table.columns for size in table[name]]
    pixel_A = np.asarray(pd.to_numeric(pd.Series(sizes), errors="coerce"), dtype=np.float64).max(initial=0.0)
    nyquist = 2 * float(pixel_A)
    if geometry.resolution_A is None and 1 / geometry.frequency < nyquist < np.inf:
        return replace(geometry, resolution_A=nyquist)
    return geometry


def table_views(blocks: Blocks, path: Path) -> Views:
    """Viewing directions of a table of particle images. Raises InputError for a table of sub-tomograms."""
    name = next((one for one, table in blocks.items() if "rlnAngleTilt" in table.columns), None)
    if name is None or "rlnAngleRot" not in blocks[name].columns:
        raise InputError(f"{path}: no block with the columns _rlnAngleRot and _rlnAngleTilt")
    table = blocks[name]
    if "rlnTomoName" in table.columns or "rlnCoordinateZ" in table.columns:
        raise InputError(
            f"{path}: its rows are particles in tomograms, and the tilts that show them are not in this file; "
            "import it with `mpop species add` and give the name of the species"
        )
    columns = [pd.to_numeric(table[column], errors="coerce") for column in ("rlnAngleRot", "rlnAngleTilt")]
    angles = np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)
    bad = np.flatnonzero(~np.isfinite(angles).all(axis=1))
    if len(bad):
        raise InputError(f"{path}: _rlnAngleRot or _rlnAngleTilt is not a number in row {bad[0] + 1}")
    if len(angles) == 0:
        raise InputError(f"{path}: block data_{name} has no rows")
    return Views(directions_of_angles(angles), np.ones(len(angles)))


@limited
def orientations_of_species(
    population: Population, name: str, bfactor_A2: float = PUBLISHED_BFACTOR_A2, run: Run = Run()
) -> tuple[Finding, str | None]:
    """Of all images of a species' particles, and commit the figures; the commit, None when HEAD holds this job.

    A tilt image counts as much as it weighs in a reconstruction at the shell: the square of its exposure weight,
    against the heaviest. Unused tilts do not count. Each image of a stack counts once.
    """
    species = population.one_species(name)
    geometry = Geometry(species.diameter_A, species.resolution_A, species.symmetry, bfactor_A2)
    analysis = Analysis.of(
        population, species, "orientations", OrientationsParameters(bfactor_A2=bfactor_A2), run=run.on_cpu
    )

    def measured() -> Finding:
        views = species_views(population, species, geometry.frequency, run.progress)
        return measure(species.name, views, species.n_particles, geometry).finding()

    return analysis.finding(measured, lambda numbers: numbers["verdict"], SHOWN)


def run(population: Population, spec: JobSpec, run: Run) -> str:
    """Run a recorded job; the commit."""
    name, chosen = of_job(population, spec).name, dict(spec.parameters)
    return made(orientations_of_species(population, name, **chosen, run=run)[1], spec)


def species_views(
    population: Population, species: SpeciesRecord, frequency: float, progress: Progress = silent
) -> Views:
    """The images of all particles of a species in all used tilts. Raises InputError when there is none."""
    parts: list[Views] = []
    for number, item in enumerate(sorted(species.particles), start=1):
        model, particles = population.model(population.item(item)), population.particles(species, item)
        parts.append(series_views(model, particles, frequency))
        progress("viewing directions", number, len(species.particles))
    weight = np.concatenate([part.weight for part in parts]) if parts else np.zeros(0)
    if not weight.any():
        raise InputError(f"species {species.name}: no particle is in an image that is used")
    return Views(np.concatenate([part.direction for part in parts]), weight / weight.max())


def series_views(model: SeriesModel, particles: ParticleSet, frequency: float) -> Views:
    """Directions and weights of the p x n images of particles (p) in the used exposures (n) of a series."""
    series = series_of(model)
    used = series.exposures.use
    _, rows = series.places(SeriesState.of(model, [particles]))
    direction = np.cross(rows[:, used, 0], rows[:, used, 1]).reshape(-1, 3)
    weight = np.square(series.amplitude(frequency)[used])
    return Views(direction / np.linalg.norm(direction, axis=1, keepdims=True), np.tile(weight, len(particles)))
