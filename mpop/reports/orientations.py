"""The report on viewing directions: where images look from, what they measure, and how far that carries."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm, Normalize
from numpy.typing import NDArray

from mpop.jobs.maps.orientations import EMPTY_TOLERANCE, SIDE_VIEWS_SCF, Orientations
from mpop.maps.sampling import Sphere, Views
from mpop.reports.figures import INK, RULE, STYLE, svg
from mpop.reports.page import Number, Page, Section, Tone, Verdict, write_page

Array = NDArray[np.float64]

COLOURS = "viridis"
"""Its steps look even, to colour-blind readers too; blue to red, as the field has it, they do not."""
COLUMNS, ROWS = 72, 36
"""Cells of equal area: equidistant in longitude and in the sine of latitude."""
LONGITUDE = np.linspace(-np.pi, np.pi, COLUMNS + 1)
LATITUDE = np.arcsin(np.linspace(-1, 1, ROWS + 1))
WIDEST_COLOUR_SCALE = 1e3
MOLLWEIDE = {"projection": "mollweide"}


def write_report(directory: Path, orientations: Orientations, command: str) -> Path:
    """Write report.html and report.json; returns the page's path."""
    numbers = orientations.numbers()
    data = {"schema": "mpop.orientations/v1", **numbers}
    return write_page(directory, page(orientations, numbers, command), data)


def page(orientations: Orientations, numbers: Mapping[str, Any], command: str) -> Page:
    """The page of a set of images."""
    shell, spread, geometry = orientations.shell, orientations.point_spread, orientations.geometry
    relative = shell.value / shell.mean
    images = f"{numbers['images']} images"
    if orientations.particles != numbers["images"]:
        images += f" of {orientations.particles} particles"
    lead = (
        f"{images}, {geometry.symmetry}, {geometry.diameter_A:g} Å across. Figures are for the shell at "
        f"{1 / geometry.frequency:.2f} Å. They follow from directions alone: empty images count like any other."
    )
    return Page(
        f"Orientations of {orientations.name}",
        lead,
        Verdict("good" if orientations.even else "warn", orientations.verdict, _reasons(numbers)),
        _headline(numbers),
        [
            Section(
                "Viewing directions",
                "Where images look from, as the table has them: longitude is rot, latitude 90° - tilt. "
                "Cells have equal areas.",
                [directions_figure(orientations.views)],
                [""],
            ),
            Section(
                "Fourier sampling",
                "How many images measure each direction of the shell, symmetry included, relative to the mean. "
                "Blank: none. An image measures the great circle at right angles to where it looks from.",
                [_sphere_figure(shell.sphere, relative, "sampling / mean", log=True), _sampling(relative)],
                ["", "Area of the shell by its sampling; the dashed line is the mean."],
            ),
            Section(
                "Point spread function",
                "How far the image of a point reaches by direction, down to 1/e² of its height, "
                f"with a B-factor of {geometry.bfactor_A2:g} Å². Long is blurred.",
                [_sphere_figure(spread.sphere, spread.extent_A, "extent (Å)")],
                [""],
            ),
        ],
        command,
    )


def _headline(numbers: Mapping[str, Any]) -> list[Number]:
    even: Tone = "good" if numbers["scf_star"] >= SIDE_VIEWS_SCF else "warn"
    empty: Tone = "good" if numbers["empty_fraction"] <= EMPTY_TOLERANCE else "bad"
    return [
        Number(f"{numbers['scf_star']:.2f}", f"SCF*; side views alone give {SIDE_VIEWS_SCF}", even),
        Number(f"{100 * numbers['empty_fraction']:.1f} %", "of the shell is in no image", empty),
        Number(f"{numbers['sampling_lowest']:.2f} to {numbers['sampling_highest']:.1f}", "sampling / mean"),
        Number(f"{numbers['efficiency']:.2f}", "efficiency E_od; even views give 1"),
        Number(f"{numbers['psf_best_A']:.1f} to {numbers['psf_worst_A']:.1f} Å", "extent of a point by direction"),
    ]


def _reasons(numbers: Mapping[str, Any]) -> list[str]:
    rot, tilt = numbers["least_sampled_direction"]
    lines = [f"The least sampled direction is at rot {rot:.0f}°, tilt {tilt:.0f}° of the map."]
    if numbers["scf"] > 0:
        lines.append(
            f"As much signal as from these images would come from {100 * numbers['scf']:.0f} % as many even views."
        )
    else:
        lines.append("More images of the same views do not fill the gap; other views would: tilt the stage.")
    return lines


def directions_figure(views: Views) -> str:
    """Histogram of viewing directions on an equal-area map of the sphere, logarithmic."""
    x, y, z = views.direction.T
    longitude, sine = np.arctan2(y, x), np.clip(z, -1, 1)
    edges = (np.linspace(-1, 1, ROWS + 1), LONGITUDE)
    counts = np.histogram2d(sine, longitude, bins=edges, weights=views.weight)[0]
    return _map_figure(counts, "images per cell", "Viewing directions", log=True)


def _sphere_figure(sphere: Sphere, values: Array, label: str, log: bool = False) -> str:
    """Values at the unique points of a sphere, all around it."""
    longitude = (LONGITUDE[:-1] + LONGITUDE[1:]) / 2
    sine = (np.arange(ROWS) + 0.5) / ROWS * 2 - 1
    radius = np.sqrt(1 - sine**2)[:, None]
    height = np.broadcast_to(sine[:, None], (ROWS, COLUMNS))
    cells = np.stack([radius * np.cos(longitude), radius * np.sin(longitude), height], axis=-1)
    index = sphere.nearest(cells.reshape(-1, 3))
    return _map_figure(values[index].reshape(ROWS, COLUMNS), label, label, log)


def _map_figure(cells: Array, label: str, description: str, log: bool) -> str:
    """Cells (rows from south to north, columns) in Mollweide's projection; zeros stay blank where log."""
    top = float(cells.max()) or 1.0
    positive = cells[cells > 0]
    low = max(float(positive.min()) if len(positive) else top, top / WIDEST_COLOUR_SCALE)
    norm = LogNorm(min(low, top / 1.1), top) if log else Normalize(0.0, top)
    with rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(6.4, 3.4), subplot_kw=MOLLWEIDE, layout="constrained")
        shown = np.ma.masked_equal(cells, 0) if log else cells
        mesh = axis.pcolormesh(LONGITUDE, LATITUDE, shown, cmap=COLOURS, norm=norm, rasterized=True)
        _graticule(axis, mesh, label)
        return svg(figure, description)


def _graticule(axis: Axes, mesh: QuadMesh, label: str) -> None:
    axis.set_xticks(np.deg2rad([-120, -60, 0, 60, 120]), [])
    axis.set_yticks(np.deg2rad([-60, -30, 0, 30, 60]), ["150°", "120°", "tilt 90°", "60°", "30°"], fontsize=8)
    axis.grid(color=RULE, lw=0.6)
    figure = axis.figure
    assert figure is not None
    bar = figure.colorbar(mesh, ax=axis, label=label, shrink=0.8)
    bar.outline.set_edgecolor(INK)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]


def _sampling(relative: Array) -> str:
    """Histogram of the sampling relative to its mean."""
    with rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(4.8, 3.2), layout="constrained")
        axis.hist(relative, bins=60, range=(0, max(2.0, float(np.quantile(relative, 0.995)))), color="#3b82f6")
        axis.axvline(1, color=RULE, lw=1.2, ls=(0, (4, 2)))
        axis.set(xlabel="sampling / mean", ylabel="directions", xlim=(0, None))
        return svg(figure, "Histogram of the sampling of the shell")
