"""What holds of every merge, whatever two sides did."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from example_population import make_population
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from two_sides import (
    SPECIES,
    Edit,
    add,
    add_job,
    add_source,
    add_species,
    add_to_source,
    content,
    edit_item,
    edit_rows,
    edit_species,
    fork,
    move,
    new_maps,
    refine_item,
    remove,
    rename_population,
)

from mpop.jobs.verify import verify
from mpop.merging import merge, plan
from mpop.population import Population

EDITS: dict[str, Edit] = {
    "refine TS_1": refine_item("1" * 16, 1.0),
    "refine TS_1 further": refine_item("1" * 16, 2.0),
    "refine TS_2": refine_item("2" * 16, 3.0),
    "rename TS_1": edit_item("1" * 16, name="first"),
    "rename TS_2": edit_item("2" * 16, name="second"),
    "move a particle of TS_1": edit_rows("1" * 16, move(0, 1.0)),
    "move it elsewhere": edit_rows("1" * 16, move(0, 2.0)),
    "move another": edit_rows("1" * 16, move(1, 1.0)),
    "move a particle of TS_2": edit_rows("2" * 16, move(0, 1.0)),
    "remove a particle": edit_rows("1" * 16, remove(2)),
    "add particles": edit_rows("1" * 16, add(50)),
    "add others": edit_rows("1" * 16, add(51)),
    "add to TS_2": edit_rows("2" * 16, add(52)),
    "new maps": new_maps(3, 9.0),
    "better maps": new_maps(4, 8.0),
    "rename the species": edit_species(name="small"),
    "a denoiser": edit_species(denoiser_object=None),
    "a species": add_species("b" * 16, "x"),
    "another species": add_species("c" * 16, "x"),
    "a source": add_source("6" * 16, "grid2", "3" * 16),
    "another source": add_source("7" * 16, "grid2", "4" * 16),
    "a series": add_to_source("d" * 16, "TS_3"),
    "another series": add_to_source("e" * 16, "TS_3"),
    "a job": add_job("8" * 64, 1.0),
    "the same job, slower": add_job("8" * 64, 2.0),
    "rename the population": rename_population("lab"),
}

choices = st.lists(st.sampled_from(sorted(EDITS)), max_size=5, unique=True)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("example")
    make_population(folder)
    return folder


def particles(population: Population, at: str) -> dict[str, set[int]]:
    """Item -> ids of the particles of the species in it."""
    one = population.one_species(SPECIES, at)
    return {item: {int(i) for i in population.particles(one, item).id} for item in one.particles}


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ours=choices, theirs=choices)
def test_merging_either_way_gives_the_same_and_loses_nothing(
    template: Path, ours: list[str], theirs: list[str]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder) / "here"
        shutil.copytree(template, here)
        population = Population.open(here / "population")
        base = fork(population, [EDITS[name] for name in ours], [EDITS[name] for name in theirs])
        start = population.repository.resolve("HEAD")
        shutil.copytree(here, Path(folder) / "there")
        other = Population.open(Path(folder) / "there" / "population")
        other.repository.switch("refs/heads/theirs", "the other way around")
        mine = merge(population, "theirs", default="ours")
        yours = merge(other, "main", default="theirs")
        assert {one.key for one in mine.plan.conflicts} == {one.key for one in yours.plan.conflicts}
        names = {"name"}  # each side keeps the name that it gave
        merged, mirrored = content(population), content(other)
        assert merged.keys() == mirrored.keys()
        for path in merged.keys() - {"name"}:
            one, two = ({k: v for k, v in m[path].items() if k not in names} for m in (merged, mirrored))
            assert one == two, path

        assert set(content(population, "theirs")) <= set(merged), "what they added is here"
        before = particles(population, base)
        for item, ids in particles(population, "HEAD").items():
            for side in (sides := [particles(population, start), particles(population, "theirs")]):
                assert (side.get(item, set()) - before.get(item, set())) <= ids
            assert ids <= set().union(*(side.get(item, set()) for side in sides))
        assert verify(population).problems == []
        assert plan(population, "theirs").relation == "up to date"
        assert merge(population, "theirs").status == "up to date"
