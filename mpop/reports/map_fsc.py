"""The report of `mpop fsc --model` and `--map`: how far a map agrees with something else."""

from __future__ import annotations

from mpop.jobs.maps.finding import Finding, Numbers, reference_of
from mpop.reports.page import Number, Page, Section, Verdict
from mpop.reports.report import Report, row
from mpop.words import angstrom

MASKS = {"given": "within the mask that was given", "model": "within 3 Å of the model", "none": "without a mask"}


def lines(numbers: Numbers) -> list[str]:
    """Values and what they are."""
    return [
        row(angstrom(numbers["resolution_at_half_A"]), f"FSC with the {reference_of(numbers)[0]} = 0.5"),
        row(angstrom(numbers["resolution_at_half_unmasked_A"]), "FSC = 0.5 without a mask"),
    ]


def curves(found: Finding) -> Numbers:
    """FSC by shell."""
    return {"curves": {name: values.tolist() for name, values in found.arrays.items()}}


def page(found: Finding, footer: str = "") -> Page:
    """The page, not yet written."""
    from mpop.reports.drawn.map_fsc import fsc

    said = found.numbers
    against, other = reference_of(said)
    return Page(
        title=f"{said['name']} against {other}",
        lead=f"A map of {said['box']}³ voxels of {said['pixel_size_A']:g} Å, {MASKS[said['mask']['from']]}.",
        verdict=_verdict(against, said["resolution_at_half_A"]),
        numbers=[
            Number(_angstrom(said["resolution_at_half_A"]), "FSC = 0.5"),
            Number(_angstrom(said["resolution_A"]), "FSC = 0.143"),
            Number(_angstrom(said["resolution_at_half_unmasked_A"]), "FSC = 0.5 without a mask"),
        ],
        sections=[
            Section(
                "Fourier shell correlation",
                "A map with noise against something without: 0.5 here means what 0.143 means between half-maps.",
                [fsc(found)],
            )
        ],
        footer=footer,
    )


def _verdict(against: str, reached: float | None) -> Verdict:
    if reached is None:
        return Verdict("bad", f"The map does not agree with the {against}.")
    return Verdict("good", f"The map agrees with the {against} to {reached:.2f} Å.")


def _angstrom(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} Å"


REPORT = Report("map-fsc", "map-fsc-report", lines, page, curves)
