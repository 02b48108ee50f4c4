"""Figures of `mpop denoise`."""

from __future__ import annotations

from mpop.jobs.maps.finding import Finding
from mpop.jobs.maps.slices import Slices
from mpop.reports.figures import AFTER, BEFORE, MORE_COLOURS
from mpop.reports.map_figures import Curve, fsc_figure, slices_figure, spectra_figure
from mpop_hooks.fsc_end import THRESHOLD

LOW_PASSED = MORE_COLOURS[0]


def slices(found: Finding) -> str:
    """The mean as it was, low-passed, denoised, and what was removed."""
    titles = {"as it was": "before", "low-passed": "low_pass", "denoised": "map", "removed": "removed"}
    return slices_figure(
        {title: Slices.named(found.arrays, name) for title, name in titles.items()},
        found.numbers["pixel_size_A"],
        "Central slices before and after, and what was removed",
        Slices.named(found.arrays, "mask"),
    )


def agreement(found: Finding) -> str:
    """FSC of the half-maps, before and after."""
    frequency = found.frequency("fsc_before")
    return fsc_figure(
        [
            Curve("half-maps", frequency, found.arrays["fsc_before"], {"color": BEFORE, "lw": 1.8}),
            Curve(
                "denoised", frequency, found.arrays["fsc_after"], {"color": AFTER, "lw": 1.5, "ls": (0, (4, 2))}
            ),
        ],
        THRESHOLD,
        "Half-map against half-map",
    )


def spectra(found: Finding) -> str:
    """Power of the mean by shell, before and after."""
    frequency = found.frequency("fsc_before")
    labels = (("as it was", BEFORE), ("low-passed", LOW_PASSED), ("denoised", AFTER))
    curves = [
        Curve(label, frequency, values, {"color": colour, "lw": 1.6})
        for (label, colour), values in zip(labels, found.arrays["power"], strict=True)
    ]
    return spectra_figure(curves, "Spectra of the mean")
