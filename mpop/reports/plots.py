"""Figures of a refinement report, each as one inline SVG on a transparent ground.

Grey before, blue after, green dashes with the true parameters, everywhere. Frequencies run from low to high and
are labelled in angstrom, as the field reads them. Ink is drawn in `currentColor`, so that a page may be dark.
"""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mpop.jobs.evaluate import SpeciesEvaluation, Stages
from mpop.jobs.truth import WarpEvaluation
from mpop.maps.fsc import FSCCurve

BEFORE, AFTER, CEILING = "#8b93a1", "#3b82f6", "#16a34a"
MORE_SPECIES = ("#d97706", "#a855f7", "#0891b2", "#db2777")
LABELS = Stages("imported parameters", "refined", "true parameters")
LINES = Stages(
    {"color": BEFORE, "lw": 1.8},
    {"color": AFTER, "lw": 2.0},
    {"color": CEILING, "lw": 1.8, "ls": (0, (4, 2))},
)
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
SHOWN_PART = 0.6
"""Of the box that slices show: species boxes are twice the particle."""
SCALE_BAR_A = 50.0


def svg(figure: Figure, description: str) -> str:
    """The figure as SVG text without XML header or date, with a description for those who cannot see it."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    return text.replace("<svg", f'<svg role="img" aria-label="{html.escape(description)}"', 1)


def _three(stages: Stages) -> list:
    return [stages.before, stages.after, stages.ceiling]


def fsc_figure(species: SpeciesEvaluation) -> str:
    """FSC of the map against the true map, and of half-map against half-map."""
    panels = (
        ("Map against truth", species.to_truth, 0.5),
        ("Half-map against half-map", species.half_maps, 0.143),
    )
    with matplotlib.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(9.2, 3.4), sharey=True, layout="constrained")
        for axis, (title, curves, threshold) in zip(axes, panels, strict=True):
            for curve, line, label in zip(_three(curves), _three(LINES), _three(LABELS), strict=True):
                axis.plot(curve.frequency, curve.correlation, label=label, **line)
            fsc_axes(axis, curves.after, threshold)
            axis.set_title(title)
        axes[0].set_ylabel("FSC")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=3)
        return svg(figure, f"FSC curves of {species.name} before and after refinement")


def fsc_axes(axis: Axes, curve: FSCCurve, threshold: float) -> None:
    """Frequency axis with ticks in angstrom, and a line at the threshold."""
    last = float(curve.frequency[-1])
    axis.axhline(0, color=RULE, lw=0.8, zorder=0)
    axis.axhline(threshold, color=RULE, lw=0.8, ls=":", zorder=0)
    axis.text(0.004 * last, threshold + 0.015, f"{threshold:g}", fontsize=8)
    shown: list[float] = []
    for tick in RESOLUTION_TICKS_A:
        if 1 / tick <= last and (not shown or 1 / tick - 1 / shown[-1] > 0.06 * last):
            shown.append(tick)
    axis.set_xticks([1 / tick for tick in shown], [f"{tick:g}" for tick in shown])
    axis.set(xlim=(0, last), ylim=(-0.1, 1.03), xlabel="Resolution (Å)")


def slices_figure(species: SpeciesEvaluation) -> str:
    """Central slices across z, y and x of the maps, and of the truth filtered like the best of them."""
    truth = species.truth_filtered
    scale = _scale(species.maps.ceiling, truth)
    maps = [*_three(species.maps.map(lambda volume: scale * volume)), truth]
    box = truth.shape[0]
    reach = int(box * SHOWN_PART / 2)
    part = slice(box // 2 - reach, box // 2 + reach)
    low, high = np.percentile(truth[part, part, part], [0.5, 99.9])
    with matplotlib.rc_context(STYLE):
        figure, axes = plt.subplots(3, 4, figsize=(9.2, 7.0))
        for row, direction in enumerate("zyx"):
            for axis, volume, title in zip(
                axes[row], maps, (*_three(LABELS), "truth, filtered alike"), strict=True
            ):
                plane = np.take(volume, box // 2, axis=row)[part, part]
                axis.imshow(plane, cmap="gray", vmin=low, vmax=high, interpolation="bicubic", origin="lower")
                axis.set(xticks=[], yticks=[], title=title if row == 0 else "")
                axis.spines[:].set_visible(False)
            axes[row][0].set_ylabel(f"across {direction}")
        length = SCALE_BAR_A / species.pixel_size_A
        axes[0][0].plot([0.06 * reach, 0.06 * reach + length], [0.08 * reach] * 2, color="white", lw=3)
        axes[0][0].text(0.06 * reach, 0.13 * reach, f"{SCALE_BAR_A:g} Å", color="white", fontsize=9)
        figure.tight_layout(w_pad=0.3, h_pad=0.3)
        return svg(figure, f"Central slices of {species.name} before and after refinement, and of the truth")


def _scale(volume: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """The factor that brings the signal of volume = truth / factor + noise to the scale of the truth."""
    return float(np.square(truth).sum() / (volume * truth).sum())


def angles_figure(species: Sequence[SpeciesEvaluation]) -> str:
    """Where particles are seen from: rot against the cosine of tilt, equal areas for equal solid angles."""
    with matplotlib.rc_context(STYLE):
        figure, axes = plt.subplots(len(species), 1, figsize=(4.8, 2.3 * len(species)), squeeze=False)
        for axis, one in zip(axes[:, 0], species, strict=True):
            rot = (one.angles_deg[:, 0] + 180) % 360 - 180
            cosine = np.cos(np.deg2rad(one.angles_deg[:, 1]))
            extent = ((-180, 180), (-1, 1))
            counts, _, _, image = axis.hist2d(rot, cosine, bins=(18, 9), range=extent, cmap="Blues")
            image.set_clim(0, max(float(counts.max()), 1.0))
            axis.set(ylabel="cos tilt", title=f"{one.name}, {len(rot)} particles")
            axis.set_xticks([-180, -90, 0, 90, 180])
            bar = figure.colorbar(image, ax=axis, label="particles")
            bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        axes[-1, 0].set_xlabel("rot (°)")
        figure.tight_layout()
        return svg(figure, "Distribution of viewing directions")


def warp_figure(warp: WarpEvaluation) -> str:
    """Planted and recovered image warp of three tilts, and all lattice points of all tilts against each other."""
    n = len(warp.tilt_deg)
    chosen = sorted({n // 6, n // 2, n - 1 - n // 6})
    with matplotlib.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(chosen) + 1, figsize=(2.6 * (len(chosen) + 1), 3.0))
        for axis, tilt in zip(axes, chosen, strict=False):
            _warp_arrows(axis, warp, tilt)
        _warp_scatter(axes[-1], warp)
        figure.tight_layout(w_pad=1.2)
        return svg(figure, f"Planted and recovered image warp of {warp.series}")


def _warp_arrows(axis: Axes, warp: WarpEvaluation, tilt: int) -> None:
    """Arrows on the lattice; the longest of all tilts spans a quarter of the image."""
    longest = float(np.linalg.norm(warp.planted_A, axis=-1).max()) or 1.0
    x, y = np.meshgrid(warp.lattice, warp.lattice)
    for field, colour, width in ((warp.planted_A, CEILING, 0.024), (warp.recovered_A, AFTER, 0.011)):
        u, v = field[tilt, ..., 0], field[tilt, ..., 1]
        arrows = axis.quiver(
            x, y, u, v, color=colour, width=width, angles="xy", scale_units="xy", scale=4 * longest
        )
    length = float(f"{longest / 2:.0g}")
    axis.quiverkey(arrows, 0.8, -0.08, length, f"{length:g} Å", labelpos="E", labelcolor=INK)  # pyright: ignore[reportPossiblyUnboundVariable]
    axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=[], yticks=[])
    axis.set_title(f"tilt {warp.tilt_deg[tilt]:.0f}°")
    axis.spines[:].set_visible(True)


def _warp_scatter(axis: Axes, warp: WarpEvaluation) -> None:
    planted, recovered = warp.planted_A.ravel(), warp.recovered_A.ravel()
    reach = 1.05 * float(max(np.abs(planted).max(), np.abs(recovered).max(), 1e-3))
    axis.plot([-reach, reach], [-reach, reach], color=RULE, lw=1, zorder=0)
    axis.plot(planted, recovered, ".", ms=2.5, mew=0, color=AFTER, alpha=0.5, rasterized=True)
    axis.set(xlabel="planted (Å)", ylabel="recovered (Å)", aspect="equal", title="x and y, all tilts")
    axis.set(xlim=(-reach, reach), ylim=(-reach, reach))


def progress_figure(steps: dict[str, list[float | None]]) -> str:
    """Resolution of every species after each iteration; the first value is that of the imported half-maps."""
    with matplotlib.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(4.8, 3.2))
        for number, (name, values) in enumerate(steps.items()):
            numbers = np.array([np.nan if value is None else value for value in values])
            colour = (AFTER, *MORE_SPECIES)[number % (1 + len(MORE_SPECIES))]
            axis.plot(numbers, "o-", color=colour, label=name, lw=1.8, ms=4)
        axis.set(xlabel="iteration (0: imported half-maps)", ylabel="Resolution (Å)", ylim=(0, None))
        axis.set_xticks(range(max(map(len, steps.values()))))
        axis.legend()
        figure.tight_layout()
        return svg(figure, "Resolution after each iteration")
