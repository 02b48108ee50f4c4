"""Iterations of a refinement as functions of names: each by itself, elsewhere, and from records of before."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mpop.errors import StateError
from mpop.jobs import refine as refine_module
from mpop.jobs.half_sets import say_nothing
from mpop.jobs.refine import refine
from mpop.jobs.refine_iteration import Iteration, find_references, iterate
from mpop.jobs.refine_parameters import RefineParameters
from mpop.jobs.refine_series import move_tilt_series, open_series
from mpop.jobs.refine_start import stored_maps
from mpop.jobs.refine_state import RefineState
from mpop.jobs.reproduce import reproduce
from mpop.jobs.selection import select
from mpop.jobs.verify import verify
from mpop.population import Population
from mpop.run import Run
from mpop_hooks.schema import STATE, references_of
from mpop_store.arrays.groups import group_objects
from mpop_store.upkeep.collection import collect

if TYPE_CHECKING:
    from conftest import TinyWorld

QUICK = RefineParameters(iterations=3, groups={"image_warp": (2, 2), "stage_angles": False})
Names = dict[str, str]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The iterations that were run, by their numbers."""
    ran: list[int] = []

    def count(population: Population, parameters: Any, *words: Any, **options: Any) -> Iteration | None:
        ran.append(parameters.iteration)
        return iterate(population, parameters, *words, **options)

    monkeypatch.setattr(refine_module, "iterate", count)
    return ran


def once(population: Population, number: int, before: RefineState | None) -> Iteration:
    """One iteration, on one thread."""
    done = iterate(population, QUICK.of_iteration(number), before, Run(), say_nothing, force=False)
    assert done is not None
    return done


def named_by(population: Population, commit: str) -> set[str]:
    """All objects that the records of a commit name."""
    repository = population.repository
    records = [repository.read(path, commit) for path in repository.entries(commit)]
    return parts_of(population, (group for record in records for group in named_groups(record)))


def named_groups(record: dict[str, Any]) -> Iterator[str]:
    found = references_of(record)
    yield from (*found.groups, *found.derived)


def parts_of(population: Population, groups: Iterable[str]) -> set[str]:
    return {part for group in groups for part in group_objects(population.objects, group)}


def test_the_last_iteration_is_run_again_alone_from_what_its_record_names(
    tiny_world: TinyWorld, counted: list[int]
) -> None:
    """All that the first iteration left, and that came before it, is taken out of the store, but for where series
    started."""
    population = tiny_world.population
    result = refine(population, QUICK, run=Run(threads=2))
    assert counted == [1, 2, 3]
    first, second, third = result.jobs
    assert STATE not in first.inputs
    assert [job.inputs[STATE] for job in (second, third)] == [first.result_object, second.result_object]
    collect(population.repository, operations_days=-1.0)
    assert verify(population).ok

    started = RefineState.read(population, third.inputs[STATE]).starts.values()
    needed = named_by(population, result.commits[1]) | named_by(population, result.commits[2])
    needed |= parts_of(population, (name for one in started for name in (one.model, *one.particles.values())))
    gone = set(population.objects.names()) - needed
    assert set(group_objects(population.objects, str(first.result_object))) - needed <= gone
    for name in gone:
        population.objects.path(name).unlink()
    counted.clear()
    found = reproduce(Population.open(population.root), result.commits[2])
    assert counted == [3]
    assert found.is_identical and found.same_job and found.result == []
    assert found.base == result.commits[1]
    assert len(found.species) == 2 and len(found.items) == 2


def test_iterations_of_before_are_run_after_those_that_led_to_them(
    tiny_world: TinyWorld, counted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their records name no state, and have a seed among their parameters."""
    population, before, commits = tiny_world.population, None, []
    imported = population.repository.head
    with monkeypatch.context() as patched:
        patched.setattr(RefineState, "stored", lambda self, _: self)
        for number in (1, 2):
            wanted = QUICK.model_copy(update={"iterations": 2, "seed": 0}).of_iteration(number)
            done = iterate(population, wanted, before, Run(threads=2), say_nothing, force=False)
            assert done is not None
            before = done.state
            commits.append(done.commit)
            assert (done.job.result_object, done.job.parameters["seed"]) == (None, 0)
            assert STATE not in done.job.inputs
    found = reproduce(population, commits[1])
    assert counted == [1, 2]
    assert found.base == imported
    assert found.is_identical and found.same_job


def test_a_state_comes_back_as_it_was_stored(tiny_world: TinyWorld) -> None:
    population = tiny_world.population
    state = once(population, 1, None).state
    assert state.name is not None
    again = RefineState.read(population, state.name)
    assert again.starts == state.starts and again.widths == state.widths
    assert again.depth_unclear == state.depth_unclear and again.images.items == state.images.items
    assert {item: offsets.tolist() for item, offsets in again.theta.items()} == {
        item: offsets.tolist() for item, offsets in state.theta.items()
    }
    assert any(offsets.any() for offsets in again.theta.values())
    for species, report in state.images.reports.items():
        back = again.images.reports[species]
        assert (back.resolution_A, back.randomised_from) == (report.resolution_A, report.randomised_from)
        for curve in ("unmasked", "masked", "phase_randomised", "corrected"):
            one, other = getattr(report, curve), getattr(back, curve)
            np.testing.assert_array_equal(one.correlation, other.correlation)
            np.testing.assert_array_equal(one.frequency, other.frequency)
    assert again.stored(population).name == state.name
    other = replace(again, theta={item: offsets[1:] for item, offsets in again.theta.items()})
    with pytest.raises(StateError, match=r"TS_01 has \d+ parameters, and \d+ were handed on"):
        once(population, 2, other)
    with pytest.raises(StateError, match="is no state of a refinement"):
        RefineState.read(population, next(iter(population.species().values())).maps_object)


class Processes:
    """A toy executor: every task in a process of its own, which gets names and gives names."""

    def map(self, task: Callable[[Names], Names], inputs: Iterable[Names]) -> Iterator[Names]:
        """What the task gives for each of the inputs, in their order."""
        with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
            yield from pool.map(task, inputs)


def move_elsewhere(names: Names) -> Names:
    """What an iteration does to one tilt series, from nothing but names."""
    population = Population.open(names["population"])
    before = RefineState.read(population, names["state"])
    chosen = select(population)
    maps = {one.id: stored_maps(population, one) for one in chosen.species}
    references, _ = find_references(population, chosen, maps, QUICK.prior, Run())
    series = open_series(population, population.item(names["item"]), chosen, before)
    moved = move_tilt_series(population, series, QUICK.chosen_groups, before.widths, references, "cpu")
    return {"model": moved.series.state.model_object, **moved.series.state.particle_objects}


def test_tilt_series_can_be_moved_by_other_processes(tiny_world: TinyWorld, tmp_path: Path) -> None:
    """They are given names, and give the names that the iteration gives in this process."""
    population = tiny_world.population
    first = once(population, 1, None)
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(tiny_world.folder, elsewhere, symlinks=True)
    once(population, 2, first.state)
    items = sorted(population.items())
    there = {"population": str(elsewhere / "population"), "state": str(first.job.result_object)}
    found = list(Processes().map(move_elsewhere, [there | {"item": item} for item in items]))
    species = population.species()
    assert found == [
        {"model": population.item(item).model_object}
        | {one.id: one.particles[item] for one in species.values() if item in one.particles}
        for item in items
    ]
