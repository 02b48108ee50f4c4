"""What a species holds beside its half-maps: their filtered mean, and curves that say how well they agree."""

from __future__ import annotations

import numpy as np

from mpop.maps.filters import multiply_radially
from mpop.maps.fsc import FSCCurve, FSCReport, fsc_weights

FSC_COLUMNS = ("frequency", "corrected", "unmasked", "masked", "randomised")


def filtered_and_fsc(half1: np.ndarray, half2: np.ndarray, report: FSCReport) -> dict[str, np.ndarray]:
    """The arrays that follow from two half-maps: `filtered` (z, y, x), their mean weighted by
    sqrt(2 FSC / (1 + FSC)) up to the resolution; `fsc` (5, shells), rows as `FSC_COLUMNS`."""
    curve = report.corrected
    weights = fsc_weights(curve.correlation)
    if report.resolution_A is not None:
        weights = np.where(curve.frequency <= 1 / report.resolution_A, weights, 0.0)
    filtered = multiply_radially((half1 + half2) / 2, weights)
    return {"filtered": filtered, "fsc": fsc_rows(report)}


def fsc_rows(report: FSCReport) -> np.ndarray:
    """The curves of a report (5, shells), rows as `FSC_COLUMNS`."""
    curves = (report.corrected, report.unmasked, report.masked, report.phase_randomised)
    rows = [report.corrected.frequency, *(curve.correlation for curve in curves)]
    return np.stack(rows).astype(np.float64)


def report_of_rows(rows: np.ndarray, resolution_A: float | None, randomised_from: int) -> FSCReport:
    """Inverse of `fsc_rows`, with what is no curve."""
    frequency, *correlations = rows
    corrected, unmasked, masked, randomised = (FSCCurve(frequency, one) for one in correlations)
    return FSCReport(unmasked, masked, randomised, corrected, resolution_A, randomised_from)
