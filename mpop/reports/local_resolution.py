"""The report on local resolution: coloured slices, the filtered map, and the histogram."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import rc_context
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize

from mpop.jobs.maps.local_resolution import CHIMERAX_FILE, COLOURS, LocalResolutionResult, colour_range_A
from mpop.reports.figures import INK, SHOWN_PART, STYLE, TRUTH, bar_length, grey_range, svg
from mpop.reports.map_figures import slices_figure
from mpop.reports.page import Number, Page, Section, Tone, Verdict, write_page

BINS = 60
UNRESOLVED_NOTICE = 0.02
PALETTE = LinearSegmentedColormap.from_list("resolution", COLOURS)


def write_report(directory: Path, result: LocalResolutionResult, command: str) -> Path:
    """Write report.html and report.json; returns the page's path."""
    data = {"schema": "mpop.local-resolution/v1", **result.numbers()}
    return write_page(directory, page(result, command), data)


def page(result: LocalResolutionResult, command: str) -> Page:
    """The page of a result."""
    maps = result.maps
    mean = (maps.half1 + maps.half2) / 2
    sections = [
        Section(
            "Slices by local resolution",
            "The filtered map, coloured by what is resolved there; grey is solvent, or not resolved. "
            f"In ChimeraX, open {CHIMERAX_FILE}: it colours the surface in the same colours.",
            [coloured_slices(result)],
            [""],
        ),
        Section(
            "Filtered map",
            "Every place low-passed at its local resolution and weighted by its local FSC. Each has a grey scale "
            "of its own; the line is the mask.",
            [
                slices_figure(
                    {"mean of half-maps": mean, "filtered locally": result.filtered},
                    maps.pixel_size_A,
                    f"Central slices of {maps.name} before and after the local filter",
                    result.mask,
                    one_scale=False,
                )
            ],
            [""],
        ),
    ]
    if len(result.resolved_A):
        text = f"Voxels of the mask by the resolution where their local FSC is {result.parameters.threshold:g}."
        sections.insert(1, Section("Histogram", text, [histogram(result)], [""]))
    return Page(
        f"Local resolution of {maps.name}",
        f"Half-maps of {maps.box}³ voxels of {maps.pixel_size_A:g} Å; local FSC {result.parameters.threshold:g}.",
        _verdict(result),
        _headline(result),
        sections,
        command,
    )


def _verdict(result: LocalResolutionResult) -> Verdict:
    numbers = result.numbers()
    sentence = numbers["verdict"]
    if numbers["median_A"] is None:
        return Verdict("bad", sentence)
    if numbers["unresolved_fraction"] <= UNRESOLVED_NOTICE:
        return Verdict("good", sentence)
    part = 100 * numbers["unresolved_fraction"]
    return Verdict("warn", sentence, [f"{part:.0f} % of the mask is not resolved: solvent, or a part that moves."])


def _headline(result: LocalResolutionResult) -> list[Number]:
    numbers = result.numbers()
    if numbers["median_A"] is None:
        return []
    unresolved: Tone = "good" if numbers["unresolved_fraction"] <= UNRESOLVED_NOTICE else "warn"
    whole = numbers["resolution_A"]
    return [
        Number(f"{numbers['median_A']:.2f} Å", "median"),
        Number(f"{numbers['percentile_5_A']:.2f} Å", "best 5 % of the mask"),
        Number(f"{numbers['percentile_95_A']:.2f} Å", "all but the worst 5 %"),
        Number("-" if whole is None else f"{whole:.2f} Å", "whole map, corrected FSC 0.143"),
        Number(f"{100 * numbers['unresolved_fraction']:.1f} %", "of the mask not resolved", unresolved),
    ]


def histogram(result: LocalResolutionResult) -> str:
    """Share of voxels by local resolution, in the colours of the slices."""
    low, high = colour_range_A(result)
    found = result.resolved_A
    edges = np.linspace(float(found.min()), float(np.quantile(found, 0.995)) + 1e-3, BINS + 1)
    counts = np.histogram(found, edges)[0] / len(found)
    middle = (edges[:-1] + edges[1:]) / 2
    with rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
        axis.bar(middle, 100 * counts, np.diff(edges), color=PALETTE(Normalize(low, high)(middle)))
        axis.axvline(float(np.median(found)), color=INK, lw=1.2, ls=(0, (4, 2)), label="median")
        if result.global_A is not None:
            axis.axvline(result.global_A, color=TRUTH, lw=1.5, label="whole map")
        axis.set(xlabel="Local resolution (Å)", ylabel="voxels (%)", xlim=(edges[0], edges[-1]))
        axis.legend()
        return svg(figure, f"Histogram of the local resolution of {result.maps.name}")


def coloured_slices(result: LocalResolutionResult) -> str:
    """Central slices of the filtered map in three directions, coloured by resolution."""
    low, high = colour_range_A(result)
    scale = Normalize(low, high)
    box = result.maps.box
    reach = max(int(box * SHOWN_PART / 2), 1)
    part = slice(box // 2 - reach, box // 2 + reach)
    black, white = grey_range(result.filtered[part, part, part])
    with rc_context(STYLE):
        figure, axes = plt.subplots(1, 3, figsize=(9.6, 3.5), layout="constrained")
        for depth, (axis, direction) in enumerate(zip(axes, "zyx", strict=True)):
            plane = np.take(result.filtered, box // 2, axis=depth)[part, part]
            resolution = np.take(result.resolution_A, box // 2, axis=depth)[part, part]
            light = 0.25 + 0.75 * np.clip((plane - black) / (white - black), 0, 1)[..., None]
            colour = np.where((resolution > 0)[..., None], PALETTE(scale(resolution))[..., :3], 0.55)
            axis.imshow(light * colour, origin="lower", interpolation="bilinear")
            axis.set(xticks=[], yticks=[], title=f"across {direction}")
            axis.spines[:].set_visible(False)
        length = bar_length(2 * reach * result.maps.pixel_size_A)
        start = 0.06 * reach
        axes[0].plot([start, start + length / result.maps.pixel_size_A], [0.08 * reach] * 2, color="white", lw=3)
        axes[0].text(start, 0.14 * reach, f"{length:g} Å", color="white", fontsize=9)
        bar = figure.colorbar(ScalarMappable(scale, PALETTE), ax=axes, label="Å", shrink=0.85)
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        return svg(figure, f"Central slices of {result.maps.name}, coloured by local resolution")
