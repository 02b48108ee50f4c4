"""Figures of a refinement report: before, after, and with the true parameters (green dashes)."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from mpop.jobs.evaluate import SpeciesEvaluation, Stages
from mpop.jobs.maps.slices import SHOWN_PART
from mpop.jobs.truth import WarpEvaluation
from mpop.reports.figures import (
    AFTER,
    BEFORE,
    INK,
    MORE_COLOURS,
    RULE,
    SCALE_BAR_A,
    STYLE,
    TRUTH,
    fsc_axes,
    svg,
)

LABELS = Stages("imported parameters", "refined", "true parameters")
LINES = Stages(
    {"color": BEFORE, "lw": 1.8},
    {"color": AFTER, "lw": 2.0},
    {"color": TRUTH, "lw": 1.8, "ls": (0, (4, 2))},
)


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
            fsc_axes(axis, float(curves.after.frequency[-1]), threshold)
            axis.set_title(title)
        axes[0].set_ylabel("FSC")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=3)
        return svg(figure, f"FSC curves of {species.name} before and after refinement")


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
    for field, colour, width in ((warp.planted_A, TRUTH, 0.024), (warp.recovered_A, AFTER, 0.011)):
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
            colour = (AFTER, *MORE_COLOURS)[number % (1 + len(MORE_COLOURS))]
            axis.plot(numbers, "o-", color=colour, label=name, lw=1.8, ms=4)
        axis.set(xlabel="iteration (0: imported half-maps)", ylabel="Resolution (Å)", ylim=(0, None))
        axis.set_xticks(range(max(map(len, steps.values()))))
        axis.legend()
        figure.tight_layout()
        return svg(figure, "Resolution after each iteration")
