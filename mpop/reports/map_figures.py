"""Figures that reports on maps share: maps side by side in three directions, and curves over frequency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import rc_context
from numpy.typing import NDArray

from mpop.jobs.maps.slices import Slices
from mpop.reports.figures import RULE, STYLE, bar_length, frequency_axis, fsc_axes, svg

MASK = "#f59e0b"


@dataclass(frozen=True)
class Curve:
    """values (k,) over frequency (k,) in 1/A. line: what matplotlib's `plot` takes."""

    label: str
    frequency: NDArray[np.floating]
    values: NDArray[np.floating]
    line: Mapping[str, Any] = field(default_factory=dict)


def slices_figure(
    maps: Mapping[str, Slices],
    pixel_size_A: float,
    description: str,
    mask: Slices | None = None,
    one_scale: bool = True,
) -> str:
    """Central slices across z, y and x of maps by their titles; the line is where the mask is one half.

    one_scale: the same grey means the same density in all of them.
    """
    first = next(iter(maps.values()))
    reach = first.planes.shape[1] / 2
    with rc_context(STYLE):
        figure, axes = plt.subplots(3, len(maps), figsize=(2.5 * len(maps), 7.2), squeeze=False)
        for column, (title, slices) in enumerate(maps.items()):
            scale = first if one_scale else slices
            for depth, direction in enumerate("zyx"):
                axis = axes[depth][column]
                axis.imshow(
                    slices.planes[depth],
                    cmap="gray",
                    vmin=scale.black,
                    vmax=scale.white,
                    interpolation="bicubic",
                    origin="lower",
                )
                if mask is not None:
                    outline = mask.planes[depth]
                    if outline.min() < 0.5 < outline.max():
                        axis.contour(outline, levels=[0.5], colors=[MASK], linewidths=0.9, alpha=0.8)
                axis.set(xticks=[], yticks=[], title=title if depth == 0 else "")
                axis.spines[:].set_visible(False)
                if column == 0:
                    axis.set_ylabel(f"across {direction}")
        length = bar_length(2 * reach * pixel_size_A)
        start = 0.06 * reach
        axes[0][0].plot([start, start + length / pixel_size_A], [0.08 * reach] * 2, color="white", lw=3)
        axes[0][0].text(start, 0.14 * reach, f"{length:g} Å", color="white", fontsize=9)
        figure.tight_layout(w_pad=0.3, h_pad=0.3)
        return svg(figure, description)


def fsc_figure(curves: Sequence[Curve], threshold: float, title: str, ylabel: str = "FSC") -> str:
    """Correlations over frequency, with ticks in angstrom."""
    with rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(4.8, 3.5), layout="constrained")
        for curve in curves:
            axis.plot(curve.frequency, curve.values, label=curve.label, **curve.line)
        fsc_axes(axis, float(curves[0].frequency[-1]), threshold)
        axis.set(ylabel=ylabel, title=title)
        figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=min(len(curves), 3))
        return svg(figure, title)


def spectra_figure(curves: Sequence[Curve], title: str) -> str:
    """Mean power over frequency, on a logarithmic scale."""
    with rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(4.8, 3.5), layout="constrained")
        for curve in curves:
            positive = np.where(curve.values > 0, curve.values, np.nan)
            axis.semilogy(curve.frequency, positive, label=curve.label, **curve.line)
        frequency_axis(axis, float(curves[0].frequency[-1]))
        axis.set(ylabel="mean power", title=title)
        axis.grid(axis="y", color=RULE, lw=0.5)
        figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=min(len(curves), 3))
        return svg(figure, title)
