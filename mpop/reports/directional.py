"""The report of `mpop fsc3d`: curves by direction, resolution on the sphere, slices of the 3DFSC."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes

from mpop.jobs.maps.directional import UNEVEN_P, DirectionalResolution, by_shell, numbers, verdict
from mpop.maps.anisotropy import SPHERE_THRESHOLD, THRESHOLD
from mpop.maps.directions import Array, between_directions
from mpop.reports.figures import AFTER, BEFORE, INK, MORE_COLOURS, RULE, STYLE, fsc_axes, svg
from mpop.reports.page import Number, Page, Section, Tone, write_page

COLOURS = "viridis_r"
"""Light is fine, dark is coarse: as in the sections of the 3DFSC."""
COLUMNS, ROWS = 120, 60
GOOD_SPHERICITY, GOOD_AREA_RATIO, POOR_AREA_RATIO = 0.95, 0.7, 0.5


def write_report(directory: Path, result: DirectionalResolution, command: str) -> Path:
    """Write report.html and report.json; returns the page's path."""
    found = numbers(result)
    return write_page(directory, page(result, found, command), {"schema": "mpop.fsc3d/v1", **found})


def page(result: DirectionalResolution, found: Mapping[str, Any], command: str) -> Page:
    """The page of two half-maps."""
    conical = result.conical
    within = "within the mask" if result.masked else "without a mask"
    lead = (
        f"Half-maps of {conical.box}³ voxels of {conical.pixel_size_A:g} Å, {within}. FSC inside double cones of "
        f"{conical.half_angle_deg:g}° around {found['directions']} directions of a hemisphere; the other one is "
        "its mirror image."
    )
    sections = [
        Section(
            "Curves by direction",
            "Thick: mean over directions. Band: one standard deviation to either side. Thin: least and greatest. "
            "Dotted: how far directions of isotropic maps would spread, one standard deviation. Right: the part "
            "of all directions still above 0.143. It falls in one step where a map is isotropic; shaded where, by "
            "Bingham's test, the directions left are not evenly spread.",
            [_curves_figure(result)],
        )
    ]
    if result.has_signal:
        sections.append(
            Section(
                "Resolution on the sphere",
                "Equal areas are equal solid angles; directions of the map's Fourier transform, z up. A preferred "
                "view from z leaves z itself poorly resolved.",
                [_sphere_figure(result), _histogram_figure(result)],
                ["Where the FSC of each direction falls below 0.143.", "Dashed: what isotropic maps would span."],
            )
        )
    sections.append(
        Section(
            "The 3DFSC",
            "Central sections of fsc3d.mrc, from the origin to Nyquist. Lines: 0.5 (white) and 0.143 (black).",
            [_slices_figure(result)],
        )
    )
    return Page(
        f"Directional resolution of {result.name}", lead, verdict(result), _headline(found), sections, command
    )


def _headline(found: Mapping[str, Any]) -> list[Number]:
    if "area_ratio" not in found:
        return []
    ratio, ball, by_direction = found["area_ratio"], found["sphericity"], found["by_direction"]
    tone: Tone = "good" if ratio >= GOOD_AREA_RATIO else "warn" if ratio >= POOR_AREA_RATIO else "bad"
    occupied = [found["occupancy_90_A"], found["occupancy_10_A"]]
    from_A, to_A = ("-" if one is None else f"{one:.1f}" for one in occupied)
    return [
        Number(f"{found['resolution_A']:.2f} Å", "FSC 0.143, over all directions"),
        Number(f"{by_direction['best_A']:.1f} to {by_direction['worst_A']:.1f} Å", "best and worst direction"),
        Number(f"{ratio:.2f}", "area ratio (cFAR)", tone),
        Number(f"{ball:.3f}", "sphericity", "good" if ball >= GOOD_SPHERICITY else "warn"),
        Number(f"{from_A} to {to_A} Å", "occupancy falls from 0.9 to 0.1; - not before Nyquist"),
        Number(f"{found['excess_variance']:.1f}", "spread over that by chance (variance)"),
    ]


def _curves_figure(result: DirectionalResolution) -> str:
    shells = by_shell(result)
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


def _sphere_figure(result: DirectionalResolution) -> str:
    """Resolution in Mollweide's projection; the lower hemisphere holds the opposite directions."""
    longitude = np.linspace(-np.pi, np.pi, COLUMNS + 1)
    latitude = np.linspace(-np.pi / 2, np.pi / 2, ROWS + 1)
    lat, lon = np.meshgrid((latitude[1:] + latitude[:-1]) / 2, (longitude[1:] + longitude[:-1]) / 2, indexing="ij")
    azimuth = np.where(lat < 0, lon + np.pi, lon)
    resolution = 1 / between_directions(result.crossings, result.conical.rings, np.pi / 2 - np.abs(lat), azimuth)
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


def _histogram_figure(result: DirectionalResolution) -> str:
    with rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(4.8, 3.2), layout="constrained")
        axis.hist(1 / result.crossings, bins=30, weights=100 * result.conical.rings.solid_angles, color=AFTER)
        for edge in result.by_chance_A or ():
            axis.axvline(edge, color=INK, lw=1.0, ls=(0, (4, 2)))
        axis.set(xlabel="resolution (Å)", ylabel="% of directions")
        return svg(figure, "Histogram of the resolution by direction")


def _slices_figure(result: DirectionalResolution) -> str:
    """Sections across z, y and x through the origin."""
    volume = result.conical.volume
    assert volume is not None
    centre = len(volume) // 2
    nyquist = result.conical.frequency[-1]
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
