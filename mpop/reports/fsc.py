"""The report of `mpop fsc` on half-maps: FSC curves, Guinier plot, the sharpened map."""

from __future__ import annotations

import numpy as np

from mpop.jobs.maps.finding import Finding, Numbers
from mpop.reports.page import Number, Page, Section, Verdict
from mpop.reports.report import Report, row
from mpop.words import angstrom

FITTED = "The line is fitted to the amplitudes weighted by their FSC; its slope gives the B-factor."
CURVES = ("frequency", "corrected", "unmasked", "masked", "randomised")
MASKS = {
    "given": "within the mask that was given",
    "species": "within the mask of the species",
    "found": "within a mask that was made from them (mask.mrc)",
    "none": "without a mask",
}


def lines(numbers: Numbers) -> list[str]:
    """Values and what they are."""
    fit, low_pass = numbers["b_factor_fit"], numbers["low_pass_A"]
    how = "" if fit is None else f", fitted from {fit['from_A']:.1f} to {fit['to_A']:.1f} A"
    rows = [
        (angstrom(numbers["resolution_A"]), "resolution: corrected FSC = 0.143"),
        (angstrom(numbers["resolution_at_half_A"]), "corrected FSC = 0.5"),
        (angstrom(numbers["resolution_unmasked_A"]), "FSC = 0.143 without a mask"),
        (angstrom(numbers["relion_final_resolution_A"]), "last whole shell above 0.143, as RELION counts"),
        (angstrom(numbers["randomised_from_A"]), "phases randomised from here on"),
        (f"{numbers['b_factor_A2']:.1f} A^2", f"B-factor{how}"),
    ]
    if numbers["b_factor_inside_mask_A2"] is not None:
        rows.append((f"{numbers['b_factor_inside_mask_A2']:.1f} A^2", "B-factor of what is inside the mask"))
    if low_pass is not None:
        rows.append((angstrom(low_pass), "low-pass of the map"))
    if numbers["mask"]["from"] == "found":
        rows.append(
            (f"{numbers['mask']['volume_A3'] / 1000:.0f} nm^3", "inside a mask that was made from the maps")
        )
    return [row(*one) for one in rows]


def curves(found: Finding) -> Numbers:
    """FSC and Guinier plot, null where nothing is left of the map."""
    measured = {name: found.arrays[name].tolist() for name in CURVES}
    guinier = {
        name.removeprefix("guinier_"): [None if np.isnan(value) else value for value in values.tolist()]
        for name, values in found.arrays.items()
        if name.startswith("guinier_")
    }
    return {"curves": measured, "guinier": guinier}


def page(found: Finding, footer: str = "") -> Page:
    """The page, not yet written."""
    said = found.numbers
    return Page(
        title=f"Resolution of {said['name']}",
        lead=f"Half-maps of {said['box']}³ voxels of {said['pixel_size_A']:g} Å, {MASKS[said['mask']['from']]}.",
        verdict=_verdict(said),
        numbers=_numbers(said),
        sections=_sections(found),
        footer=footer,
    )


def _verdict(said: Numbers) -> Verdict:
    resolution = said["resolution_A"]
    if resolution is None:
        return Verdict("bad", "The half-maps have no resolution.")
    if not said["doubts"]:
        return Verdict("good", f"The half-maps agree to {resolution:.2f} Å.")
    return Verdict("warn", f"The FSC says {resolution:.2f} Å, but look at this first:")


def _numbers(said: Numbers) -> list[Number]:
    fit = said["b_factor_fit"]
    how = "B-factor, as given or none"
    if fit is not None:
        how = f"B-factor, fitted from {fit['from_A']:.1f} to {fit['to_A']:.1f} Å"
    return [
        Number(_angstrom(said["resolution_A"]), "corrected FSC = 0.143"),
        Number(_angstrom(said["resolution_at_half_A"]), "corrected FSC = 0.5"),
        Number(_angstrom(said["resolution_unmasked_A"]), "FSC = 0.143 without a mask"),
        Number(_angstrom(said["relion_final_resolution_A"]), "last whole shell above 0.143, as RELION counts"),
        Number(_angstrom(said["randomised_from_A"]), "phases were randomised from here on"),
        Number(f"{said['b_factor_A2']:.0f} Å²", how),
    ]


def _angstrom(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} Å"


def _sections(found: Finding) -> list[Section]:
    from mpop.reports.drawn import fsc as draw

    said = found.numbers
    low_pass = "" if said["low_pass_A"] is None else f", low-passed at {said['low_pass_A']:.2f} Å"
    return [
        Section(
            "Fourier shell correlation and Guinier plot",
            "Corrected is the masked FSC without what the mask itself correlates. The dotted curve shows that: "
            "the same maps with random phases. It should be near zero where the corrected curve crosses 0.143.",
            [draw.fsc_figure(found), draw.guinier_figure(found)],
            ["", "" if said["b_factor_fit"] is None else FITTED],
        ),
        Section(
            "The map",
            "Right: map.mrc, weighted by its FSC, multiplied by exp(-B s²/4) with "
            f"B = {said['b_factor_A2']:.0f} Å²{low_pass}. The line is where the mask is one half.",
            [draw.slices(found)],
        ),
    ]


REPORT = Report("fsc", "fsc-report", lines, page, curves)
