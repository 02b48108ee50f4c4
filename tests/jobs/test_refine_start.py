"""What a refinement sees before anything moves, and when it refuses to go on: on data whose errors are small,
large, or of a kind that no refinement mends."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from mpop.errors import RefinementError
from mpop.jobs.demo import import_simulation
from mpop.jobs.evaluate import evaluate
from mpop.jobs.halfmaps import SeriesState
from mpop.jobs.progress import silent
from mpop.jobs.refine import RefineParameters, refine
from mpop.jobs.refine_start import Start, find_start
from mpop.population import Population
from mpop.refinement.system import RefinedGroups
from mpop.simulation.parameters import SimulationParameters
from mpop.simulation.tilt_series import SimulationSummary, simulate_tilt_series

SMALL, USUAL = 0.2, 1.0
"""Errors, in parts of those of the demo."""


def simulate(folder: Path, errors: float, seed: int = 1) -> SimulationSummary:
    return simulate_tilt_series(
        folder,
        SimulationParameters(
            series=2,
            tilts=15,
            particles=20,
            image_size=360,
            pixel_size_A=4.0,
            seed=seed,
            image_warp_rms_A=5.0 * errors,
            stage_angle_rms_deg=0.3 * errors,
            pose_shift_rms_A=3.0 * errors,
            pose_angle_rms_deg=2.5 * errors,
        ),
    )


def begun(population: Population) -> Start:
    species = list(population.species().values())
    states = [SeriesState.load(population, item, species) for item in population.items().values()]
    return find_start(population, species, states, [], RefinedGroups(), 2, silent)


def invert_images(data: Path) -> None:
    for path in (data / "warp_frameseries" / "average").glob("*.mrc"):
        with mrcfile.open(path, "r+") as image:
            image.set_data(-image.data)


def turn_depth(data: Path) -> None:
    for path in (data / "warp_tiltseries").glob("*.xml"):
        text = path.read_text()
        turned = text.replace('AreAnglesInverted="False"', 'AreAnglesInverted="True"')
        assert turned != text
        path.write_text(turned)


def mirror_maps(data: Path) -> None:
    for path in (data / "species").glob("asymmetric_half?.mrc"):
        with mrcfile.open(path, "r+") as volume:
            volume.set_data(np.ascontiguousarray(np.roll(np.flip(volume.data, 0), 1, 0)))


def negate_defocus(data: Path) -> None:
    for path in (data / "warp_tiltseries").glob("*.xml"):
        text = path.read_text()
        first, last = text.index("<GridCTF "), text.index("</GridCTF>")
        grid = re.sub(r'Value="([^"]+)"', lambda found: f'Value="{-float(found[1])}"', text[first:last])
        path.write_text(text[:first] + grid + text[last:])


@pytest.mark.parametrize("errors", [SMALL, USUAL, 3.0])
def test_right_data_are_met_in_silence(tmp_path: Path, errors: float) -> None:
    population, _ = import_simulation(tmp_path / "population", simulate(tmp_path / "data", errors))
    assert begun(population).warnings == []


def test_noise_is_met_in_silence(tmp_path: Path) -> None:
    parameters = SimulationParameters(
        series=2, tilts=11, particles=12, image_size=256, pixel_size_A=5.0, signal=0.0
    )
    population, _ = import_simulation(tmp_path / "population", simulate_tilt_series(tmp_path / "data", parameters))
    found = begun(population)
    assert found.warnings == []
    assert set(found.kinds.values()) == {"imported"}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (invert_images, r"fit the negative of .* better .*standard deviations.*contrast.*inverted"),
        (negate_defocus, r"fit the negative of .*with defocus of the other sign they fit as they are"),
        (mirror_maps, r"asymmetric's half-maps mirrored .*standard deviations.*opposite hands"),
    ],
    ids=["contrast", "defocus", "mirror"],
)
def test_what_contradicts_the_half_maps_stops_and_is_named(
    tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    summary = simulate(tmp_path / "data", USUAL)
    spoil(tmp_path / "data")
    population, imported = import_simulation(tmp_path / "population", summary)
    with pytest.raises(RefinementError, match=words):
        refine(population, RefineParameters(iterations=1), threads=2)
    assert population.repository.head == imported


def test_the_wrong_handedness_stops_and_is_named(tmp_path: Path) -> None:
    """At the latest before the second iteration, when the half-maps are fine enough to tell."""
    summary = simulate(tmp_path / "data", USUAL)
    turn_depth(tmp_path / "data")
    population, _ = import_simulation(tmp_path / "population", summary)
    with pytest.raises(
        RefinementError, match=r"depth is counted the other way .*standard deviations.*AreAnglesInverted"
    ):
        refine(population, RefineParameters(iterations=2), threads=2)


def test_small_errors_get_smaller(tmp_path: Path) -> None:
    population, imported = import_simulation(tmp_path / "population", simulate(tmp_path / "data", SMALL))
    result = refine(population, RefineParameters(iterations=2), threads=2)
    evaluation = evaluate(population, tmp_path / "data" / "truth", imported, threads=2)
    started = result.jobs[0].result["start"]
    for one in evaluation.species:
        assert one.rotation_rms_deg.after < 1.03 * one.rotation_rms_deg.before
        assert one.position_rms_A.after < 0.8 * one.position_rms_A.before
        assert one.gap_closed is not None
        assert one.gap_closed > 0.2
        # what is reported as the beginning is what the images gave then, and not what was imported
        assert started[one.name]["resolution_A"] == pytest.approx(one.resolution_A.before, rel=0.01)
        assert started[one.name]["compared_with"] == "images"
        message = population.repository.show(result.commits[0]).message
        assert re.search(rf"{one.name}: [\d.]+ A -> [\d.]+ A \(half-maps before: 1[89].\d A\)", message)
