"""Figures of `mpop fsc3d`."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from numpy.typing import NDArray

from mpop.jobs.maps.finding import Finding
from mpop.maps.conventions import SPHERE_THRESHOLD, UNEVEN_P
from mpop.reports.figures import AFTER, BEFORE, INK, MORE_COLOURS, RULE, STYLE, fsc_axes, svg
from mpop_hooks.fsc_end import THRESHOLD

Array = NDArray[np.floating]

COLOURS = "viridis_r"
"""Light is fine, dark is coarse: as in the sections of the 3DFSC."""


def curves(found: Finding) -> str:
    """FSC by direction: mean, spread and range; and occupancy."""
    shells = found.arrays
    frequency, mean = shells["frequency_1_per_A"], shells["mean"]
    last = float(frequency[-1])
    with rc_context(STYLE):
        figure, (left, right) = plt.subplots(1, 2, figsize=(9.2, 3.6), layout="constrained")
        left.fill_between(frequency, mean - shells["sd"], mean + shells["sd"], color=AFTER, alpha=0.25, lw=0)
        for edge in ("min", "max"):
            left.plot(frequency, shells[edge], color=AFTER, lw=0.8)
        for sign in (-1, 1):
            left.plot(frequency, mean + sign * shells["sd_by_chance"], color=BEFORE, lw=1.0, ls=":")
        left.plot(frequency, mean, color=AFTER, lw=2.0)
        fsc_axes(left, last, THRESHOLD)
        left.set(title="Conical FSC", ylabel="FSC")
        right.plot(frequency, shells["occupancy"], color=MORE_COLOURS[0], lw=2.0)
        uneven = (shells["bingham_p"] < UNEVEN_P) & (shells["occupancy"] < 1)
        right.fill_between(frequency, 0, 1, where=uneven.tolist(), color=RULE, lw=0, step="mid")
        fsc_axes(right, last, 0.5)
        right.set(title="Occupancy (FSO)", ylabel="part of directions")
        return svg(figure, "FSC by direction: mean, standard deviation and range; and occupancy")


def on_sphere(found: Finding) -> str:
    """Resolution in Mollweide's projection; the lower hemisphere holds the opposite directions."""
    resolution = found.arrays["on_sphere_A"]
    rows, columns = resolution.shape
    longitude = np.linspace(-np.pi, np.pi, columns + 1)
    latitude = np.linspace(-np.pi / 2, np.pi / 2, rows + 1)
    low, high = float(resolution.min()), float(resolution.max())
    middle = (low + high) / 2
    margin = max(0.0, 0.025 * middle - (high - low) / 2)  # noise must not look like a mountain range
    with rc_context(STYLE):
        figure, axis = plt.subplots(
            figsize=(6.4, 3.4), subplot_kw={"projection": "mollweide"}, layout="constrained"
        )
        mesh = axis.pcolormesh(
            longitude, latitude, resolution, cmap=COLOURS, vmin=low - margin, vmax=high + margin, rasterized=True
        )
        axis.set_xticks(np.deg2rad([-90, 0, 90]), ["-y", "x", "y"], fontsize=9)
        axis.set_yticks(np.deg2rad([-60, -30, 0, 30, 60]), ["", "", "", "", ""])
        axis.grid(color=RULE, lw=0.6)
        axis.text(0, np.pi / 2 + 0.06, "z", ha="center", fontsize=9)
        bar = figure.colorbar(mesh, ax=axis, label="resolution (Å)", shrink=0.8)
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        return svg(figure, "Resolution by direction on the sphere")


def histogram(found: Finding) -> str:
    """Resolution by direction, in parts of the hemisphere."""
    arrays = found.arrays
    with rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(4.8, 3.2), layout="constrained")
        axis.hist(1 / arrays["crossings"], bins=30, weights=100 * arrays["solid_angles"], color=AFTER)
        for edge in found.numbers["by_chance_A"] or ():
            axis.axvline(edge, color=INK, lw=1.0, ls=(0, (4, 2)))
        axis.set(xlabel="resolution (Å)", ylabel="% of directions")
        return svg(figure, "Histogram of the resolution by direction")


def sections(found: Finding) -> str:
    """Sections across z, y and x through the origin."""
    volume = found.arrays["fsc3d"]
    centre = len(volume) // 2
    nyquist = found.arrays["frequency_1_per_A"][-1]
    with rc_context(STYLE):
        figure, axes = plt.subplots(1, 3, figsize=(9.2, 3.3), layout="constrained")
        image = None
        for number, (axis, across) in enumerate(zip(axes, "zyx", strict=True)):
            section = np.take(volume, centre, axis=number)
            image = _section(axis, section, float(nyquist))
            down, right = [name for name in "zyx" if name != across]
            axis.set(title=f"across {across}", xlabel=right, ylabel=down)
        assert image is not None
        bar = figure.colorbar(image, ax=axes, label="FSC", shrink=0.8)
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        return svg(figure, "Central sections of the 3DFSC")


def _section(axis: Axes, section: Array, nyquist: float) -> Any:
    extent = (-nyquist, nyquist, -nyquist, nyquist)
    image = axis.imshow(section, cmap="viridis", vmin=0, vmax=1, origin="lower", extent=extent)
    for level, colour in ((SPHERE_THRESHOLD, "white"), (THRESHOLD, "black")):
        if section.min() < level < section.max():
            axis.contour(section, levels=[level], colors=colour, linewidths=0.9, extent=extent)
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    return image
