"""Figures of `mpop orientations`."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm, Normalize
from numpy.typing import NDArray

from mpop.reports.figures import INK, RULE, STYLE, svg

Array = NDArray[np.float64]

COLOURS = "viridis"
"""Its steps look even, to colour-blind readers too; blue to red, as the field has it, they do not."""
WIDEST_COLOUR_SCALE = 1e3
MOLLWEIDE = {"projection": "mollweide"}


def directions(cells: Array) -> str:
    """Images by where they look from, on an equal-area map of the sphere, logarithmic."""
    return _map_figure(cells, "images per cell", "Viewing directions", log=True)


def on_sphere(cells: Array, label: str, log: bool = False) -> str:
    """Values of cells all around a sphere."""
    return _map_figure(cells, label, label, log)


def _map_figure(cells: Array, label: str, description: str, log: bool) -> str:
    """Cells (rows from south to north, columns) in Mollweide's projection; zeros stay blank where log."""
    top = float(cells.max()) or 1.0
    positive = cells[cells > 0]
    low = max(float(positive.min()) if len(positive) else top, top / WIDEST_COLOUR_SCALE)
    norm = LogNorm(min(low, top / 1.1), top) if log else Normalize(0.0, top)
    with rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(6.4, 3.4), subplot_kw=MOLLWEIDE, layout="constrained")
        shown = np.ma.masked_equal(cells, 0) if log else cells
        rows, columns = cells.shape
        longitude, latitude = np.linspace(-np.pi, np.pi, columns + 1), np.arcsin(np.linspace(-1, 1, rows + 1))
        mesh = axis.pcolormesh(longitude, latitude, shown, cmap=COLOURS, norm=norm, rasterized=True)
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


def sampling(value: Array) -> str:
    """Histogram of the sampling relative to its mean."""
    relative = value / value.mean()
    with rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(4.8, 3.2), layout="constrained")
        axis.hist(relative, bins=60, range=(0, max(2.0, float(np.quantile(relative, 0.995)))), color="#3b82f6")
        axis.axvline(1, color=RULE, lw=1.2, ls=(0, (4, 2)))
        axis.set(xlabel="sampling / mean", ylabel="directions", xlim=(0, None))
        return svg(figure, "Histogram of the sampling of the shell")
