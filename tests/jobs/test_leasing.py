"""Jobs hold leases, and pack what they leave when it is much."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from example_population import make_population

from mpop.jobs.leasing import leased
from mpop.population import Population
from mpop_store import StoreError
from mpop_store.upkeep import packing


@pytest.fixture
def population(tmp_path: Path) -> Population:
    return make_population(tmp_path)


@leased("refine")
def work(population: Population, objects: int = 0, error: Exception | None = None) -> list[str]:
    """A job that writes objects, fails if asked to, and says who is at work."""
    for number in range(objects):
        population.objects.put(b"%d" % number)
    if error is not None:
        raise error
    return [lease.purpose for lease in population.objects.leases.live(time.time())]


def test_a_job_holds_a_lease_while_it_runs(population: Population) -> None:
    assert work(population) == ["refine"]
    with pytest.raises(ZeroDivisionError):
        work(population, error=ZeroDivisionError())
    assert population.objects.leases.live(time.time()) == []
    assert work.__name__ == "work"


def test_few_objects_are_left_loose_and_many_are_packed(
    population: Population, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "MANY_LOOSE", 3 * 256)
    work(population, objects=50)
    assert population.objects.packed.packs() == []
    names = set(population.objects.names())
    work(population, objects=3000)
    assert list(population.objects.loose.names()) == []
    assert names < set(population.objects.names())


def test_a_job_that_is_done_does_not_fail_for_want_of_packing(
    population: Population, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "MANY_LOOSE", 0)

    def fail(*_: object) -> None:
        raise StoreError("cannot write")

    monkeypatch.setattr(packing, "_pack_loose", fail)
    assert work(population, objects=3000) == ["refine"]
