"""The report on viewing directions: where images look from, what they measure, and how far that carries."""

from __future__ import annotations

from mpop.jobs.maps.finding import Finding, Numbers
from mpop.maps.conventions import EMPTY_TOLERANCE, SIDE_VIEWS_SCF
from mpop.reports.page import Number, Page, Section, Tone, Verdict
from mpop.reports.report import Report
from mpop.words import counted


def lines(numbers: Numbers) -> list[str]:
    """The verdict, and the figures."""
    rot, tilt = numbers["least_sampled_direction"]
    images = counted(numbers["images"], "image")
    if numbers["images"] != numbers["particles"]:
        images += f" of {counted(numbers['particles'], 'particle')}"
    return [
        numbers["verdict"],
        f"  {images}, {numbers['symmetry']}, shell at {numbers['shell_A']:.2f} A",
        f"  sampling / mean   {numbers['sampling_lowest']:.2f} to {numbers['sampling_highest']:.2f}, "
        f"lowest at rot {rot:.0f}, tilt {tilt:.0f}",
        f"  SCF*              {numbers['scf_star']:.3f}   (even views 1, side views alone 0.81)",
        f"  in no image       {100 * numbers['empty_fraction']:.1f} %",
        f"  efficiency E_od   {numbers['efficiency']:.3f}   (even views 1)",
        f"  point spread      {numbers['psf_best_A']:.2f} to {numbers['psf_worst_A']:.2f} A, "
        f"mean {numbers['psf_mean_A']:.2f} A",
    ]


def page(found: Finding, footer: str = "") -> Page:
    """The page, not yet written."""
    from mpop.reports.drawn import orientations as draw

    numbers, arrays = found.numbers, found.arrays
    images = f"{numbers['images']} images"
    if numbers["particles"] != numbers["images"]:
        images += f" of {numbers['particles']} particles"
    lead = (
        f"{images}, {numbers['symmetry']}, {numbers['diameter_A']:g} Å across. Figures are for the shell at "
        f"{numbers['shell_A']:.2f} Å. They follow from directions alone: empty images count like any other."
    )
    return Page(
        f"Orientations of {numbers['name']}",
        lead,
        Verdict("good" if numbers["even"] else "warn", numbers["verdict"], _reasons(numbers)),
        _headline(numbers),
        [
            Section(
                "Viewing directions",
                "Where images look from, as the table has them: longitude is rot, latitude 90° - tilt. "
                "Cells have equal areas.",
                [draw.directions(arrays["views_on_sphere"])],
                [""],
            ),
            Section(
                "Fourier sampling",
                "How many images measure each direction of the shell, symmetry included, relative to the mean. "
                "Blank: none. An image measures the great circle at right angles to where it looks from.",
                [
                    draw.on_sphere(arrays["sampling_on_sphere"], "sampling / mean", log=True),
                    draw.sampling(arrays["sampling"]),
                ],
                ["", "Area of the shell by its sampling; the dashed line is the mean."],
            ),
            Section(
                "Point spread function",
                "How far the image of a point reaches by direction, down to 1/e² of its height, "
                f"with a B-factor of {numbers['bfactor_A2']:g} Å². Long is blurred.",
                [draw.on_sphere(arrays["psf_on_sphere_A"], "extent (Å)")],
                [""],
            ),
        ],
        footer,
    )


def _headline(numbers: Numbers) -> list[Number]:
    even: Tone = "good" if numbers["scf_star"] >= SIDE_VIEWS_SCF else "warn"
    empty: Tone = "good" if numbers["empty_fraction"] <= EMPTY_TOLERANCE else "bad"
    return [
        Number(f"{numbers['scf_star']:.2f}", f"SCF*; side views alone give {SIDE_VIEWS_SCF}", even),
        Number(f"{100 * numbers['empty_fraction']:.1f} %", "of the shell is in no image", empty),
        Number(f"{numbers['sampling_lowest']:.2f} to {numbers['sampling_highest']:.1f}", "sampling / mean"),
        Number(f"{numbers['efficiency']:.2f}", "efficiency E_od; even views give 1"),
        Number(f"{numbers['psf_best_A']:.1f} to {numbers['psf_worst_A']:.1f} Å", "extent of a point by direction"),
    ]


def _reasons(numbers: Numbers) -> list[str]:
    rot, tilt = numbers["least_sampled_direction"]
    lines = [f"The least sampled direction is at rot {rot:.0f}°, tilt {tilt:.0f}° of the map."]
    if numbers["scf"] > 0:
        lines.append(
            f"As much signal as from these images would come from {100 * numbers['scf']:.0f} % as many even views."
        )
    else:
        lines.append("More images of the same views do not fill the gap; other views would: tilt the stage.")
    return lines


REPORT = Report("orientations", "orientations", lines, page)
