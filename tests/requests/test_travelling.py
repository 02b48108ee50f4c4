"""Requests between populations: they are pushed, fetched, united, kept from collection, and read lazily."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from commands import as_json, mpop
from example_population import make_population
from offered import add_series, add_virus, place_ribosome

from mpop.population import Population
from mpop.requests.chains import Requests
from mpop_store.git.repository import Repository


@pytest.fixture
def labs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Population, Population, str]:
    """Two clones of a shared population, in `a` and `b`; b has offered a virus, and a has fetched the request."""
    start = make_population(tmp_path)
    place_ribosome(start)
    start.commit("Place the ribosomes")
    monkeypatch.chdir(tmp_path)
    mpop("init", "--bare", "shared")
    mpop("-C", "population", "remote", "add", "origin", "../shared")
    mpop("-C", "population", "push")
    for name in "ab":
        mpop("clone", "shared", name)
    b = Population.open("b")
    mpop("-C", "b", "switch", "-c", "work")
    add_virus(b, [b.item("TS_1"), *add_series(b, 3)])
    b.commit("Add a virus")
    name = as_json("-C", "b", "request", "open", "--species", "virus")["request"]["id"]
    mpop("-C", "b", "push", "--requests")
    mpop("-C", "a", "fetch")
    return Population.open("a"), b, name


def kinds(folder: str, name: str) -> list[str]:
    return [one["kind"] for one in as_json("-C", folder, "request", "show", name)["request"]["events"]]


def test_events_of_two_labs_meet(labs: tuple[Population, Population, str]) -> None:
    a, b, name = labs
    mpop("-C", "a", "request", "close", name, "-m", "not now")
    virus = b.one_species("virus")
    b.stage([virus.model_copy(update={"name": "phage", "parent": virus.version})])
    b.commit("Call it what it is")
    mpop("-C", "b", "request", "update", name)
    mpop("-C", "a", "push", "--requests")
    mpop("-C", "b", "fetch")
    assert kinds("b", name) == ["open", "close", "update"] or kinds("b", name) == ["open", "update", "close"]
    mpop("-C", "b", "push", "--requests")
    mpop("-C", "a", "fetch")
    assert Requests(a.repository).find(name) == Requests(b.repository).find(name)
    assert Requests(a.repository).find(name).record.state == "closed"
    assert Population.open("a").one_species("phage", Requests(a.repository).find(name).offered)


def test_a_push_does_not_hide_that_a_request_went_on_elsewhere(
    labs: tuple[Population, Population, str], caplog: pytest.LogCaptureFixture
) -> None:
    _, _, name = labs
    mpop("-C", "a", "request", "close", name)
    mpop("-C", "a", "push", "--requests")
    mpop("-C", "b", "request", "close", name, "-m", "me too")
    before = Requests(Repository.open("shared")).find(name)
    mpop("-C", "b", "push", "--requests")
    assert f"requests/{name} went on elsewhere and is not pushed; `mpop fetch` brings both" in caplog.text
    assert Requests(Repository.open("shared")).find(name) == before
    mpop("-C", "b", "fetch")
    mpop("-C", "b", "push", "--requests")
    assert kinds("shared", name) == ["open", "close", "close"]


def test_an_offer_survives_collection(labs: tuple[Population, Population, str]) -> None:
    """The branch that it was made from is gone, and nothing but the request leads to it."""
    _, _, name = labs
    mpop("-C", "b", "switch", "main")
    mpop("-C", "b", "branch", "-D", "work")
    for folder in ("b", "shared"):
        mpop("-C", folder, "gc", "--empty-trash")
    assert "can be merged" in mpop("-C", "b", "request", "check", name)
    assert "can be merged" in mpop("-C", "shared", "request", "check", name)


def test_a_lazy_clone_checks_with_what_it_fetches(labs: tuple[Population, Population, str]) -> None:
    _, _, name = labs
    mpop("clone", "--no-data", "shared", "lazy")
    assert not list(Path("lazy/.git/mpop/objects").glob("??/*"))
    assert "can be merged" in mpop("-C", "lazy", "request", "check", name)
    mpop("-C", "lazy", "request", "merge", name)
    assert "\nverified: " in mpop("-C", "lazy", "verify")


def _add(folder: str, name: str, who: str, count: int) -> None:
    repository = Repository.open(folder)
    head = repository.resolve("HEAD")
    for number in range(count):
        Requests(repository).add(name, "update", f"{who} {number}", head)


def test_nobody_loses_an_event_in_a_race(labs: tuple[Population, Population, str]) -> None:
    a, _, name = labs
    context = multiprocessing.get_context("spawn")
    racers = [context.Process(target=_add, args=("a", name, who, 8)) for who in ("one", "two")]
    for one in racers:
        one.start()
    for one in racers:
        one.join(60)
    messages = [one.message for one in Requests(a.repository).find(name).record.events[1:]]
    assert sorted(messages) == sorted(f"{who} {number}" for who in ("one", "two") for number in range(8))
    for who in ("one", "two"):
        mine = [message for message in messages if message.startswith(who)]
        assert mine == sorted(mine), "each sees its own in order"


def test_a_shallow_clone_brings_requests_whole(labs: tuple[Population, Population, str]) -> None:
    """Depth counts commits of the population, and not the steps of a request, which is read from all of them."""
    _, b, name = labs
    virus = b.one_species("virus")
    b.stage([virus.model_copy(update={"name": "phage", "parent": virus.version})])
    b.commit("Call it what it is")
    mpop("-C", "b", "request", "update", name)
    mpop("-C", "b", "push", "--requests")
    mpop("clone", "--depth", "1", "shared", "shallow")
    assert kinds("shallow", name) == ["open", "update"]
    assert len(as_json("-C", "shallow", "log")["commits"]) == 1
    mpop("-C", "shallow", "verify")
    mpop("-C", "shallow", "request", "close", name)
    mpop("-C", "shallow", "push", "--requests")
    assert kinds("shared", name) == ["open", "update", "close"]
