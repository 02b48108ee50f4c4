"""The report of `mpop correct`: what was inferred, whether it is supported, and whether the data still hold."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import rc_context
from numpy.typing import NDArray

from mpop.jobs.maps.correct import Finding
from mpop.jobs.maps.verdict import Tone, Verdict
from mpop.maps.directional import HALF_ANGLE_DEG
from mpop.maps.filters import low_pass
from mpop.maps.fsc import THRESHOLD
from mpop.maps.hold_out import TRUSTED
from mpop.maps.judging import CONSISTENT
from mpop.reports.figures import AFTER, BEFORE, MORE_COLOURS, STYLE, frequency_axis, fsc_axes, svg
from mpop.reports.map_figures import Curve, fsc_figure, slices_figure, spectra_figure
from mpop.reports.page import Number, Page, Section, write_page

INFERRED = MORE_COLOURS[0]


def write_report(directory: Path, found: Finding, footer: str = "") -> Path:
    """Write report.html and report.json; returns the path of the page."""
    return write_page(directory, page(found, footer), data(found))


def data(found: Finding) -> dict[str, Any]:
    """The content of report.json: the numbers of `--json`, and the curves (null where there is nothing to say)."""
    curves = {key: _plain(values) for key, values in found.arrays.items() if values.ndim == 2}
    frequency = _frequency(found, "conical_before").tolist()
    return {"schema": "mpop.correct-report/v1", **found.numbers, "curves": {"frequency": frequency, **curves}}


def _plain(values: NDArray[np.floating]) -> list[list[float | None]]:
    return [[None if np.isnan(value) else value for value in row] for row in values.tolist()]


def _frequency(found: Finding, curve: str) -> NDArray[np.floating]:
    """Of the shells of a curve, 1/A; all begin with shell 0."""
    return np.arange(found.arrays[curve].shape[1]) / (found.maps.box * found.maps.pixel_size_A)


def page(found: Finding, footer: str = "") -> Page:
    """The page, not yet written."""
    said = found.numbers
    return Page(
        title=f"Anisotropy correction of {said['name']}",
        lead=f"Half-maps of {said['box']}³ voxels of {said['pixel_size_A']:g} Å, half-sets {said['half_sets']}.",
        verdict=Verdict(said["tone"], said["verdict"], said["reasons"]),
        numbers=_numbers(said),
        sections=list(_sections(found)),
        footer=footer,
    )


def _numbers(said: dict[str, Any]) -> list[Number]:
    if not said["corrected"]:
        return []
    chi2 = max(said["chi2"])
    before, after = said["conical_fsc_before"], said["conical_fsc_after"]
    supported = said["supported_to_A"]
    tone: Tone = "bad" if supported is None else "good"
    return [
        Number(f"{100 * said['inferred_part']:.0f} %", "of coefficients inferred rather than measured"),
        Number("-" if supported is None else f"{supported:.1f} Å", "inferred content supported to", tone),
        Number(f"{said['limit_A']:.1f} Å", "corrected to"),
        Number(
            f"{chi2:.2f}",
            "residue where data were good, of what noise explains",
            "good" if chi2 <= CONSISTENT else "bad",
        ),
        Number(f"{before['worst']:.2f} → {after['worst']:.2f}", "mean FSC of half-maps, worst direction"),
        Number(f"{before['best']:.2f} → {after['best']:.2f}", "mean FSC of half-maps, best direction"),
    ]


def _sections(found: Finding) -> Iterator[Section]:
    yield Section(
        "The map in three directions",
        "Means of the half-maps, low-passed at the limit of the correction. The line is where the mask is one "
        "half; the same grey is the same density.",
        [_slices(found)],
        [""],
    )
    if "held_out" in found.arrays:
        yield Section(
            "Is what was inferred true?",
            "Measurements in as many other directions were withheld, inferred by the same correction, and "
            "compared with the half-map that was not used. The curve estimates the correlation with the truth; "
            f"where it stays above {TRUSTED:g}, inferred content may be interpreted.",
            [_held_out(found)],
            ["What a gap leaves by itself is grey."],
        )
    if found.numbers["corrected"]:
        yield Section(
            "Half-map against half-map, by direction",
            "Median of all directions, and the range from the worst to the best. After the correction this says "
            "how reproducible the half-maps are, not how true: what both inferred in one way agrees as well.",
            [_by_direction(found)],
            [""],
        )
        yield Section(
            "Do the data still hold, and what was added?",
            "Left: what the corrected half-maps, filtered back, leave of the data, in units of the noise; at most "
            "about 1 where the data were good. Right: mean power of measured and of inferred coefficients.",
            [_consistency(found), _spectra(found)],
            ["", "Where the density is alike in all directions, inferred power should come up to the measured."],
        )
        yield Section(
            "Where is it measured, where inferred?",
            "Central slices of support.mrc: 1 where a Fourier coefficient is known from data, 0 where inferred.",
            [_support(found)],
            ["Directions in Fourier space: content along z in the map is along z here."],
        )
    if any(course["steps"] for course in found.numbers["training"]):
        yield Section(
            "Training",
            "Loss of each network, and on cubes that it never saw; the network that did best on those was kept.",
            [_training(found)],
            [""],
        )


def _slices(found: Finding) -> str:
    maps = found.maps
    pixel = maps.pixel_size_A
    finest = max(found.numbers["limit_A"] or 0, 2 * pixel)
    before = low_pass((maps.half1 + maps.half2) / 2, pixel, finest)
    after = low_pass(found.arrays["map"], pixel, finest)
    shown = {"measured": before, "corrected": after, "change": after - before}
    return slices_figure(shown, pixel, "Central slices before and after correction, and of the change", maps.mask)


def _held_out(found: Finding) -> str:
    before, after = found.arrays["held_out"]
    frequency = _frequency(found, "held_out")
    return fsc_figure(
        [
            Curve("withheld data, inferred", frequency, after, {"color": AFTER, "lw": 2.2}),
            Curve("without correction", frequency, before, {"color": BEFORE, "lw": 1.6}),
        ],
        TRUSTED,
        "Withheld measurements",
        "correlation with the truth",
    )


def _by_direction(found: Finding) -> str:
    frequency = _frequency(found, "conical_before")
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


def _consistency(found: Finding) -> str:
    frequency = _frequency(found, "chi2")
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


def _spectra(found: Finding) -> str:
    frequency = _frequency(found, "power")
    lines = (
        ("measured, before", {"color": BEFORE, "lw": 1.4}),
        ("not measured, before", {"color": BEFORE, "ls": ":"}),
        ("measured, after", {"color": AFTER, "lw": 1.8}),
        ("inferred, after", {"color": INFERRED, "lw": 1.8}),
    )
    rows = zip(lines, found.arrays["power"], strict=True)
    curves = [Curve(label, frequency, values, line) for (label, line), values in rows]
    return spectra_figure(curves, "Power of half-map 1")


def _support(found: Finding) -> str:
    box, pixel = found.maps.box, found.maps.pixel_size_A
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


def _training(found: Finding) -> str:
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
