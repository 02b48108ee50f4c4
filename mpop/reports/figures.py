"""What all figures share: one style, inline SVG on a transparent ground, axes as the field reads them.

Grey before, blue after, green the truth, everywhere. Frequencies run from low to high and are labelled in
angstrom. Ink is drawn in `currentColor`, so that a page may be dark.
"""

from __future__ import annotations

import html
import io
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BEFORE, AFTER, TRUTH = "#8b93a1", "#3b82f6", "#16a34a"
MORE_COLOURS = ("#d97706", "#a855f7", "#0891b2", "#db2777")
INK = "#010203"
"""Written into the SVG by matplotlib, and replaced there by `currentColor`."""
RULE = "#8b93a180"
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "svg.hashsalt": "mpop",
    "figure.facecolor": "none",
    "figure.dpi": 100,
    "savefig.dpi": 200,
}
RESOLUTION_TICKS_A = (40, 20, 15, 12, 10, 8, 7, 6, 5, 4, 3.5, 3, 2.5, 2)
SCALE_BAR_A = 50.0


def svg(figure: Figure, description: str) -> str:
    """The figure as SVG text without XML header or date, with a description for those who cannot see it."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    return text.replace("<svg", f'<svg role="img" aria-label="{html.escape(description)}"', 1)


def frequency_axis(axis: Axes, last: float) -> None:
    """Frequency axis from 0 to `last` (1/A), with ticks in angstrom."""
    shown: list[float] = []
    for tick in RESOLUTION_TICKS_A:
        if 1 / tick <= last and (not shown or 1 / tick - 1 / shown[-1] > 0.06 * last):
            shown.append(tick)
    axis.set_xticks([1 / tick for tick in shown], [f"{tick:g}" for tick in shown])
    axis.set(xlim=(0, last), xlabel="Resolution (Å)")


def fsc_axes(axis: Axes, last: float, threshold: float) -> None:
    """Frequency axis from 0 to `last` (1/A), correlations from 0 to 1, and a line at the threshold."""
    frequency_axis(axis, last)
    axis.axhline(0, color=RULE, lw=0.8, zorder=0)
    axis.axhline(threshold, color=RULE, lw=0.8, ls=":", zorder=0)
    axis.text(0.004 * last, threshold + 0.015, f"{threshold:g}", fontsize=8)
    axis.set(ylim=(-0.1, 1.03))


def bar_length(extent_A: float) -> float:
    """Of the scale bar: a round number, at most a third of the picture."""
    lengths = [SCALE_BAR_A, 20.0, 10.0, 5.0, 2.0, 1.0]
    return next((length for length in lengths if length <= extent_A / 3), lengths[-1])
