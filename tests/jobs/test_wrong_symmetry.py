"""A point group that particles do not have is seen by the images, whatever was insisted on at import."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpop.doubts import Doubt
from mpop.jobs.importing.source import add_source
from mpop.jobs.importing.species import add_species
from mpop.jobs.refine import RefineParameters, refine
from mpop.population import Population
from mpop.run import Run
from mpop.simulation.parameters import SimulationParameters
from mpop.simulation.tilt_series import simulate_tilt_series

PARAMETERS = SimulationParameters(
    series=1, tilts=15, particles=60, image_size=512, pixel_size_A=5.0, seed=3, signal=2.0
)
"""Two species, of which one is octahedral."""
POSES_ALONE = RefineParameters(iterations=1, image_warp=None, stage_angles=False)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("symmetry") / "data"
    simulate_tilt_series(folder, PARAMETERS)
    return folder


def refined_as(data: Path, folder: Path, name: str, diameter_A: float, symmetry: str) -> list[Doubt]:
    """What is doubted after a species was imported with a point group, insisting, and refined."""
    population = Population.init(folder / "population")
    add_source(population, "all", data / "warp_tiltseries.settings")
    stem = data / "species" / name
    maps = [f"{stem}_{kind}.mrc" for kind in ("half1", "half2", "mask")]
    add_species(population, name, *maps, f"{stem}_particles.star", diameter_A, symmetry, force=True)
    population.commit("Import")
    return refine(population, POSES_ALONE, run=Run(threads=2), force=True).doubts


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("I1", ("wrong-symmetry", True, "O fits")),
        ("C4", ("larger-symmetry", False, "O fits the maps as well")),
        ("O", None),
    ],
)
def test_of_an_octahedral_particle(data: Path, tmp_path: Path, given: str, expected: tuple | None) -> None:
    found = [one for one in refined_as(data, tmp_path, "ferritin-like", 128.0, given) if "symmetry" in one.kind]
    if expected is None:
        assert found == []
    else:
        kind, grave, words = expected
        assert [(one.kind, one.grave) for one in found] == [(kind, grave)]
        assert words in str(found[0])
