"""Figures of `mpop correct`."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import rc_context

from mpop.jobs.maps.finding import Finding
from mpop.jobs.maps.slices import Slices
from mpop.maps.conventions import HALF_ANGLE_DEG, TRUSTED
from mpop.reports.figures import AFTER, BEFORE, MORE_COLOURS, STYLE, frequency_axis, fsc_axes, svg
from mpop.reports.map_figures import Curve, fsc_figure, slices_figure, spectra_figure
from mpop_hooks.fsc_end import THRESHOLD

INFERRED = MORE_COLOURS[0]


def slices(found: Finding) -> str:
    """The map as measured, corrected, and the change."""
    shown = {name: Slices.named(found.arrays, name) for name in ("measured", "corrected", "change")}
    return slices_figure(
        shown,
        found.numbers["pixel_size_A"],
        "Central slices before and after correction, and of the change",
        Slices.named(found.arrays, "mask"),
    )


def held_out(found: Finding) -> str:
    """What was inferred against measurements that were withheld."""
    before, after = found.arrays["held_out"]
    frequency = found.frequency("held_out")
    return fsc_figure(
        [
            Curve("withheld data, inferred", frequency, after, {"color": AFTER, "lw": 2.2}),
            Curve("without correction", frequency, before, {"color": BEFORE, "lw": 1.6}),
        ],
        TRUSTED,
        "Withheld measurements",
        "correlation with the truth",
    )


def by_direction(found: Finding) -> str:
    """Conical FSC of the half-maps, before and after."""
    frequency = found.frequency("conical_before")
    with rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(4.8, 3.5), layout="constrained")
        for key, colour, label in (("before", BEFORE, "measured"), ("after", AFTER, "corrected")):
            low, middle, high = found.arrays[f"conical_{key}"]
            axis.fill_between(frequency, low, high, color=colour, alpha=0.22, lw=0)
            axis.plot(frequency, middle, color=colour, lw=2, label=label)
        fsc_axes(axis, float(frequency[-1]), THRESHOLD)
        axis.set(ylabel="FSC in cones", title=f"Cones of {HALF_ANGLE_DEG:g}°")
        figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        return svg(figure, "FSC by direction before and after correction")


def consistency(found: Finding) -> str:
    """What the corrected half-maps leave of the data."""
    frequency = found.frequency("chi2")
    residues = zip(found.arrays["chi2"], (AFTER, INFERRED), strict=True)
    with rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(4.8, 3.5), layout="constrained")
        for number, (values, colour) in enumerate(residues, start=1):
            axis.plot(frequency, values, color=colour, lw=1.8, label=f"half-map {number}")
        frequency_axis(axis, float(frequency[-1]))
        axis.axhline(1, color=BEFORE, lw=0.9, ls=":")
        top = max(1.5, float(np.nanmax(found.arrays["chi2"])))
        axis.set(ylim=(0, 1.05 * top), ylabel="residue / what noise explains", title="Data where they were good")
        figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        return svg(figure, "Residue of the data after correction")


def spectra(found: Finding) -> str:
    """Power of measured and inferred coefficients."""
    frequency = found.frequency("power")
    lines = (
        ("measured, before", {"color": BEFORE, "lw": 1.4}),
        ("not measured, before", {"color": BEFORE, "ls": ":"}),
        ("measured, after", {"color": AFTER, "lw": 1.8}),
        ("inferred, after", {"color": INFERRED, "lw": 1.8}),
    )
    rows = zip(lines, found.arrays["power"], strict=True)
    curves = [Curve(label, frequency, values, line) for (label, line), values in rows]
    return spectra_figure(curves, "Power of half-map 1")


def support(found: Finding) -> str:
    """Which Fourier coefficients are known from data."""
    box, pixel = found.numbers["box"], found.numbers["pixel_size_A"]
    reach = min(round(box * pixel / found.numbers["limit_A"]) + 2, box // 2)
    part = slice(box // 2 - reach, box // 2 + reach)
    edge = reach / (box * pixel)
    with rc_context(STYLE):
        figure, axes = plt.subplots(1, 3, figsize=(9.2, 3.2), layout="constrained")
        for depth, axis in enumerate(axes):
            plane = np.take(found.arrays["support"], box // 2, axis=depth)[part, part]
            extent = (-edge, edge, -edge, edge)
            image = axis.imshow(plane, cmap="viridis", vmin=0, vmax=1, origin="lower", extent=extent)
            across, up = [name for name in "xyz" if name != "zyx"[depth]]
            axis.set(title=f"across {'zyx'[depth]}", xlabel=f"k{across} (1/Å)", ylabel=f"k{up} (1/Å)")
        bar = figure.colorbar(image, ax=axes, label="known from data", shrink=0.8)  # pyright: ignore[reportPossiblyUnboundVariable]
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        return svg(figure, "Support of each Fourier coefficient")


def training(found: Finding) -> str:
    """Loss of each network."""
    courses = zip(found.numbers["training"], (AFTER, INFERRED), strict=False)
    with rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(4.8, 3.2), layout="constrained")
        for number, (course, colour) in enumerate(courses, start=1):
            axis.plot(course["steps"], course["losses"], color=colour, lw=1.8, label=f"network {number}")
            if course["held_out"]:
                axis.plot(course["steps"], course["held_out"], color=colour, lw=1.4, ls=":", label="unseen cubes")
        axis.set(xlabel="step", ylabel="loss", ylim=(0, None))
        figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=2)
        return svg(figure, "Loss over steps")
