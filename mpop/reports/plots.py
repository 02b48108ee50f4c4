"""Figures of a refinement report, each as one inline SVG.

Colours: grey before, blue after, green with the true parameters. Frequencies run from low to high and are
labelled in angstrom, as the field reads them.
"""

from __future__ import annotations

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

from mpop.jobs.evaluate import SpeciesEvaluation, Stages, WarpEvaluation
from mpop.maps.fsc import FSCCurve

BEFORE, AFTER, CEILING = "#8a8f98", "#1f6feb", "#1a9850"
LABELS = ("imported parameters", "refined", "true parameters")
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "legend.frameon": False,
    "svg.hashsalt": "mpop",
    "svg.fonttype": "path",
    "figure.dpi": 100,
}
RESOLUTION_TICKS_A = (40, 20, 15, 12, 10, 8, 7, 6, 5, 4, 3.5, 3, 2.5, 2)


def _svg(figure: Figure) -> str:
    """The figure as SVG text without XML header, dates or identifiers of its own."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    plt.close(figure)
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _stages(stages: Stages) -> list:
    return [stages.before, stages.after, stages.ceiling]


def fsc_figure(species: SpeciesEvaluation) -> str:
    """FSC to the true map, and of the half-maps."""
    panels = (
        ("Map against truth", species.to_truth, 0.5),
        ("Half-map against half-map", species.half_maps, 0.143),
    )
    with matplotlib.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(9.2, 3.3), sharey=True)
        for axis, (title, curves, threshold) in zip(axes, panels, strict=True):
            _fsc_axes(axis, curves, title, threshold)
        axes[0].set_ylabel("FSC")
        axes[0].legend(loc="lower left", fontsize=9)
        return _svg(figure)


def _fsc_axes(axis: Axes, curves: Stages[FSCCurve], title: str, threshold: float) -> None:
    for curve, colour, label in zip(_stages(curves), (BEFORE, AFTER, CEILING), LABELS, strict=True):
        style = "--" if label == LABELS[2] else "-"
        axis.plot(curve.frequency, curve.correlation, style, color=colour, lw=1.8, label=label)
    last = float(curves.after.frequency[-1])
    axis.axhline(0, color="#cccccc", lw=0.8, zorder=0)
    axis.axhline(threshold, color="#cccccc", lw=0.8, ls=":", zorder=0)
    axis.text(last, threshold + 0.015, f"{threshold:g}", ha="right", fontsize=8, color="#777777")
    shown: list[float] = []
    for tick in RESOLUTION_TICKS_A:
        if 1 / tick <= last and (not shown or 1 / tick - 1 / shown[-1] > 0.06 * last):
            shown.append(tick)
    axis.set_xticks([1 / tick for tick in shown], [f"{tick:g}" for tick in shown])
    axis.set(xlim=(0, last), ylim=(-0.1, 1.03), xlabel="Resolution (Å)", title=title)


def slices_figure(species: SpeciesEvaluation) -> str:
    """Central slices along z, y and x of the maps and of the truth, on one grey scale."""
    truth = species.truth
    maps = [_scaled(volume, truth) for volume in _stages(species.maps)] + [truth]
    box = truth.shape[0]
    part = slice(box // 2 - int(box * 0.3), box // 2 + int(box * 0.3))
    low, high = np.percentile(truth[part, part, part], [1.0, 99.7])
    with matplotlib.rc_context(STYLE):
        figure, axes = plt.subplots(3, 4, figsize=(9.2, 7.0))
        for row, direction in enumerate("zyx"):
            for axis, volume, title in zip(axes[row], maps, (*LABELS, "truth"), strict=True):
                plane = np.take(volume, box // 2, axis=row)[part, part]
                axis.imshow(plane, cmap="gray", vmin=low, vmax=high, interpolation="bicubic", origin="lower")
                axis.set_xticks([])
                axis.set_yticks([])
                axis.spines[:].set_visible(False)
                if row == 0:
                    axis.set_title(title)
            axes[row][0].set_ylabel(f"across {direction}")
        axes[0][0].plot([3, 3 + 50.0 / species.pixel_size_A], [2.5, 2.5], color="white", lw=3)
        axes[0][0].text(3, 4.5, "50 Å", color="white", fontsize=9)
        figure.tight_layout(w_pad=0.3, h_pad=0.3)
        return _svg(figure)


def _scaled(volume: NDArray[np.float32], truth: NDArray[np.float32]) -> NDArray[np.float32]:
    """The map on the scale of the truth."""
    return volume * float((volume * truth).sum() / np.square(volume).sum())


def angles_figure(species: Sequence[SpeciesEvaluation]) -> str:
    """Where particles are seen from: rot against the cosine of tilt, equal areas for equal solid angles."""
    with matplotlib.rc_context(STYLE):
        figure, axes = plt.subplots(len(species), 1, figsize=(4.8, 2.6 * len(species)), squeeze=False)
        for axis, one in zip(axes[:, 0], species, strict=True):
            rot = (one.angles_deg[:, 0] + 180) % 360 - 180
            cosine = np.cos(np.deg2rad(one.angles_deg[:, 1]))
            counts, _, _, image = axis.hist2d(
                rot, cosine, bins=(18, 9), range=((-180, 180), (-1, 1)), cmap="Blues"
            )
            image.set_clim(0, max(float(counts.max()), 1.0))
            axis.set(xlabel="rot (°)", ylabel="cos tilt", title=f"{one.name}: {len(rot)} particles")
            axis.set_xticks([-180, -90, 0, 90, 180])
            figure.colorbar(image, ax=axis, label="particles")
        figure.tight_layout()
        return _svg(figure)


def warp_figure(warp: WarpEvaluation) -> str:
    """Planted and recovered image warp of three tilts, and all nodes of all tilts against each other."""
    n = len(warp.tilt_deg)
    chosen = sorted({n // 6, n // 2, n - 1 - n // 6})
    grid_x, grid_y = np.meshgrid(warp.lattice, warp.lattice)
    with matplotlib.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(chosen) + 1, figsize=(3.1 * (len(chosen) + 1), 3.2))
        for axis, tilt in zip(axes, chosen, strict=False):
            for field, colour, width in ((warp.planted_A, CEILING, 0.016), (warp.recovered_A, AFTER, 0.008)):
                axis.quiver(
                    grid_x,
                    grid_y,
                    field[tilt, ..., 0],
                    field[tilt, ..., 1],
                    color=colour,
                    width=width,
                    angles="xy",
                    scale_units="xy",
                    scale=70,
                )
            axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", title=f"tilt {warp.tilt_deg[tilt]:.0f}°")
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(True)
        planted, recovered = warp.planted_A.ravel(), warp.recovered_A.ravel()
        reach = 1.05 * float(max(np.abs(planted).max(), np.abs(recovered).max()))
        last = axes[-1]
        last.plot([-reach, reach], [-reach, reach], color="#cccccc", lw=1, zorder=0)
        last.plot(planted, recovered, ".", ms=2, color=AFTER, alpha=0.5, rasterized=True)
        last.set(xlabel="planted (Å)", ylabel="recovered (Å)", aspect="equal", title="all tilts")
        last.set(xlim=(-reach, reach), ylim=(-reach, reach))
        figure.tight_layout()
        return _svg(figure)


def progress_figure(steps: dict[str, list[float | None]]) -> str:
    """Resolution of every species after each iteration; the first value is that of the imported half-maps."""
    with matplotlib.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(4.8, 3.4))
        for (name, values), colour in zip(steps.items(), (AFTER, CEILING, "#d9822b", "#8250df"), strict=False):
            numbers = [np.nan if value is None else value for value in values]
            axis.plot(range(len(numbers)), numbers, "o-", color=colour, label=name, lw=1.8, ms=4)
            axis.annotate(
                f"{numbers[-1]:.1f} Å",
                (len(numbers) - 1, numbers[-1]),
                xytext=(-6, 7),
                textcoords="offset points",
                fontsize=9,
            )
        axis.set(xlabel="iteration", ylabel="resolution (Å)", ylim=(0, None))
        axis.set_xticks(range(max(map(len, steps.values()))))
        axis.legend(fontsize=9)
        return _svg(figure)
