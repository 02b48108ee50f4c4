"""A tilt without an image in it is left out and named, by every job, and costs nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mpop.jobs.reconstruct import reconstruct_species
from mpop.jobs.refine import refine
from mpop.jobs.refine_parameters import RefineParameters
from mpop.population import Population
from mpop.records.models import ItemRecord

BLANK = 4


@pytest.fixture
def blank(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tilt 5 of TS_01 is the shutter that did not open."""
    read = Population.tilt_image

    def tilt_image(self: Population, item: ItemRecord, tilt: int) -> np.ndarray:
        image = read(self, item, tilt)
        return np.full_like(image, 7) if (item.name, tilt) == ("TS_01", BLANK) else image

    monkeypatch.setattr(Population, "tilt_image", tilt_image)


def maps(population: Population) -> dict[str, np.ndarray]:
    return {one.name: population.maps(one)["half1"] for one in population.species().values()}


def test_a_blank_tilt_is_left_out_of_maps_as_one_that_is_not_used(tiny_world, blank: None) -> None:
    population = tiny_world.population
    result = reconstruct_species(population)
    (doubt,) = result.doubts
    name = population.item("TS_01").raw[BLANK].path.rsplit("/", 1)[1]
    assert (doubt.kind, doubt.where, doubt.read) == ("blank-tilt", "TS_01", f"tilt 5 ({name}) is blank")
    assert result.job.warnings == [str(doubt)]
    assert f"warning: {doubt}" in next(iter(population.repository.log())).message
    found = maps(population)

    item = population.item("TS_01")
    model = population.tilt_series(item)
    use = model.use.copy()
    use[BLANK] = False
    changed = population.write_tilt_series(replace(model, use=use))
    population.stage([item.model_copy(update={"model_object": changed})])
    population.commit("Leave the tilt out")
    assert reconstruct_species(population).doubts == []
    for name, expected in maps(population).items():
        np.testing.assert_allclose(found[name], expected, atol=1e-6 * expected.std())


def test_refinement_leaves_the_same_tilt_out_and_goes_on(tiny_world, blank: None) -> None:
    population = tiny_world.population
    result = refine(population, RefineParameters(iterations=1, groups={"image_warp": None, "stage_angles": False}))
    assert [doubt.where for doubt in result.doubts] == ["TS_01"]
    assert result.jobs[0].failed == []
    assert {row["name"] for row in result.jobs[0].series if "score_after" in row} == {"TS_01", "TS_02"}


def test_whole_series_say_nothing(tiny_world) -> None:
    result = reconstruct_species(tiny_world.population)
    assert (result.doubts, result.job.warnings) == ([], [])
