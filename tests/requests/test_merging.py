"""Merging a request: one commit, clean, marked, and sound."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_population import make_population
from offered import add_series, add_virus, forged, place_ribosome, spread

from mpop.collisions.choices import Choice
from mpop.errors import InputError, StateError
from mpop.jobs.verify import verify
from mpop.merging import merge
from mpop.merging.applying import apply
from mpop.population import Population
from mpop.requests import check as check_module
from mpop.requests import merging
from mpop.requests.chains import Request, Requests
from mpop.requests.check import check
from mpop.requests.merging import merge_request
from mpop.requests.offers import offer_branch, offer_species


@pytest.fixture
def lab(tmp_path: Path) -> Population:
    """A ribosome along one line in TS_1 and TS_2, committed on main; HEAD is on branch `work`, there too."""
    made = make_population(tmp_path)
    place_ribosome(made)
    made.commit("Place the ribosomes")
    made.repository.switch("refs/heads/work", "test", start=made.repository.head)
    return made


def offered(lab: Population, name: str | None = "virus") -> Request:
    """Commit the working state on `work`, offer it for main, and go back to main."""
    lab.commit("Work")
    offer = offer_branch(lab, "main") if name is None else offer_species(lab, name, "main")
    made = Requests(lab.repository).open("Offer it", "main", offer.species, offer.commit, "please")
    lab.repository.switch("refs/heads/main", "test")
    return made


def test_a_request_is_merged_and_marked(lab: Population) -> None:
    add_virus(lab, [lab.item("TS_1"), *add_series(lab, 3)])
    made = offered(lab)
    before = lab.repository.head
    done = merge_request(lab, made.id[:5], message="welcome")
    commit = lab.repository.show(done.commit)
    assert lab.repository.refs.get("refs/heads/main") == done.commit
    assert commit.parents == (before, made.offered)
    assert commit.subject == f"Merge request {made.id}: Offer it"
    assert {one.name for one in lab.species().values()} == {"ribosome", "virus"}
    assert (done.removed, done.left) == ({}, 0)
    record = Requests(lab.repository).find(made.id).record
    assert (record.state, record.events[-1].commit, record.events[-1].message) == (
        "merged",
        done.commit,
        "welcome",
    )
    assert lab.repository.is_clean
    assert verify(lab).problems == []


def test_merging_twice_changes_nothing(lab: Population) -> None:
    add_virus(lab, [lab.item("TS_1")])
    made = offered(lab)
    done = merge_request(lab, made.id)
    again = merge_request(lab, made.id)
    assert (again.commit, again.request) == (done.commit, done.request)
    assert lab.repository.head == done.commit


def test_a_merge_that_died_before_its_mark_gets_it(lab: Population, monkeypatch: pytest.MonkeyPatch) -> None:
    add_virus(lab, [lab.item("TS_1")])
    made = offered(lab)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(merging.Requests, "add", die)
        merge_request(lab, made.id)
    assert Requests(lab.repository).find(made.id).record.state == "open"
    done = merge_request(lab, made.id)
    assert done.request.record.state == "merged"
    assert lab.repository.show("HEAD").subject.startswith("Merge request")


@pytest.mark.parametrize(
    ("choice", "removed", "left"),
    [
        (Choice.DROP_INCOMING, {"virus": 2}, 0),
        (Choice.KEEP_BETTER, {"ribosome": 2}, 0),
        (Choice.KEEP_BOTH, {}, 2),
    ],
)
def test_collisions_go_as_chosen(lab: Population, choice: Choice, removed: dict, left: int) -> None:
    """Two of four viruses sit on ribosomes; the virus is the better map only because it is told to be larger."""
    virus = add_virus(lab, [lab.item("TS_1")], at_A=70.0)
    particles = lab.particles(virus, "1" * 16)
    position = particles.position_A.copy()
    position[:2, 0] = [[20.0, 20.0, 20.0], [60.0, 20.0, 20.0]]
    moved = type(particles)(particles.id, particles.half, position, particles.angles_deg, particles.extra)
    maps = lab.maps(virus) | {"mask": _larger_ball()}
    new = {"particles": {"1" * 16: lab.write_particles(moved)}, "maps_object": lab.write_group(maps)}
    lab.stage([virus.model_copy(update=new)])
    made = offered(lab)
    with pytest.raises(StateError, match=r"undecided: 2 collisions; give --collisions keep-better\|drop"):
        merge_request(lab, made.id)
    done = merge_request(lab, made.id, collisions=choice)
    assert (done.removed, done.left) == (removed, left)
    counts = {one.name: one.n_particles for one in lab.species().values()}
    assert counts == {"ribosome": 8 - removed.get("ribosome", 0), "virus": 4 - removed.get("virus", 0)}
    kept = lab.particles(lab.one_species("virus"), "1" * 16)
    assert set(kept.id) == (set(moved.id[2:]) if choice is Choice.DROP_INCOMING else set(moved.id))
    assert len(lab.repository.show("HEAD").parents) == 2, "one commit, and no other"
    assert verify(lab).problems == []


def _larger_ball() -> np.ndarray:
    radius = np.linalg.norm(np.indices((20, 20, 20)) - 10, axis=0)
    return (radius <= 2.3).astype(np.float32)


def move_ribosomes(lab: Population, item: str, to_A: float) -> None:
    """Stage other places of the ribosomes in one series."""
    ribosome = lab.one_species("ribosome")
    moved = lab.write_particles(spread(0, 4, to_A))
    lab.stage([ribosome.model_copy(update={"particles": {**ribosome.particles, item: moved}})])


@pytest.mark.parametrize("joined", [False, True], ids=["as offered", "joined"])
def test_a_request_is_planned_and_searched_once(
    lab: Population, joined: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Searched again is only what the merge made of a species that both sides changed."""
    add_virus(lab, [lab.item("TS_1")], at_A=23.0)
    if joined:
        move_ribosomes(lab, "2" * 16, 25.0)
    made = offered(lab, None)
    if joined:
        move_ribosomes(lab, "1" * 16, 22.0)
        lab.commit("Move ribosomes of the other series on main")
    calls: list[str] = []

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any, **options: Any) -> Any:
            calls.append(name)
            return real(*words, **options)

        return call

    for module in (check_module, merging):
        for name in {"plan", "find_among"} & set(vars(module)):
            monkeypatch.setattr(module, name, counted(name, getattr(module, name)))
    done = merge_request(lab, made.id, collisions=Choice.DROP_INCOMING)
    assert done.removed["virus"] == 4
    assert calls == ["plan", "find_among", *(["find_among"] if joined else [])]


def test_a_merge_of_a_request_holds_a_lease(lab: Population, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has written is kept from garbage collection until the commit names it."""
    add_virus(lab, [lab.item("TS_1")])
    made = offered(lab)
    held: list[str] = []

    def applied(*words: Any) -> Any:
        held.extend(lease.purpose for lease in lab.objects.leases.live(time.time()))
        return apply(*words)

    monkeypatch.setattr(merging, "apply", applied)
    merge_request(lab, made.id)
    assert held == ["merge"]


def test_a_clean_species_keeps_its_version(lab: Population) -> None:
    virus = add_virus(lab, [lab.item("TS_1")])
    made = offered(lab)
    merge_request(lab, made.id)
    assert lab.one_species("virus").version == virus.version


def test_a_cleaned_species_is_a_child_of_what_was_offered(lab: Population) -> None:
    virus = add_virus(lab, [lab.item("TS_1")], at_A=23.0)
    made = offered(lab)
    merge_request(lab, made.id, collisions=Choice.DROP_INCOMING)
    cleaned = lab.one_species("virus")
    assert (cleaned.parent, cleaned.job, cleaned.n_particles) == (virus.version, None, 0)


def test_what_the_check_refuses_is_not_merged(lab: Population) -> None:
    virus = add_virus(lab, [lab.item("TS_1")])
    lab.commit("Work")
    commit = forged(lab, virus.model_copy(update={"resolution_A": 4.0}))
    made = Requests(lab.repository).open("Offer it", "main", None, commit)
    lab.repository.switch("refs/heads/main", "test")
    before = lab.repository.refs.all()
    with pytest.raises(StateError, match=r"cannot be merged, because a resolution of 4\.00 A is claimed"):
        merge_request(lab, made.id)
    assert lab.repository.refs.all() == before
    assert lab.repository.is_clean


def test_where_and_when_a_request_can_be_merged(lab: Population) -> None:
    add_virus(lab, [lab.item("TS_1")])
    made = offered(lab)
    lab.repository.switch("refs/heads/work", "test")
    with pytest.raises(StateError, match="is meant for main; `mpop switch main` first"):
        merge_request(lab, made.id)
    lab.repository.switch("refs/heads/main", "test")
    add_series(lab, 4)
    with pytest.raises(StateError, match="working state holds changes"):
        merge_request(lab, made.id)
    lab.commit("Add series")
    Requests(lab.repository).add(made.id, "close", "no")
    with pytest.raises(StateError, match="is closed"):
        merge_request(lab, made.id)


def test_conflicts_are_decided_by_name(lab: Population) -> None:
    """TS_1 was refined on main, and differently on the branch that is offered."""
    item = lab.item("TS_1")
    series = lab.tilt_series(item)

    def bent(bend: float) -> dict[str, object]:
        model = type(series)(**{**vars(series), "axis_offset_x_A": np.full(3, bend)})
        return {"model_object": lab.write_tilt_series(model), "parent": item.version}

    lab.stage([item.model_copy(update=bent(1.0))])
    made = offered(lab, None)
    lab.stage([item.model_copy(update=bent(2.0))])
    lab.commit("Refine on main")
    with pytest.raises(StateError, match=r"undecided: 1 conflict; give --resolve item/TS_1=ours\|theirs"):
        merge_request(lab, made.id)
    with pytest.raises(InputError, match="no conflict is called item/TS_9"):
        merge_request(lab, made.id, {"item/TS_9": "ours"})
    done = merge_request(lab, made.id, {"item/TS_1": "theirs"})
    assert done.resolved == {"item/TS_1": "theirs"}
    assert lab.tilt_series(lab.item("TS_1")).axis_offset_x_A[0] == 1.0
    assert verify(lab).problems == []


def test_matched_series_are_merged_into_those_there(lab: Population) -> None:
    """main learns of the offered series under another id before the request is merged."""
    (item,) = add_series(lab, 3)
    add_virus(lab, [item])
    made = offered(lab)
    there = item.model_copy(update={"id": "7" * 16, "name": "grid_A_003", "source": "4" * 16})
    source = lab.source("grid1").model_copy(update={"id": "4" * 16, "name": "theirs", "items": [there.id]})
    lab.stage([source, there])
    lab.commit("Import grid 2 here too")
    merge_request(lab, made.id)
    assert set(lab.one_species("virus").particles) == {"7" * 16}
    assert set(lab.items()) == {"1" * 16, "2" * 16, "7" * 16}
    assert verify(lab).problems == []


def test_particles_that_overlap_nothing_in_other_series_stay(lab: Population) -> None:
    virus = add_virus(lab, [lab.item("TS_1"), *add_series(lab, 3)], at_A=23.0)
    made = offered(lab)
    done = merge_request(lab, made.id, collisions=Choice.DROP_INCOMING)
    assert done.removed == {"virus": 4}
    kept = lab.one_species("virus")
    assert kept.particles["3" * 16] == virus.particles["3" * 16]
    assert len(lab.particles(kept, "3" * 16)) == len(spread(0, 4, 0.0))


def test_an_offer_from_labs_that_merged_each_other_brings_only_what_is_new(lab: Population) -> None:
    """Main and work merged each other: of two best common ancestors, neither's species is offered again."""
    repository = lab.repository
    add_virus(lab, [lab.item("TS_1")])
    lab.commit("A virus")
    work = repository.resolve("work")
    repository.switch("refs/heads/main", "test")
    lab.stage([lab.source("grid1").model_copy(update={"name": "June"})])
    lab.commit("Rename the source")
    main = repository.resolve("main")
    merge(lab, work)
    repository.switch("refs/heads/work", "test")
    merge(lab, main)
    item = lab.item("TS_2")
    lab.stage([item.model_copy(update={"name": "second", "parent": item.version})])
    made = offered(lab, None)
    found = check(lab, made)
    assert found.species == []
    assert (found.conflicts, found.collisions, found.refusals) == ([], [], [])
    assert found.incoming is not None
    assert found.incoming.changed == {"tilt series": ["second"]}
    assert any("2 best common ancestors" in note for note in found.notes)
    merge_request(lab, made.id)
    assert lab.item("2" * 16).name == "second"
    assert lab.source("5" * 16).name == "June"
    assert verify(lab).problems == []
