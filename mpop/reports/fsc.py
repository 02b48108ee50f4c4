"""The report of `mpop fsc` on half-maps: FSC curves, Guinier plot, the sharpened map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes

from mpop.jobs.maps.fsc import HalfMapFSC, curves, guinier_curves, numbers
from mpop.maps.fsc import THRESHOLD
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
from mpop.reports.page import Number, Page, Section, Verdict, write_page

FIT = MORE_COLOURS[0]
FITTED = "The line is fitted to the amplitudes weighted by their FSC; its slope gives the B-factor."
SHOWN_FROM_A = 30.0
"""The shells before would make the Guinier plot flat."""
MASKS = {
    "given": "within the mask that was given",
    "species": "within the mask of the species",
    "found": "within a mask that was made from them (mask.mrc)",
    "none": "without a mask",
}


def write_report(directory: Path, result: HalfMapFSC, footer: str = "") -> Path:
    """Write report.html and report.json; returns the path of the page."""
    return write_page(directory, page(result, footer), data(result))


def data(result: HalfMapFSC) -> dict[str, Any]:
    """The content of report.json: the numbers of `--json`, and the curves."""
    measured = {name: values.tolist() for name, values in curves(result).items()}
    guinier = {
        name: [None if np.isnan(value) else value for value in values.tolist()]
        for name, values in guinier_curves(result).items()
    }
    return {"schema": "mpop.fsc-report/v1", **numbers(result), "curves": measured, "guinier": guinier}


def page(result: HalfMapFSC, footer: str = "") -> Page:
    """The page, not yet written."""
    found = numbers(result)
    return Page(
        title=f"Resolution of {found['name']}",
        lead=f"Half-maps of {found['box']}³ voxels of {found['pixel_size_A']:g} Å, {MASKS[result.mask_from]}.",
        verdict=_verdict(result),
        numbers=_numbers(found, result),
        sections=_sections(result),
        footer=footer,
    )


def _verdict(result: HalfMapFSC) -> Verdict:
    resolution = result.report.resolution_A
    if resolution is None:
        return Verdict("bad", "The half-maps have no resolution.")
    if not result.doubts:
        return Verdict("good", f"The half-maps agree to {resolution:.2f} Å.")
    return Verdict("warn", f"The FSC says {resolution:.2f} Å, but look at this first:")


def _numbers(found: dict[str, Any], result: HalfMapFSC) -> list[Number]:
    fit = result.fit
    how = "not fitted" if fit is None else f"B-factor, fitted from {fit.from_A:.1f} to {fit.to_A:.1f} Å"
    return [
        Number(_angstrom(found["resolution_A"]), "corrected FSC = 0.143"),
        Number(_angstrom(found["resolution_at_half_A"]), "corrected FSC = 0.5"),
        Number(_angstrom(found["resolution_unmasked_A"]), "FSC = 0.143 without a mask"),
        Number(_angstrom(found["relion_final_resolution_A"]), "last whole shell above 0.143, as RELION counts"),
        Number(_angstrom(found["randomised_from_A"]), "phases were randomised from here on"),
        Number(f"{found['b_factor_A2']:.0f} Å²", how if fit else "B-factor, as given or none"),
    ]


def _angstrom(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} Å"


def _sections(result: HalfMapFSC) -> list[Section]:
    low_pass = "" if result.low_pass_A is None else f", low-passed at {result.low_pass_A:.2f} Å"
    pixel = result.maps.pixel_size_A
    slices = slices_figure(
        {"mean of half-maps": result.maps.mean(), "sharpened": result.sharpened},
        pixel,
        f"Central slices of {result.maps.name} before and after sharpening",
        None if result.mask_from == "none" else result.mask,
        one_scale=False,
    )
    return [
        Section(
            "Fourier shell correlation and Guinier plot",
            "Corrected is the masked FSC without what the mask itself correlates. The dotted curve shows that: "
            "the same maps with random phases. It should be near zero where the corrected curve crosses 0.143.",
            [fsc_figure(result), guinier_figure(result)],
            ["", "" if result.fit is None else FITTED],
        ),
        Section(
            "The map",
            f"Right: map.mrc, weighted by its FSC, multiplied by exp(-B s²/4) with B = {result.b_factor_A2:.0f} Å²"
            f"{low_pass}. The line is where the mask is one half.",
            [slices],
        ),
    ]


def fsc_figure(result: HalfMapFSC) -> str:
    """All FSC curves, and where the corrected one crosses 0.143 and 0.5."""
    report = result.report
    with rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(5.2, 3.7), layout="constrained")
        for curve, label, line in (
            (report.phase_randomised, "phases randomised", {"color": BEFORE, "lw": 1.0, "ls": (0, (1, 1.5))}),
            (report.unmasked, "no mask", {"color": BEFORE, "lw": 1.5}),
            (report.masked, "masked", {"color": AFTER, "lw": 1.2, "ls": (0, (4, 2))}),
            (report.corrected, "corrected", {"color": AFTER, "lw": 2.2}),
        ):
            axis.plot(curve.frequency, curve.correlation, label=label, **line)
        fsc_axes(axis, float(report.corrected.frequency[-1]), THRESHOLD)
        axis.set_ylabel("FSC")
        if report.resolution_A is not None:
            _mark(axis, 1 / report.resolution_A, f"{report.resolution_A:.2f} Å")
        figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=4)
        return svg(figure, f"FSC curves of {result.maps.name}")


def _mark(axis: Axes, frequency: float, text: str) -> None:
    axis.axvline(frequency, color=TRUTH, lw=1.2, ymax=0.9)
    side = "right" if frequency > 0.6 * axis.get_xlim()[1] else "left"
    axis.text(frequency, 0.9, f" {text} ", ha=side, va="top", fontsize=9, color=TRUTH)


def guinier_figure(result: HalfMapFSC) -> str:
    """ln of amplitudes over squared frequency, and the line that the B-factor is from."""
    plot, found = result.guinier, guinier_curves(result)
    squared = np.square(plot.frequency)
    with rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(5.2, 3.7), layout="constrained")
        for name, label, line in (
            ("original", "mean of half-maps", {"color": BEFORE, "lw": 1.5}),
            ("weighted", "weighted by FSC", {"color": AFTER, "lw": 1.4}),
            ("sharpened", "sharpened", {"color": AFTER, "lw": 2.2}),
        ):
            axis.plot(squared, found[name], label=label, **line)
        if result.fit is not None:
            ends = np.square([1 / result.fit.from_A, 1 / result.fit.to_A])
            line = result.fit.intercept + result.fit.slope_A2 * ends
            axis.plot(ends, line, color=FIT, lw=1.4, ls=(0, (4, 2)), label=f"B = {result.b_factor_A2:.0f} Å²")
        _squared_axis(axis, float(squared[-1]))
        shown = plot.frequency > 1 / SHOWN_FROM_A
        axis.set_ylim(top=1 + max(np.nanmax(values[shown], initial=-np.inf) for values in found.values()))
        axis.set_ylabel("ln mean amplitude")
        figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=4)
        return svg(figure, f"Guinier plot of {result.maps.name}")


def _squared_axis(axis: Axes, last: float) -> None:
    """Axis of squared frequency from 0 to `last` (1/A^2), with ticks in angstrom."""
    shown: list[float] = []
    for tick in RESOLUTION_TICKS_A:
        if tick**-2 <= last and tick**-2 - (shown[-1] ** -2 if shown else 0.0) > 0.06 * last:
            shown.append(tick)
    axis.set_xticks([tick**-2 for tick in shown], [f"{tick:g}" for tick in shown])
    axis.set(xlim=(0, last), xlabel="Resolution (Å), by its inverse square")
