"""What is offered: one species and no more, with a history from which every version can be derived."""

from __future__ import annotations

from pathlib import Path

import pytest
from offered import VIRUS, add_virus, branch, other_lab, spread

from mpop.errors import NotFoundError, StateError
from mpop.jobs.verify import verify
from mpop.population import Population, versioned
from mpop.requests.chains import Requests
from mpop.requests.offers import branch_tip, offer_branch, offer_species
from mpop_hooks import Proposal, check, refusals

RIBOSOME = "a" * 16


def names(population: Population, at: str) -> tuple[set[str], set[str], set[str]]:
    """Names of species, series and sources."""
    return tuple(
        {one.name for one in records.values()}
        for records in (population.species(at), population.items(at), population.sources(at))
    )  # pyright: ignore[reportReturnType]


def test_one_species_comes_alone_with_the_series_it_needs(population: Population) -> None:
    offer = offer_species(population, "virus", "shared")
    assert offer.base == population.repository.resolve("shared")
    assert names(population, offer.commit) == (
        {"ribosome", "virus"},
        {"TS_1", "TS_2", "TS_3"},
        {"grid1", "grid2"},
    )
    changes = population.repository.changes("shared", offer.commit)
    assert set(changes.values()) == {"A"}
    assert f"species/{RIBOSOME}.json" not in changes, "the ribosome's refinement is not offered"
    assert "items/11/1111111111111111.json" not in changes, "neither is the series that was refined with it"
    assert population.one_species("virus", offer.commit) == population.one_species("virus", "HEAD")
    assert offer.along == ["items/33/3333333333333333.json", f"sources/{'6' * 16}.json"]
    assert offer.as_history == []


def test_a_species_that_was_refined_brings_its_ancestry_as_history(population: Population) -> None:
    offer = offer_species(population, "ribosome", "shared")
    assert population.one_species("ribosome", offer.commit).resolution_A == 12.5
    assert population.item("TS_1", offer.commit) == population.item("TS_1", "shared"), "the series stay theirs"
    assert names(population, offer.commit)[0] == {"ribosome"}
    refined = population.item("TS_1", "HEAD")
    assert offer.as_history == [f"series TS_1@{refined.version[:8]}"]
    base, beside = population.repository.show(offer.commit).parents
    assert base == offer.base
    taken_along = population.repository.ahead(beside, offer.base)[0]
    assert population.item("TS_1", taken_along.id) == refined
    assert "what the offered species was made from" in taken_along.message
    assert population.repository.changes(beside, offer.base) == {}, "it ends as it began"


@pytest.mark.parametrize("name", ["virus", "ribosome"])
def test_the_other_lab_can_derive_every_version(population: Population, tmp_path: Path, name: str) -> None:
    offer = offer_species(population, name, "shared")
    request = Requests(population.repository).open(f"Offer {name}", "main", offer.species, offer.commit)
    there = other_lab(population, tmp_path / "there", request.id, "shared")
    assert Requests(there.repository).find(request.id) == request
    branch(there, "main", request.offered)
    there.repository.refs.update({"HEAD": ("ref: refs/heads/main", "ref: refs/heads/main")}, "test")
    assert verify(there).problems == []
    assert there.one_species(name, "main") == population.one_species(name, "HEAD")


def test_offering_twice_makes_the_same_commit(population: Population) -> None:
    assert offer_species(population, "virus", "shared") == offer_species(population, VIRUS, "shared")


def test_nothing_to_offer(population: Population) -> None:
    branch(population, "shared")
    with pytest.raises(StateError, match="shared has virus as it is here"):
        offer_species(population, "virus", "shared")
    with pytest.raises(StateError, match="shared has everything that is here"):
        offer_branch(population, "shared")
    with pytest.raises(NotFoundError, match="no branch 'elsewhere'"):
        offer_branch(population, "elsewhere")
    with pytest.raises(NotFoundError, match="no species 'phage'"):
        offer_species(population, "phage", "shared")


def test_a_branch_is_offered_as_it_is(population: Population) -> None:
    offer = offer_branch(population, "shared")
    assert (offer.commit, offer.species) == (population.repository.head, None)


def test_a_species_is_offered_on_what_others_have(population: Population) -> None:
    repository = population.repository
    first, second = (repository.resolve(name) for name in ("shared", "HEAD~1"))
    assert branch_tip(population, "shared") == first
    repository.refs.update({"refs/remotes/lab/shared": (None, second)}, "fetch")
    assert branch_tip(population, "shared") == second
    assert branch_tip(population, "shared", remote_first=False) == first
    assert offer_species(population, "virus", "shared").base == second
    repository.refs.update({"refs/remotes/origin/shared": (None, first)}, "fetch")
    assert branch_tip(population, "shared") == first, "origin, where there are several"


def test_an_update_of_a_known_species_is_offered_as_a_change(population: Population) -> None:
    branch(population, "shared")
    virus = population.one_species("virus")
    none_left = population.write_particles(spread(0, 0, 0.0))
    smaller = {"particles": virus.particles | {"3" * 16: none_left}, "n_particles": 4, "parent": virus.version}
    population.stage([virus.model_copy(update=smaller)])
    population.commit("Remove collisions")
    offer = offer_species(population, "virus", "shared")
    assert population.one_species("virus", offer.commit).particles == smaller["particles"]
    assert population.repository.changes("shared", offer.commit) == {
        f"species/{VIRUS}.json": "M",
        f"species/{VIRUS}/33.json": "M",
    }


def test_policies_have_nothing_against_what_travels_as_history(population: Population) -> None:
    """Species and series that were only refined along come and go in the history; that is no loss."""
    virus = population.one_species("virus")
    item = population.item("TS_1")
    refined = versioned(
        item.model_copy(
            update={
                "parent": item.version,
                "species_versions": {VIRUS: virus.version, RIBOSOME: population.one_species("ribosome").version},
            }
        )
    )
    ribosome = population.one_species("ribosome")
    more = ribosome.particles | {"3" * 16: population.write_particles(spread(3, 4, 90.0))}
    new = {
        "particles": more,
        "n_particles": 12,
        "parent": ribosome.version,
        "item_versions": {item.id: item.version},
    }
    wider = versioned(ribosome.model_copy(update=new))
    population.stage([wider, refined])
    population.commit("Refine the series against both")
    again = {"species_versions": {RIBOSOME: wider.version}, "parent": refined.version}
    last = versioned(refined.model_copy(update=again))
    better = virus.model_copy(update={"item_versions": {item.id: last.version}, "parent": virus.version})
    population.stage([last, better])
    population.commit("Refine the virus")
    offer = offer_species(population, "virus", "shared")
    assert any(one.startswith("species ribosome") for one in offer.as_history)
    history = population.repository
    assert population.one_species("ribosome", offer.commit) == population.one_species("ribosome", "shared")
    for commit in history.ahead(offer.commit, offer.base):
        for parent in commit.parents:
            findings = check(Proposal.between(history, parent, commit.id, "receive"))
            assert refusals(findings) == [], commit.subject
    branch(population, "main", offer.commit)
    assert verify(population).problems == []


def test_particles_of_a_new_species_on_known_series_need_nothing_else(population: Population) -> None:
    branch(population, "shared")
    population.stage([], remove=[population.one_species("virus")])
    population.commit("Remove")
    branch(population, "shared")
    add_virus(population, [population.item("TS_1"), population.item("TS_2")])
    population.commit("Add the virus again")
    offer = offer_species(population, "virus", "shared")
    assert (offer.along, offer.as_history) == ([], [])
    assert len(population.repository.show(offer.commit).parents) == 1
