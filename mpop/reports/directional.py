"""The report of `mpop fsc3d`: curves by direction, resolution on the sphere, slices of the 3DFSC."""

from __future__ import annotations

from mpop.jobs.maps.finding import Finding, Numbers
from mpop.maps.conventions import STRONG_AREA_RATIO
from mpop.reports.page import Number, Page, Section, Tone, Verdict
from mpop.reports.report import Report, row
from mpop.words import angstrom

GOOD_SPHERICITY, GOOD_AREA_RATIO = 0.95, 0.7


def lines(numbers: Numbers) -> list[str]:
    """The verdict, why, and values with what they are."""
    found = [numbers["verdict"], *(f"  {reason}" for reason in numbers["reasons"])]
    if "by_direction" in numbers:
        by_direction = numbers["by_direction"]
        rows = [
            (angstrom(numbers["resolution_A"]), "resolution: FSC = 0.143, over all directions"),
            (angstrom(by_direction["best_A"]), "in the best direction"),
            (angstrom(by_direction["worst_A"]), "in the worst"),
            (f"{numbers['sphericity']:.3f}", "sphericity at FSC = 0.5"),
            (f"{numbers['area_ratio']:.3f}", "area ratio of conical FSCs (cFAR)"),
            (angstrom(numbers["occupancy_90_A"]), "occupancy (FSO) falls below 0.9"),
            (angstrom(numbers["occupancy_10_A"]), "and below 0.1; - not before Nyquist"),
        ]
        found += [row(*one) for one in rows]
    return found


def page(found: Finding, footer: str = "") -> Page:
    """The page, not yet written."""
    from mpop.reports.drawn import directional as draw

    said = found.numbers
    within = "within the mask" if said["masked"] else "without a mask"
    lead = (
        f"Half-maps of {said['box']}³ voxels of {said['pixel_size_A']:g} Å, {within}. FSC inside double cones of "
        f"{said['half_angle_deg']:g}° around {said['directions']} directions of a hemisphere; the other one is "
        "its mirror image."
    )
    sections = [
        Section(
            "Curves by direction",
            "Thick: mean over directions. Band: one standard deviation to either side. Thin: least and greatest. "
            "Dotted: how far directions of isotropic maps would spread, one standard deviation. Right: the part "
            "of all directions still above 0.143. It falls in one step where a map is isotropic; shaded where, by "
            "Bingham's test, the directions left are not evenly spread.",
            [draw.curves(found)],
        )
    ]
    if "area_ratio" in said:
        sections.append(
            Section(
                "Resolution on the sphere",
                "Equal areas are equal solid angles; directions of the map's Fourier transform, z up. A preferred "
                "view from z leaves z itself poorly resolved.",
                [draw.on_sphere(found), draw.histogram(found)],
                ["Where the FSC of each direction falls below 0.143.", "Dashed: what isotropic maps would span."],
            )
        )
    sections.append(
        Section(
            "The 3DFSC",
            "Central sections of fsc3d.mrc, from the origin to Nyquist. Lines: 0.5 (white) and 0.143 (black).",
            [draw.sections(found)],
        )
    )
    return Page(
        f"Directional resolution of {said['name']}", lead, _verdict(said), _headline(said), sections, footer
    )


def _verdict(said: Numbers) -> Verdict:
    tone: Tone = "warn"
    if not said["significant"]:
        tone = "good" if "area_ratio" in said else "bad"
    elif said["area_ratio"] < STRONG_AREA_RATIO:
        tone = "bad"
    return Verdict(tone, said["verdict"], said["reasons"])


def _headline(found: Numbers) -> list[Number]:
    if "area_ratio" not in found:
        return []
    ratio, ball, by_direction = found["area_ratio"], found["sphericity"], found["by_direction"]
    tone: Tone = "good" if ratio >= GOOD_AREA_RATIO else "warn" if ratio >= STRONG_AREA_RATIO else "bad"
    occupied = [found["occupancy_90_A"], found["occupancy_10_A"]]
    from_A, to_A = ("-" if one is None else f"{one:.1f}" for one in occupied)
    return [
        Number(f"{found['resolution_A']:.2f} Å", "FSC 0.143, over all directions"),
        Number(f"{by_direction['best_A']:.1f} to {by_direction['worst_A']:.1f} Å", "best and worst direction"),
        Number(f"{ratio:.2f}", "area ratio (cFAR)", tone),
        Number(f"{ball:.3f}", "sphericity", "good" if ball >= GOOD_SPHERICITY else "warn"),
        Number(f"{from_A} to {to_A} Å", "occupancy falls from 0.9 to 0.1; - not before Nyquist"),
        Number(f"{found['excess_variance']:.1f}", "spread over that by chance (variance)"),
    ]


REPORT = Report("fsc3d", "fsc3d", lines, page)
