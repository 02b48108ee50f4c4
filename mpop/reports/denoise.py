"""The report of `mpop denoise`: the map before and after, what was removed, and whether that was noise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mpop.jobs.maps.denoise import Finding
from mpop.jobs.maps.verdict import Verdict
from mpop.maps.filters import low_pass
from mpop.maps.fsc import THRESHOLD
from mpop.reports.figures import AFTER, BEFORE, MORE_COLOURS
from mpop.reports.map_figures import Curve, fsc_figure, slices_figure, spectra_figure
from mpop.reports.page import Number, Page, Section, write_page

LOW_PASSED = MORE_COLOURS[0]


def write_report(directory: Path, found: Finding, footer: str = "") -> Path:
    """Write report.html and report.json; returns the path of the page."""
    return write_page(directory, page(found, footer), data(found))


def data(found: Finding) -> dict[str, Any]:
    """The content of report.json: the numbers of `--json`, and the curves."""
    curves = {key: values.tolist() for key, values in found.arrays.items() if values.ndim < 3}
    frequency = _frequency(found).tolist()
    return {"schema": "mpop.denoise-report/v1", **found.numbers, "curves": {"frequency": frequency, **curves}}


def page(found: Finding, footer: str = "") -> Page:
    """The page, not yet written."""
    said = found.numbers
    return Page(
        title=f"Denoising of {said['name']}",
        lead=f"Half-maps of {said['box']}³ voxels of {said['pixel_size_A']:g} Å, networks {said['networks']}.",
        verdict=Verdict(said["tone"], said["verdict"], said["reasons"]),
        numbers=_numbers(said),
        sections=list(_sections(found)),
        footer=footer,
    )


def _numbers(said: dict[str, Any]) -> list[Number]:
    resolution = said["resolution_A"]
    numbers = [
        Number("-" if resolution is None else f"{resolution:.2f} Å", "resolution of the half-maps"),
        Number(f"{said['limit_A']:.2f} Å", "finest detail that was looked at"),
    ]
    if said["error_denoised"] is not None:
        before, after = 100 * said["error_low_passed"], 100 * said["error_denoised"]
        tone = "good" if after <= before else "bad"
        numbers.append(Number(f"{before:.1f} → {after:.1f} %", "estimated error, low-passed → denoised", tone))
    steps = sum(course["steps"][-1] for course in said["training"])
    numbers.append(
        Number(str(steps), "training steps, from an earlier network" if said["continued"] else "training steps")
    )
    return numbers


def _sections(found: Finding) -> Iterator[Section]:
    yield Section(
        "The map in three directions",
        "The mean of the half-maps as it was; weighted by its FSC up to the resolution, which is what a filter "
        "without places can do; denoised; and what was removed from the first to the third. That should look like "
        "noise and show no part of the particle. The same grey is the same density; the line is where the mask is "
        "one half.",
        [_slices(found)],
        [""],
    )
    yield Section(
        "Agreement and spectra",
        "Left: the FSC of the half-maps as they were gives the resolution; between the denoised ones it does not, "
        "since both were cut to one shape. Right: mean power within the mask.",
        [_agreement(found), _spectra(found)],
        ["", ""],
    )
    yield Section(
        "Training", "Loss against the other half-map; the noise of that one stays in it.", [], [], _losses(found)
    )


def _losses(found: Finding) -> list[list[str]]:
    rows = [["network", "steps", "loss at the beginning", "at the end"]]
    names = ["half-map 1", "half-map 2"] if len(found.numbers["training"]) == 2 else ["both half-maps"]
    for name, course in zip(names, found.numbers["training"], strict=True):
        first, last = course["losses"][0], course["losses"][-1]
        rows.append([name, str(course["steps"][-1]), f"{first:.4f}", f"{last:.4f}"])
    return rows


def _slices(found: Finding) -> str:
    maps, denoised = found.maps, found.arrays["map"]
    mask = maps.required_mask()
    before = low_pass((maps.half1 + maps.half2) / 2, maps.pixel_size_A, found.numbers["limit_A"])
    shown = {
        "as it was": before,
        "low-passed": found.arrays["low_pass"],
        "denoised": denoised,
        "removed": (before - denoised) * mask,
    }
    return slices_figure(shown, maps.pixel_size_A, "Central slices before and after, and what was removed", mask)


def _frequency(found: Finding) -> np.ndarray:
    return np.arange(len(found.arrays["fsc_before"])) / (found.maps.box * found.maps.pixel_size_A)


def _agreement(found: Finding) -> str:
    frequency = _frequency(found)
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


def _spectra(found: Finding) -> str:
    frequency = _frequency(found)
    labels = (("as it was", BEFORE), ("low-passed", LOW_PASSED), ("denoised", AFTER))
    curves = [
        Curve(label, frequency, values, {"color": colour, "lw": 1.6})
        for (label, colour), values in zip(labels, found.arrays["power"], strict=True)
    ]
    return spectra_figure(curves, "Spectra of the mean")
