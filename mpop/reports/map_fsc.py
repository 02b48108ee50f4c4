"""The report of `mpop fsc --model` and `--map`: how far a map agrees with something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mpop.jobs.maps.fsc_to_reference import HALF, MapFSC, curves, numbers
from mpop.reports.figures import AFTER, BEFORE
from mpop.reports.map_figures import Curve, fsc_figure
from mpop.reports.page import Number, Page, Section, Verdict, write_page

MASKS = {"given": "within the mask that was given", "model": "within 3 Å of the model", "none": "without a mask"}


def write_report(directory: Path, result: MapFSC, footer: str = "") -> Path:
    """Write report.html and report.json; returns the path of the page."""
    return write_page(directory, page(result, footer), data(result))


def data(result: MapFSC) -> dict[str, Any]:
    """The content of report.json: the numbers of `--json`, and the curves."""
    measured = {name: values.tolist() for name, values in curves(result).items()}
    return {"schema": "mpop.map-fsc-report/v1", **numbers(result), "curves": measured}


def page(result: MapFSC, footer: str = "") -> Page:
    """The page, not yet written."""
    reached, name = result.curve.resolution(HALF), result.map.name
    extent = f"{len(result.map.volume)}³ voxels of {result.map.pixel_size_A:g} Å"
    return Page(
        title=f"{name} against {result.other.name}",
        lead=f"A map of {extent}, {MASKS[result.mask_from]}.",
        verdict=_verdict(result, reached),
        numbers=[
            Number(_angstrom(reached), "FSC = 0.5"),
            Number(_angstrom(result.curve.resolution()), "FSC = 0.143"),
            Number(_angstrom(result.unmasked.resolution(HALF)), "FSC = 0.5 without a mask"),
        ],
        sections=[_section(result)],
        footer=footer,
    )


def _verdict(result: MapFSC, reached: float | None) -> Verdict:
    if reached is None:
        return Verdict("bad", f"The map does not agree with the {result.against}.")
    return Verdict("good", f"The map agrees with the {result.against} to {reached:.2f} Å.")


def _section(result: MapFSC) -> Section:
    frequency = result.unmasked.frequency
    drawn = [Curve("no mask", frequency, result.unmasked.correlation, {"color": BEFORE, "lw": 1.5})]
    if result.masked is not None:
        drawn.append(Curve("masked", frequency, result.masked.correlation, {"color": AFTER, "lw": 2.2}))
    return Section(
        "Fourier shell correlation",
        "A map with noise against something without: 0.5 here means what 0.143 means between half-maps.",
        [fsc_figure(drawn, HALF, f"{result.map.name} against {result.other.name}")],
    )


def _angstrom(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} Å"
