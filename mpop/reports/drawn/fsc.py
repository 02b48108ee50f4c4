"""Figures of `mpop fsc`: FSC curves, Guinier plot, the map before and after."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes

from mpop.jobs.maps.finding import Finding
from mpop.jobs.maps.slices import Slices
from mpop.reports.figures import (
    AFTER,
    BEFORE,
    MORE_COLOURS,
    RESOLUTION_TICKS_A,
    STYLE,
    TRUTH,
    fsc_axes,
    svg,
)
from mpop.reports.map_figures import slices_figure
from mpop_hooks.fsc_end import THRESHOLD

FIT = MORE_COLOURS[0]
SHOWN_FROM_A = 30.0
"""The shells before would make the Guinier plot flat."""


def slices(found: Finding) -> str:
    """The mean of the half-maps, and the sharpened map."""
    said, arrays = found.numbers, found.arrays
    return slices_figure(
        {"mean of half-maps": Slices.named(arrays, "mean"), "sharpened": Slices.named(arrays, "map")},
        said["pixel_size_A"],
        f"Central slices of {said['name']} before and after sharpening",
        None if said["mask"]["from"] == "none" else Slices.named(arrays, "mask"),
        one_scale=False,
    )


def fsc_figure(found: Finding) -> str:
    """All FSC curves, and where the corrected one crosses 0.143 and 0.5."""
    frequency, resolution = found.arrays["frequency"], found.numbers["resolution_A"]
    with rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(5.2, 3.7), layout="constrained")
        for curve, label, line in (
            ("randomised", "phases randomised", {"color": BEFORE, "lw": 1.0, "ls": (0, (1, 1.5))}),
            ("unmasked", "no mask", {"color": BEFORE, "lw": 1.5}),
            ("masked", "masked", {"color": AFTER, "lw": 1.2, "ls": (0, (4, 2))}),
            ("corrected", "corrected", {"color": AFTER, "lw": 2.2}),
        ):
            axis.plot(frequency, found.arrays[curve], label=label, **line)
        fsc_axes(axis, float(frequency[-1]), THRESHOLD)
        axis.set_ylabel("FSC")
        if resolution is not None:
            _mark(axis, 1 / resolution, f"{resolution:.2f} Å")
        figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=4)
        return svg(figure, f"FSC curves of {found.numbers['name']}")


def _mark(axis: Axes, frequency: float, text: str) -> None:
    axis.axvline(frequency, color=TRUTH, lw=1.2, ymax=0.9)
    side = "right" if frequency > 0.6 * axis.get_xlim()[1] else "left"
    axis.text(frequency, 0.9, f" {text} ", ha=side, va="top", fontsize=9, color=TRUTH)


def guinier_figure(found: Finding) -> str:
    """ln of amplitudes over squared frequency, and the line that the B-factor is from."""
    said, frequency = found.numbers, found.arrays["frequency"]
    squared, fit = np.square(frequency), said["b_factor_fit"]
    plotted = {name: values for name, values in found.arrays.items() if name.startswith("guinier_")}
    with rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(5.2, 3.7), layout="constrained")
        for name, label, line in (
            ("original", "mean of half-maps", {"color": BEFORE, "lw": 1.5}),
            ("weighted", "weighted by FSC", {"color": AFTER, "lw": 1.4}),
            ("sharpened", "sharpened", {"color": AFTER, "lw": 2.2}),
        ):
            axis.plot(squared, plotted[f"guinier_{name}"], label=label, **line)
        if fit is not None:
            ends = np.square([1 / fit["from_A"], 1 / fit["to_A"]])
            line = fit["intercept"] + fit["slope_A2"] * ends
            axis.plot(ends, line, color=FIT, lw=1.4, ls=(0, (4, 2)), label=f"B = {said['b_factor_A2']:.0f} Å²")
        _squared_axis(axis, float(squared[-1]))
        shown = frequency > 1 / SHOWN_FROM_A
        axis.set_ylim(top=1 + max(np.nanmax(values[shown], initial=-np.inf) for values in plotted.values()))
        axis.set_ylabel("ln mean amplitude")
        figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=4)
        return svg(figure, f"Guinier plot of {found.numbers['name']}")


def _squared_axis(axis: Axes, last: float) -> None:
    """Axis of squared frequency from 0 to `last` (1/A^2), with ticks in angstrom."""
    shown: list[float] = []
    for tick in RESOLUTION_TICKS_A:
        if tick**-2 <= last and tick**-2 - (shown[-1] ** -2 if shown else 0.0) > 0.06 * last:
            shown.append(tick)
    axis.set_xticks([tick**-2 for tick in shown], [f"{tick:g}" for tick in shown])
    axis.set(xlim=(0, last), xlabel="Resolution (Å), by its inverse square")
