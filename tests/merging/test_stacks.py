"""Two labs, each with a stack of its own of one species: what each refines, and the pool of both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from mpop.cli.merge import merge_lines
from mpop.errors import InputError
from mpop.exchange.cloning import clone
from mpop.exchange.fetching import fetch_from
from mpop.formats.star import read_star, write_star
from mpop.jobs.importing.source import add_source
from mpop.jobs.importing.species import add_species
from mpop.jobs.refine import refine
from mpop.jobs.refine_parameters import RefineParameters
from mpop.jobs.verify import verify
from mpop.merging import continue_merge, merge, resolve
from mpop.population import Population
from mpop.run import Run
from mpop.simulation.stacks import StackParameters, simulate_stack
from mpop_store.transfer.remotes import Remotes

STACK = StackParameters(particles=40, box=40, pixel_size_A=5.0, signal_to_noise=1.0, initial_resolution_A=16.0)
QUICK = RefineParameters(iterations=1, prior="none")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two stacks, with tables grid1.star and grid2.star beside them, and both.star of all particles."""
    folder = tmp_path_factory.mktemp("grids")
    simulate_stack(folder / "grid1", STACK)
    simulate_stack(folder / "grid2", replace(STACK, seed=2))
    tables = []
    for name in ("grid1", "grid2"):
        blocks = read_star(folder / name / "particles.star")
        tables.append(blocks["particles"])
        tables[-1]["rlnImageName"] = tables[-1]["rlnImageName"].str.replace("@", f"@{name}/")
        write_star(folder / f"{name}.star", blocks)
    write_star(folder / "both.star", {**blocks, "particles": pd.concat(tables)})
    return folder


@pytest.fixture(scope="module")
def labs(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Population, Population]:
    """Two populations with both grids; each lab refined the species on its own."""
    folder = tmp_path_factory.mktemp("labs")
    here = Population.init(folder / "a")
    maps = {name: data / "grid1" / f"{name}.mrc" for name in ("half1", "half2", "mask")}
    for name in ("grid1", "grid2"):
        add_source(here, name, data / f"{name}.star")
    add_species(here, "molecule", **maps, particles=data / "both.star", diameter_A=120.0)
    add_species(here, "alone", **maps, particles=data / "grid1.star", diameter_A=120.0)
    here.commit("Import")
    clone(str(here.root), folder / "b")
    there = Population.open(folder / "b")
    refine(here, QUICK.model_copy(update={"sources": ("grid1",)}))
    refine(there, QUICK.model_copy(update={"sources": ("grid2",)}))
    return here, there


def test_species_without_particles_in_the_sources_are_left_as_they_are(
    labs: tuple[Population, Population],
) -> None:
    _, there = labs
    assert there.one_species("alone") == there.one_species("alone", "HEAD~1")
    assert there.one_species("molecule").parent == there.one_species("molecule", "HEAD~1").version
    with pytest.raises(InputError, match=r"holds a particle of alone$"):
        refine(there, QUICK.model_copy(update={"sources": ("grid2",), "species": ("alone", "molecule")}))


def test_the_pool_holds_what_both_labs_refined(labs: tuple[Population, Population]) -> None:
    here, there = labs
    Remotes(here.repository).add("b", str(there.root))
    fetch_from(here.repository, Remotes(here.repository).get("b"))
    waiting = merge(here, "b/main")
    assert [one.label for one in waiting.unresolved] == ["species/molecule"]
    words = "\n".join(merge_lines(waiting))
    assert "half-maps from 2 stacks, parent" in words
    assert "half-maps as imported" in words
    assert "80 particles; the two maps lie alike" in words
    resolve(here, {"species/molecule": "pool"})
    done = continue_merge(here, run=Run(threads=1))
    assert "refinement is due: 2 stacks with molecule: its half-maps were pooled" in "\n".join(merge_lines(done))
    pooled, ours, theirs = (here.one_species("molecule", at) for at in ("HEAD", "HEAD^1", "HEAD^2"))
    for item in pooled.particles:
        source = here.source(here.item(item).source).name
        assert pooled.particles[item] == {"grid1": ours, "grid2": theirs}[source].particles[item]
    assert ours.particles != theirs.particles
    assert pooled.item_versions.keys() == pooled.particles.keys()
    assert verify(here).problems == []
