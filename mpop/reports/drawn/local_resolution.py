"""Figures of `mpop local-resolution`."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import rc_context
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from numpy.typing import NDArray

from mpop.jobs.maps.finding import Finding
from mpop.jobs.maps.resolution_colours import COLOURS, colour_range_A
from mpop.jobs.maps.slices import Slices
from mpop.reports.figures import INK, STYLE, TRUTH, bar_length, svg
from mpop.reports.map_figures import slices_figure

BINS = 60
PALETTE = LinearSegmentedColormap.from_list("resolution", COLOURS)


def slices(found: Finding) -> str:
    """The map before and after the local filter."""
    arrays, said = found.arrays, found.numbers
    return slices_figure(
        {"mean of half-maps": Slices.named(arrays, "mean"), "filtered locally": Slices.named(arrays, "filtered")},
        said["pixel_size_A"],
        f"Central slices of {said['name']} before and after the local filter",
        Slices.named(arrays, "mask"),
        one_scale=False,
    )


def _resolved_A(found: Finding) -> NDArray[np.floating]:
    resolution_A = found.arrays["resolution_A"]
    return resolution_A[resolution_A > 0]


def histogram(found: Finding) -> str:
    """Share of voxels by local resolution, in the colours of the slices."""
    resolved_A, whole_A = _resolved_A(found), found.numbers["resolution_A"]
    low, high = colour_range_A(resolved_A)
    edges = np.linspace(float(resolved_A.min()), float(np.quantile(resolved_A, 0.995)) + 1e-3, BINS + 1)
    counts = np.histogram(resolved_A, edges)[0] / len(resolved_A)
    middle = (edges[:-1] + edges[1:]) / 2
    with rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
        axis.bar(middle, 100 * counts, np.diff(edges), color=PALETTE(Normalize(low, high)(middle)))
        axis.axvline(float(np.median(resolved_A)), color=INK, lw=1.2, ls=(0, (4, 2)), label="median")
        if whole_A is not None:
            axis.axvline(whole_A, color=TRUTH, lw=1.5, label="whole map")
        axis.set(xlabel="Local resolution (Å)", ylabel="voxels (%)", xlim=(edges[0], edges[-1]))
        axis.legend()
        return svg(figure, f"Histogram of the local resolution of {found.numbers['name']}")


def coloured_slices(found: Finding) -> str:
    """Central slices of the filtered map in three directions, coloured by resolution."""
    low, high = colour_range_A(_resolved_A(found))
    scale, pixel = Normalize(low, high), found.numbers["pixel_size_A"]
    filtered, local = (Slices.named(found.arrays, name) for name in ("filtered", "resolution"))
    black, white = filtered.black, filtered.white
    reach = filtered.planes.shape[1] / 2
    with rc_context(STYLE):
        figure, axes = plt.subplots(1, 3, figsize=(9.6, 3.5), layout="constrained")
        for depth, (axis, direction) in enumerate(zip(axes, "zyx", strict=True)):
            plane, resolution = filtered.planes[depth], local.planes[depth]
            light = 0.25 + 0.75 * np.clip((plane - black) / (white - black), 0, 1)[..., None]
            colour = np.where((resolution > 0)[..., None], PALETTE(scale(resolution))[..., :3], 0.55)
            axis.imshow(light * colour, origin="lower", interpolation="bilinear")
            axis.set(xticks=[], yticks=[], title=f"across {direction}")
            axis.spines[:].set_visible(False)
        length = bar_length(2 * reach * pixel)
        start = 0.06 * reach
        axes[0].plot([start, start + length / pixel], [0.08 * reach] * 2, color="white", lw=3)
        axes[0].text(start, 0.14 * reach, f"{length:g} Å", color="white", fontsize=9)
        bar = figure.colorbar(ScalarMappable(scale, PALETTE), ax=axes, label="Å", shrink=0.85)
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        return svg(figure, f"Central slices of {found.numbers['name']}, coloured by local resolution")
