"""The report of `mpop denoise`: the map before and after, what was removed, and whether that was noise."""

from __future__ import annotations

from collections.abc import Iterator

from mpop.jobs.maps.finding import Finding, Numbers
from mpop.jobs.maps.verdict import Verdict
from mpop.reports.page import Number, Page, Section
from mpop.reports.report import Report
from mpop.words import angstrom


def lines(found: Numbers) -> list[str]:
    """The verdict, why, and how."""
    lines = [found["verdict"], *(f"  {reason}" for reason in found["reasons"])]
    networks = f"networks {found['networks']}"
    if found["continued"]:
        networks += ", trained further from the last"
    elif found["replaced"] is not None:
        networks += f", trained anew in place of the {found['replaced']} ones that it had"
    lines.append(f"Resolution of the half-maps {angstrom(found['resolution_A'])}, {networks}")
    return lines


def curves(found: Finding) -> Numbers:
    """By shell."""
    frequency = found.frequency("fsc_before").tolist()
    by_shell = {name: found.arrays[name].tolist() for name in ("fsc_before", "fsc_after", "power")}
    return {"curves": {"frequency": frequency, **by_shell}}


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


def _numbers(said: Numbers) -> list[Number]:
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
    from mpop.reports.drawn import denoise as draw

    yield Section(
        "The map in three directions",
        "The mean of the half-maps as it was; weighted by its FSC up to the resolution, which is what a filter "
        "without places can do; denoised; and what was removed from the first to the third. That should look like "
        "noise and show no part of the particle. The same grey is the same density; the line is where the mask is "
        "one half.",
        [draw.slices(found)],
        [""],
    )
    yield Section(
        "Agreement and spectra",
        "Left: the FSC of the half-maps as they were gives the resolution; between the denoised ones it does not, "
        "since both were cut to one shape. Right: mean power within the mask.",
        [draw.agreement(found), draw.spectra(found)],
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


REPORT = Report("denoise", "denoise-report", lines, page, curves)
