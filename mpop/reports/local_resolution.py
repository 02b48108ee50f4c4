"""The report on local resolution: coloured slices, the filtered map, and the histogram."""

from __future__ import annotations

from mpop.jobs.maps.finding import Finding, Numbers
from mpop.jobs.maps.resolution_colours import CHIMERAX_FILE
from mpop.reports.page import Number, Page, Section, Tone, Verdict
from mpop.reports.report import Report, row
from mpop.words import angstrom

UNRESOLVED_NOTICE = 0.02


def lines(numbers: Numbers) -> list[str]:
    """The verdict, and values with what they are."""
    if numbers["median_A"] is None:
        return [numbers["verdict"]]
    rows = [
        (angstrom(numbers["best_A"]), "best"),
        (angstrom(numbers["percentile_5_A"]), "5 %"),
        (angstrom(numbers["median_A"]), "median"),
        (angstrom(numbers["percentile_95_A"]), "95 %"),
        (angstrom(numbers["resolution_A"]), "of the whole, corrected FSC = 0.143"),
        (f"{100 * numbers['unresolved_fraction']:.1f} %", "of the mask is not resolved"),
    ]
    return [numbers["verdict"], *(row(*one) for one in rows)]


def page(found: Finding, footer: str = "") -> Page:
    """The page, not yet written."""
    from mpop.reports.drawn import local_resolution as draw

    said = found.numbers
    sections = [
        Section(
            "Slices by local resolution",
            "The filtered map, coloured by what is resolved there; grey is solvent, or not resolved. "
            f"In ChimeraX, open {CHIMERAX_FILE}: it colours the surface in the same colours.",
            [draw.coloured_slices(found)],
            [""],
        ),
        Section(
            "Filtered map",
            "Every place low-passed at its local resolution and weighted by its local FSC. Each has a grey scale "
            "of its own; the line is the mask.",
            [draw.slices(found)],
            [""],
        ),
    ]
    if said["median_A"] is not None:
        text = f"Voxels of the mask by the resolution where their local FSC is {said['threshold']:g}."
        sections.insert(1, Section("Histogram", text, [draw.histogram(found)], [""]))
    return Page(
        f"Local resolution of {said['name']}",
        f"Half-maps of {said['box']}³ voxels of {said['pixel_size_A']:g} Å; local FSC {said['threshold']:g}.",
        _verdict(said),
        _headline(said),
        sections,
        footer,
    )


def _verdict(numbers: Numbers) -> Verdict:
    sentence = numbers["verdict"]
    if numbers["median_A"] is None:
        return Verdict("bad", sentence)
    if numbers["unresolved_fraction"] <= UNRESOLVED_NOTICE:
        return Verdict("good", sentence)
    part = 100 * numbers["unresolved_fraction"]
    return Verdict("warn", sentence, [f"{part:.0f} % of the mask is not resolved: solvent, or a part that moves."])


def _headline(numbers: Numbers) -> list[Number]:
    if numbers["median_A"] is None:
        return []
    unresolved: Tone = "good" if numbers["unresolved_fraction"] <= UNRESOLVED_NOTICE else "warn"
    whole = numbers["resolution_A"]
    return [
        Number(f"{numbers['median_A']:.2f} Å", "median"),
        Number(f"{numbers['percentile_5_A']:.2f} Å", "best 5 % of the mask"),
        Number(f"{numbers['percentile_95_A']:.2f} Å", "all but the worst 5 %"),
        Number("-" if whole is None else f"{whole:.2f} Å", "whole map, corrected FSC 0.143"),
        Number(f"{100 * numbers['unresolved_fraction']:.1f} %", "of the mask not resolved", unresolved),
    ]


REPORT = Report("local-resolution", "local-resolution", lines, page)
