"""The report of `mpop correct`: what was inferred, whether it is supported, and whether the data still hold."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mpop.jobs.maps.finding import Finding, Numbers
from mpop.jobs.maps.verdict import Tone, Verdict
from mpop.maps.conventions import CONSISTENT, TRUSTED
from mpop.reports.page import Number, Page, Section
from mpop.reports.report import Report
from mpop.words import angstrom

CURVES = ("conical_before", "conical_after", "chi2", "power", "held_out")


def lines(found: Numbers) -> list[str]:
    """The verdict, why, and how."""
    lines = [found["verdict"], *(f"  {reason}" for reason in found["reasons"])]
    if found["corrected"]:
        lines.append(f"Corrected to {angstrom(found['limit_A'])}, half-sets {found['half_sets']}")
    return lines


def curves(found: Finding) -> Numbers:
    """By shell; null where there is nothing to say."""
    frequency = found.frequency("conical_before").tolist()
    by_shell = {name: _plain(found.arrays[name]) for name in CURVES if name in found.arrays}
    return {"curves": {"frequency": frequency, **by_shell}}


def _plain(values: NDArray[np.floating]) -> list[list[float | None]]:
    return [[None if np.isnan(value) else value for value in row] for row in values.tolist()]


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


def _numbers(said: Numbers) -> list[Number]:
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
    from mpop.reports.drawn import correct as draw

    yield Section(
        "The map in three directions",
        "Means of the half-maps, low-passed at the limit of the correction. The line is where the mask is one "
        "half; the same grey is the same density.",
        [draw.slices(found)],
        [""],
    )
    if "held_out" in found.arrays:
        yield Section(
            "Is what was inferred true?",
            "Measurements in as many other directions were withheld, inferred by the same correction, and "
            "compared with the half-map that was not used. The curve estimates the correlation with the truth; "
            f"where it stays above {TRUSTED:g}, inferred content may be interpreted.",
            [draw.held_out(found)],
            ["What a gap leaves by itself is grey."],
        )
    if found.numbers["corrected"]:
        yield Section(
            "Half-map against half-map, by direction",
            "Median of all directions, and the range from the worst to the best. After the correction this says "
            "how reproducible the half-maps are, not how true: what both inferred in one way agrees as well.",
            [draw.by_direction(found)],
            [""],
        )
        yield Section(
            "Do the data still hold, and what was added?",
            "Left: what the corrected half-maps, filtered back, leave of the data, in units of the noise; at most "
            "about 1 where the data were good. Right: mean power of measured and of inferred coefficients.",
            [draw.consistency(found), draw.spectra(found)],
            ["", "Where the density is alike in all directions, inferred power should come up to the measured."],
        )
        yield Section(
            "Where is it measured, where inferred?",
            "Central slices of support.mrc: 1 where a Fourier coefficient is known from data, 0 where inferred.",
            [draw.support(found)],
            ["Directions in Fourier space: content along z in the map is along z here."],
        )
    if any(course["steps"] for course in found.numbers["training"]):
        yield Section(
            "Training",
            "Loss of each network, and on cubes that it never saw; the network that did best on those was kept.",
            [draw.training(found)],
            [""],
        )


REPORT = Report("correct", "correct-report", lines, page, curves)
