"""Figures: what they draw, measured on the axes that matplotlib was given."""

from __future__ import annotations

from unittest.mock import patch

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from mpop.jobs.evaluate import Evaluation
from mpop.reports import plots


@pytest.fixture
def drawn() -> list[Figure]:
    """The figures that were turned into SVG while the test ran."""
    return []


@pytest.fixture(autouse=True)
def keep(drawn: list[Figure]):
    """Look at figures before they are closed."""
    close = plt.close
    with patch.object(plt, "close", lambda figure: (drawn.append(figure), close(figure))):
        yield


def test_ink_takes_the_colour_of_the_page(evaluation: Evaluation) -> None:
    text = plots.fsc_figure(evaluation.species[0])
    assert text.startswith("<svg") and text.rstrip().endswith("</svg>")
    assert plots.INK not in text
    assert text.count("currentColor") > 20
    assert "#000000" not in text and "#ffffff" not in text


def test_same_figure_same_bytes(evaluation: Evaluation) -> None:
    assert plots.warp_figure(evaluation.warps[0]) == plots.warp_figure(evaluation.warps[0])


def test_fsc_runs_in_frequency_and_is_labelled_in_angstrom(evaluation: Evaluation, drawn: list[Figure]) -> None:
    one = evaluation.species[0]
    plots.fsc_figure(one)
    truth, halves = drawn[0].axes
    assert truth.get_ylim()[0] == -0.1
    for tick, label in zip(halves.get_xticks(), halves.get_xticklabels(), strict=True):
        assert tick == pytest.approx(1 / float(label.get_text()))
    before, after, ceiling = (line for line in halves.lines if len(line.get_xdata()) > 2)
    np.testing.assert_array_equal(before.get_ydata(), one.half_maps.before.correlation)
    np.testing.assert_array_equal(after.get_ydata(), one.half_maps.after.correlation)
    np.testing.assert_array_equal(ceiling.get_ydata(), one.half_maps.ceiling.correlation)


def test_slices_share_one_grey_scale_and_one_place(evaluation: Evaluation, drawn: list[Figure]) -> None:
    one = evaluation.species[0]
    plots.slices_figure(one)
    images = [axis.images[0] for axis in drawn[0].axes]
    assert len(images) == 12
    assert len({image.get_clim() for image in images}) == 1
    box = one.truth_filtered.shape[0]
    first, last = box // 2 - int(0.3 * box), box // 2 + int(0.3 * box)
    across_y = one.truth_filtered[first:last, box // 2, first:last]
    np.testing.assert_allclose(np.asarray(images[7].get_array()), across_y)


def test_noise_does_not_dim_a_map(evaluation: Evaluation) -> None:
    truth = evaluation.species[0].truth_filtered
    noise = np.random.default_rng(0).normal(0, 0.05, truth.shape).astype(np.float32)
    assert plots._scale(truth / 7 + noise, truth) == pytest.approx(7.0, rel=0.05)


def test_arrows_are_the_warp(evaluation: Evaluation, drawn: list[Figure]) -> None:
    warp = evaluation.warps[0]
    plots.warp_figure(warp)
    *tilts, scatter = drawn[0].axes
    assert [axis.get_title(loc="left") for axis in tilts] == ["tilt -40°", "tilt 0°", "tilt 40°"]
    planted, recovered = tilts[1].collections[:2]
    np.testing.assert_array_equal(planted.U, warp.planted_A[15, ..., 0].ravel())
    np.testing.assert_array_equal(recovered.V, warp.recovered_A[15, ..., 1].ravel())
    np.testing.assert_array_equal(scatter.lines[1].get_xdata(), warp.planted_A.ravel())


def test_no_warp_planted_is_still_a_figure(evaluation: Evaluation) -> None:
    warp = evaluation.warps[0]
    still = type(warp)(warp.series, warp.tilt_deg, warp.lattice, 0 * warp.planted_A, 0 * warp.recovered_A)
    assert plots.warp_figure(still).startswith("<svg")


def test_iterations_without_resolution_leave_a_gap(drawn: list[Figure]) -> None:
    plots.progress_figure({"one": [19.0, None, 8.0], "two": [18.0, 9.0, 7.5]})
    line = drawn[0].axes[0].lines[0]
    np.testing.assert_array_equal(np.asarray(line.get_ydata(), dtype=float), [19.0, np.nan, 8.0])
    assert drawn[0].axes[0].get_ylim()[0] == 0
