"""Figures of one species as it stands: its map in three directions, and the FSC that its resolution rests on."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import rc_context

from mpop.jobs.maps.slices import SHOWN_PART, grey_range
from mpop.maps.filtered import filtered_and_fsc
from mpop.maps.fsc import THRESHOLD
from mpop.reports.figures import (
    AFTER,
    BEFORE,
    MORE_COLOURS,
    STYLE,
    TRUTH,
    bar_length,
    fsc_axes,
    svg,
)
from mpop.requests.claims import SpeciesMaps

DERIVED = TRUTH
CLAIMED = MORE_COLOURS[0]
MASK = "#f59e0b"


def fsc_figure(name: str, maps: SpeciesMaps, claimed_A: float | None, derived_A: float | None) -> str:
    """FSC of two half-maps, every curve that it is made of, and the resolutions that are claimed and derived."""
    fsc = maps.fsc
    with rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(4.8, 3.5), layout="constrained")
        for curve, label, line in (
            (fsc.phase_randomised, "phases randomised", {"color": BEFORE, "lw": 1.0, "ls": (0, (1, 1.5))}),
            (fsc.unmasked, "no mask", {"color": BEFORE, "lw": 1.5}),
            (fsc.masked, "masked", {"color": AFTER, "lw": 1.2, "ls": (0, (4, 2))}),
            (fsc.corrected, "corrected", {"color": AFTER, "lw": 2.2}),
        ):
            axis.plot(curve.frequency, curve.correlation, label=label, **line)
        fsc_axes(axis, float(fsc.corrected.frequency[-1]), THRESHOLD)
        for value, label, colour, height in _marks(claimed_A, derived_A, float(fsc.corrected.frequency[1])):
            axis.axvline(1 / value, color=colour, lw=1.2, ymax=height)
            side = "right" if 1 / value > 0.6 * fsc.corrected.frequency[-1] else "left"
            place = {"ha": side, "va": "top", "fontsize": 9, "color": colour}
            axis.text(1 / value, 1.13 * height - 0.1, f" {label} {value:.2f} Å ", **place)  # y: from -0.1 to 1.03
        axis.set(ylabel="FSC", title="Half-map against half-map")
        figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=4)
        return svg(figure, f"FSC curves of {name}")


def _marks(claimed_A: float | None, derived_A: float | None, shell: float) -> list[tuple[float, str, str, float]]:
    """Resolution, what it is, colour and height of the lines to draw; one line where the two are one."""
    if claimed_A and derived_A and abs(1 / claimed_A - 1 / derived_A) < 0.1 * shell:
        return [(derived_A, "claimed and measured", DERIVED, 0.9)]
    marks = []
    if derived_A:
        marks.append((derived_A, "measured", DERIVED, 0.72))
    if claimed_A and claimed_A > 0:
        marks.append((claimed_A, "claimed", CLAIMED, 0.9))
    return marks


def slices_figure(name: str, maps: SpeciesMaps, pixel_size_A: float) -> str:
    """Central slices across z, y and x: the mean of the half-maps weighted by their FSC, and the mean as it is.

    The line is where the mask is one half.
    """
    mean = (maps.half1 + maps.half2) / 2
    filtered = filtered_and_fsc(maps.half1, maps.half2, maps.fsc)["filtered"]
    box = mean.shape[0]
    reach = max(int(box * SHOWN_PART / 2), 1)
    part = slice(box // 2 - reach, box // 2 + reach)
    with rc_context(STYLE):
        figure, axes = plt.subplots(2, 3, figsize=(7.4, 5.2))
        for row, (volume, label) in enumerate(((filtered, "weighted by FSC"), (mean, "mean of half-maps"))):
            low, high = grey_range(volume[part, part, part])
            for axis, direction, depth in zip(axes[row], "zyx", range(3), strict=True):
                plane = np.take(volume, box // 2, axis=depth)[part, part]
                outline = np.take(maps.mask, box // 2, axis=depth)[part, part]
                axis.imshow(plane, cmap="gray", vmin=low, vmax=high, interpolation="bicubic", origin="lower")
                if outline.min() < 0.5 < outline.max():
                    axis.contour(outline, levels=[0.5], colors=[MASK], linewidths=0.9, alpha=0.8)
                axis.set(xticks=[], yticks=[], title=f"across {direction}" if row == 0 else "")
                axis.spines[:].set_visible(False)
            axes[row][0].set_ylabel(label)
        length = bar_length(2 * reach * pixel_size_A)
        start = 0.06 * reach
        axes[0][0].plot([start, start + length / pixel_size_A], [0.08 * reach] * 2, color="white", lw=3)
        axes[0][0].text(start, 0.14 * reach, f"{length:g} Å", color="white", fontsize=9)
        figure.tight_layout(w_pad=0.3, h_pad=0.3)
        return svg(figure, f"Central slices of {name} in three directions")
