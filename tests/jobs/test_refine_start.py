"""What a refinement sees before anything moves, and when it refuses to go on: on data whose errors are small,
large, or of a kind that no refinement mends."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import mrcfile
import numpy as np
import pytest

from mpop.errors import RefinementError
from mpop.jobs import refine_start
from mpop.jobs.demo import import_simulation
from mpop.jobs.evaluate import evaluate
from mpop.jobs.halfmaps import SeriesState
from mpop.jobs.reconstruct import reconstruct_species
from mpop.jobs.recording import in_angstrom
from mpop.jobs.refine import refine
from mpop.jobs.refine_parameters import RefineParameters
from mpop.jobs.refine_start import Start, find_start
from mpop.population import Population
from mpop.refinement.groups.registry import chosen_groups, defaults
from mpop.run import Run, silent
from mpop.simulation.parameters import SimulationParameters
from mpop.simulation.tilt_series import SimulatedSpecies, SimulationSummary, simulate_tilt_series

if TYPE_CHECKING:
    from tests.conftest import TinyWorld


def with_errors(folder: Path, part: float) -> SimulationSummary:
    """part: of the errors of the demo."""
    return simulate_tilt_series(
        folder,
        SimulationParameters(
            series=2,
            tilts=15,
            particles=30,
            image_size=480,
            pixel_size_A=3.0,
            image_warp_rms_A=5.0 * part,
            stage_angle_rms_deg=0.3 * part,
            pose_shift_rms_A=3.0 * part,
            pose_angle_rms_deg=2.5 * part,
        ),
    )


def spoiled(world: TinyWorld, folder: Path, spoil: Callable[[Path], None]) -> tuple[Population, str]:
    """The tiny world's data with a mistake in them, imported."""
    data = folder / "data"
    shutil.copytree(world.data, data)
    spoil(data)
    truth = json.loads((data / "truth" / "truth.json").read_text())
    species = [SimulatedSpecies(**one) for one in truth["species"]]
    summary = SimulationSummary(data, truth["series"], species, truth["planted_position_rms_A"])
    return import_simulation(folder / "population", summary, force=True)


def begun(population: Population) -> Start:
    species = list(population.species().values())
    states = [SeriesState.load(population, item, species) for item in population.items().values()]
    return find_start(population, species, states, [], chosen_groups(defaults()), silent)


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


def empty_maps(data: Path) -> None:
    for path in (data / "species").glob("asymmetric_half?.mrc"):
        with mrcfile.open(path, "r+") as volume:
            seed = int(path.stem[-1])
            volume.set_data(np.random.default_rng(seed).normal(size=volume.data.shape).astype(np.float32))


def negate_defocus(data: Path) -> None:
    for path in (data / "warp_tiltseries").glob("*.xml"):
        text = path.read_text()
        first, last = text.index("<GridCTF "), text.index("</GridCTF>")
        grid = re.sub(r'Value="([^"]+)"', lambda found: f'Value="{-float(found[1])}"', text[first:last])
        path.write_text(text[:first] + grid + text[last:])


def test_right_data_are_met_in_silence(shared_tiny_world: TinyWorld) -> None:
    found = begun(shared_tiny_world.population)
    assert found.warnings == []
    assert all(found.resolution_A(identity) is not None for identity in shared_tiny_world.population.species())


def test_sums_that_are_kept_are_not_made_again(tiny_world: TinyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `reconstruct` the half-maps of the images come from its sums."""
    population = tiny_world.population
    fresh = begun(population)
    reconstruct_species(population)
    monkeypatch.setattr(refine_start, "add_series", lambda *_: pytest.fail("images were summed again"))
    again = begun(population)
    assert again.images.items == fresh.images.items
    assert again.widths.of_tilts == pytest.approx(fresh.widths.of_tilts, rel=0.05)
    for identity, report in fresh.images.reports.items():
        curve = again.images.reports[identity].corrected.correlation
        np.testing.assert_allclose(curve, report.corrected.correlation, atol=1e-5)


@pytest.mark.parametrize("part", [0.2, 3.0])
def test_small_and_large_errors_are_met_in_silence(tmp_path: Path, part: float) -> None:
    population, _ = import_simulation(tmp_path / "population", with_errors(tmp_path / "data", part))
    found = begun(population)
    assert found.warnings == []
    assert found.widths.of_tilts["global_warp"] == pytest.approx(2.7 * part, rel=0.3)
    assert found.widths.of_tilts["local_warp"] == pytest.approx(2.2 * part, rel=0.7)
    for width in found.widths.of_particles["positions"].values():
        assert width == pytest.approx(1.73 * part, rel=0.5)  # two standard errors of C1


def test_half_maps_that_agree_nowhere_give_way_to_those_of_the_images(
    shared_tiny_world: TinyWorld, tmp_path: Path
) -> None:
    population, _ = spoiled(shared_tiny_world, tmp_path, empty_maps)
    found = begun(population)
    names = {one.id: one.name for one in population.species().values()}
    assert {names[one]: kind for one, kind in found.kinds.items()} == {
        "asymmetric": "images",
        "ferritin-like": "imported",
    }
    assert all(maps.report.resolution_A is not None for maps in found.maps.values())


def test_noise_is_met_in_silence(tmp_path: Path) -> None:
    parameters = SimulationParameters(
        series=2, tilts=11, particles=12, image_size=256, pixel_size_A=5.0, signal=0.0
    )
    summary = simulate_tilt_series(tmp_path / "data", parameters)
    population, _ = import_simulation(tmp_path / "population", summary, force=True)
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
    shared_tiny_world: TinyWorld, tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    population, imported = spoiled(shared_tiny_world, tmp_path, spoil)
    with pytest.raises(RefinementError, match=words):
        refine(population, RefineParameters(iterations=1), run=Run(threads=2))
    assert population.repository.head == imported


def test_the_wrong_handedness_stops_and_is_named(tmp_path: Path) -> None:
    """At the latest before the second iteration, when the half-maps are fine enough to tell."""
    summary = with_errors(tmp_path / "data", 0.5)
    turn_depth(tmp_path / "data")
    population, _ = import_simulation(tmp_path / "population", summary)
    words = r"depth is counted the other way .*standard deviations.*AreAnglesInverted"
    with pytest.raises(RefinementError, match=words):
        refine(population, RefineParameters(iterations=2), run=Run(threads=2))


def test_small_errors_get_smaller(tmp_path: Path) -> None:
    population, imported = import_simulation(tmp_path / "population", with_errors(tmp_path / "data", 0.2))
    result = refine(population, RefineParameters(iterations=2), run=Run(threads=2))
    evaluation = evaluate(population, tmp_path / "data" / "truth", imported, run=Run(threads=2))
    started = result.jobs[0].result["start"]
    for one in evaluation.species:
        assert one.rotation_rms_deg.after < 1.03 * one.rotation_rms_deg.before
        assert one.position_rms_A.after < 0.8 * one.position_rms_A.before
        assert one.gap_closed is not None
        assert one.gap_closed > 0.2
        # what is reported as the beginning is what the images gave then, and not what was imported
        assert started[one.name]["resolution_A"] == pytest.approx(one.resolution_A.before, rel=0.01)
        assert started[one.name]["compared_with"] == "imported"
        message = population.repository.show(result.commits[0]).message
        imported_A = in_angstrom(result.jobs[0].resolution_before_A[one.name])
        before_A = in_angstrom(one.resolution_A.before)
        assert re.search(rf"{one.name}: {before_A} -> [\d.]+ A \(half-maps before: {imported_A}\)", message)
