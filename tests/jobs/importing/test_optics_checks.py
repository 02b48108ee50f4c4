"""Optics in another unit than their file's are questioned; those of all microscopes are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from mpop.doubts import DoubtfulInputError
from mpop.formats.star import read_star, write_star
from mpop.importing.optics_checks import questioned_optics
from mpop.jobs.importing.source import add_source
from mpop.population import Population
from mpop.simulation.stacks import StackParameters, simulate_stack

if TYPE_CHECKING:
    from pathlib import Path

    from tests.jobs.conftest import WarpFiles

TITAN = (300.0, 2.7, 0.07)


def read(optics: tuple[float, float, float] = TITAN, defocus_um: float = 2.5) -> list[str]:
    found = questioned_optics("x", [TITAN, optics], np.array([2.0, defocus_um]))
    assert all(doubt.kind == "optics-unit" and doubt.grave for doubt in found)
    return [doubt.read for doubt in found]


@pytest.mark.parametrize(
    ("optics", "words"),
    [
        ((300_000.0, 2.7, 0.07), "voltage is 300000 kV"),
        ((0.0, 2.7, 0.07), "voltage is 0 kV"),
        ((300.0, 2700.0, 0.07), "spherical aberration is 2700 mm"),
        ((300.0, 2.7, 7.0), "amplitude contrast is 7"),
    ],
)
def test_optics_that_no_microscope_has(optics: tuple[float, float, float], words: str) -> None:
    assert read(optics) == [words]


@pytest.mark.parametrize(
    "optics", [(100.0, 2.0, 0.1), (1250.0, 1.4, 0.0), (300.0, 0.0, 0.07), (200.0, -0.05, 1.0)]
)
def test_optics_of_some_microscopes(optics: tuple[float, float, float]) -> None:
    """High voltage, aberration corrected, a phase plate."""
    assert read(optics) == []


@pytest.mark.parametrize(("defocus_um", "words"), [(2e4, ["defocus goes to 2e+04 um"]), (-3.0, []), (60.0, [])])
def test_defocus(defocus_um: float, words: list[str]) -> None:
    assert read(defocus_um=defocus_um) == words


def test_defocus_near_focus_in_all_images() -> None:
    """Micrometres where angstroms are meant; 0 throughout is no CTF."""
    assert [one.read for one in questioned_optics("x", [TITAN], np.array([2e-4, 1e-4]))] == [
        "defocus goes to 0.0002 um"
    ]
    assert questioned_optics("x", [TITAN], np.zeros(3)) == []


def test_a_tilt_series_is_refused(empty_population: Population, warp_files: WarpFiles) -> None:
    warp_files.edit_xml("TS_01", 'Value="3.25"', 'Value="32500"')
    with pytest.raises(DoubtfulInputError, match=r"TS_01\.xml: defocus goes to 3\.25e\+04 um.*another unit\?"):
        add_source(empty_population, "mine", warp_files.settings)
    assert "optics-unit" in [
        one.kind for one in add_source(empty_population, "mine", warp_files.settings, force=True).doubts
    ]


def test_a_stack_is_refused(tmp_path: Path) -> None:
    simulate_stack(tmp_path, StackParameters(particles=8, box=32, pixel_size_A=4.0))
    blocks = read_star(tmp_path / "particles.star")
    for column in ("rlnDefocusU", "rlnDefocusV"):
        blocks["particles"][column] /= 1e4
    write_star(tmp_path / "particles.star", blocks)
    with pytest.raises(DoubtfulInputError, match=r"defocus goes to .*is it in another unit"):
        add_source(Population.init(tmp_path / "population"), "images", tmp_path / "particles.star")
