"""The verdict on a request, on cases that were planted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from example_population import make_population
from offered import add_series, add_virus, branch, forged, place_ribosome, spread

from mpop.population import Population
from mpop.requests.chains import Request, Requests
from mpop.requests.check import check
from mpop.requests.offers import offer_branch, offer_species


@pytest.fixture
def lab(tmp_path: Path) -> Population:
    """Branch `shared`: a ribosome along one line in TS_1 and TS_2. HEAD, on main, is there as well."""
    made = make_population(tmp_path)
    place_ribosome(made)
    made.commit("Place the ribosomes")
    branch(made, "shared")
    return made


def request(population: Population, name: str | None = "virus") -> Request:
    """Offer a species, or all, for `shared`."""
    if name is None:
        offer = offer_branch(population, "shared")
        return Requests(population.repository).open("Offer all", "shared", None, offer.commit)
    offer = offer_species(population, name, "shared")
    return Requests(population.repository).open(f"Offer {name}", "shared", offer.species, offer.commit)


def test_a_species_that_disturbs_nobody(lab: Population) -> None:
    add_virus(lab, [lab.item("TS_1"), *add_series(lab, 3)])
    lab.commit("Add a virus")
    before = lab.repository.refs.all(), lab.repository.status(), lab.repository.head
    made = request(lab)
    found = check(lab, made)
    assert str(found.verdict) == "can be merged"
    assert found.verdict.steps == []
    assert (found.target, found.offered) == (lab.repository.resolve("shared"), made.offered)
    assert found.incoming.new == {"species": ["virus"], "tilt series": ["TS_3"], "source": ["grid2"]}
    (virus,) = found.species
    assert (virus.name, virus.how, virus.particles, virus.claimed_A, virus.derived_A) == (
        "virus",
        "new",
        8,
        None,
        None,
    )
    assert [(one.name, one.particles, one.before, one.half1) for one in virus.series] == [
        ("TS_1", 4, 0, 2),
        ("TS_3", 4, 0, 2),
    ]
    assert found.collisions == found.refusals == found.conflicts == []
    assert before[1:] == (lab.repository.status(), lab.repository.head)
    assert set(lab.repository.refs.all()) - set(before[0]) == {f"refs/mpop/requests/{made.id}"}


def test_planted_collisions_are_counted(lab: Population) -> None:
    """Four viruses 5 A beside four ribosomes in TS_1, none in TS_3, where there is no ribosome."""
    add_virus(lab, [lab.item("TS_1"), *add_series(lab, 3)], at_A=23.0)
    lab.commit("Add a virus")
    found = check(lab, request(lab))
    (collision,) = found.collisions
    assert (collision.series, collision.kind, collision.count) == ("TS_1", "overlap", 4)
    assert (collision.offered, collision.other) == ("virus", "ribosome")
    assert collision.nearest_A == pytest.approx(np.hypot(3, 3), abs=1e-6)
    assert 0.5 < collision.overlap < 1.0
    assert str(found.verdict) == "can be merged after deciding on 4 collisions"
    assert found.verdict.steps[0] == "--collisions keep-better|drop-incoming|keep-both"


def test_duplicates_within_the_offer_are_counted(lab: Population) -> None:
    virus = add_virus(lab, [lab.item("TS_1")])
    once = lab.particles(virus, "1" * 16)
    again = spread(77, 4, 50.5)
    twice = type(once)(
        *(np.concatenate([a, b]) for a, b in ((once.id, again.id), (once.half, again.half))),
        np.concatenate([once.position_A, again.position_A]),
        np.concatenate([once.angles_deg, once.angles_deg]),
    )
    lab.stage([virus.model_copy(update={"particles": {"1" * 16: lab.write_particles(twice)}, "n_particles": 8})])
    lab.commit("Pick twice")
    (collision,) = check(lab, request(lab)).collisions
    assert (collision.kind, collision.count, collision.offered, collision.other) == (
        "duplicate",
        4,
        "virus",
        "virus",
    )


def test_collisions_that_were_there_before_are_not_held_against_an_offer(lab: Population) -> None:
    add_virus(lab, [lab.item("TS_1")], at_A=23.0)
    lab.commit("Add a virus in the way")
    branch(lab, "shared")
    virus = lab.one_species("virus")
    more = spread(9, 4, 90.0)
    sets = virus.particles | {"2" * 16: lab.write_particles(more)}
    lab.stage([virus.model_copy(update={"particles": sets, "n_particles": 8, "parent": virus.version})])
    lab.commit("More of it, elsewhere")
    found = check(lab, request(lab))
    assert (found.collisions, str(found.verdict)) == ([], "can be merged")
    (virus_found,) = found.species
    assert [(one.name, one.particles, one.before) for one in virus_found.series] == [("TS_2", 4, 0)]
    assert (virus_found.particles, virus_found.unchanged) == (8, 1)


def test_a_false_resolution_is_refused(lab: Population) -> None:
    virus = add_virus(lab, [lab.item("TS_1")])
    lab.commit("Add a virus")
    commit = forged(lab, virus.model_copy(update={"resolution_A": 8.0}))
    found = check(lab, Requests(lab.repository).open("Offer", "shared", None, commit))
    assert found.verdict.answer == "cannot be merged"
    assert "virus: the record claims 8.00 A, but its half-maps agree nowhere" in found.verdict.reasons
    assert found.verdict.steps == ["B. Biologist corrects it and runs `mpop request update`"]


def test_modest_claims_are_believed(lab: Population) -> None:
    """Half-maps that are the same map agree everywhere; who claims less, or nothing, is not stopped."""
    virus = add_virus(lab, [lab.item("TS_1")])
    maps = lab.maps(virus)
    same = lab.write_group(maps | {"half2": maps["half1"]})
    lab.stage([virus.model_copy(update={"maps_object": same})])
    lab.commit("Add a virus")
    found = check(lab, request(lab))
    assert (found.species[0].claimed_A, found.species[0].derived_A) == (None, pytest.approx(20.0))
    assert str(found.verdict) == "can be merged"


def test_a_wrong_number_of_particles_is_refused(lab: Population) -> None:
    virus = add_virus(lab, [lab.item("TS_1")])
    lab.stage([virus.model_copy(update={"n_particles": 9})])
    lab.commit("Boast")
    assert "says 9 particles, and there are 4" in check(lab, request(lab)).verdict.reasons[0]


def test_what_is_no_population_is_refused(lab: Population) -> None:
    add_virus(lab, [lab.item("TS_1")])
    lab.commit("Add a virus")
    tip = request(lab).tip
    found = check(lab, Requests(lab.repository).open("Offer", "shared", None, tip))
    assert str(found.verdict) == f"cannot be merged, because commit {tip[:10]} is no state of a population"


def test_mixed_halves_are_refused(lab: Population) -> None:
    """A policy that a commit here would have stopped; a stranger's population was not asked."""
    ribosome = lab.one_species("ribosome")
    particles = lab.particles(ribosome, "1" * 16)
    swapped = type(particles)(
        particles.id, 3 - particles.half, particles.position_A, particles.angles_deg, particles.extra
    )
    sets = ribosome.particles | {"1" * 16: lab.write_particles(swapped)}
    commit = forged(lab, ribosome.model_copy(update={"particles": sets, "parent": ribosome.version}))
    made = Requests(lab.repository).open("Offer", "shared", None, commit)
    found = check(lab, made)
    assert found.verdict.answer == "cannot be merged"
    assert "halves-unmixed" in found.refusals[0] and "4 particles have moved" in found.refusals[0]


def test_a_version_that_does_not_follow_is_refused(lab: Population) -> None:
    virus = add_virus(lab, [lab.item("TS_1")])
    lab.commit("Add a virus")
    repository = lab.repository
    head = repository.resolve("HEAD")
    path = f"species/{virus.id}.json"
    forged = repository.read(path, head) | {"name": "phage"}
    commit = repository.write_commit(head, {path: forged}, [head], "Rename by hand")
    found = check(lab, Requests(repository).open("Offer", "shared", None, commit))
    assert found.verdict.answer == "cannot be merged"
    assert "versions-derive" in found.refusals[0]


def test_missing_objects_are_refused(lab: Population) -> None:
    virus = add_virus(lab, [lab.item("TS_1")])
    lab.commit("Add a virus")
    made = request(lab)
    group = virus.particles["1" * 16]
    (lab.repository.private / "objects" / group[:2] / group[2:]).unlink()
    found = check(Population.open(lab.root), made)
    assert found.verdict.answer == "cannot be merged"
    assert group[:10] in " ".join(found.refusals)


def test_a_series_that_both_sides_changed_is_a_conflict(lab: Population) -> None:
    """The item was refined on `shared` and in the offered branch."""
    item = lab.item("TS_1")
    repository = lab.repository
    start = repository.resolve("HEAD")
    for name, bend in (("shared", 1.0), ("main", 2.0)):
        series = lab.tilt_series(item)
        bent = type(series)(**{**vars(series), "axis_offset_x_A": np.full(3, bend)})
        refined = item.model_copy(update={"model_object": lab.write_tilt_series(bent), "parent": item.version})
        commit = repository.write_commit(start, lab.changes([refined], start), [start], f"Refine on {name}")
        ref = f"refs/heads/{name}"
        repository.refs.update({ref: (repository.refs.get(ref), commit)}, "test")
    made = Requests(repository).open("Offer", "shared", None, repository.resolve("main"))
    found = check(lab, made)
    assert [one.label for one in found.conflicts] == ["item/TS_1"]
    assert str(found.verdict) == "can be merged after deciding on 1 conflict"
    assert found.verdict.steps == ["--resolve item/TS_1=ours|theirs|better"]


def test_what_is_merged_is_merged(lab: Population) -> None:
    add_virus(lab, [lab.item("TS_1")])
    lab.commit("Add a virus")
    made = request(lab)
    branch(lab, "shared", made.offered)
    assert str(check(lab, made).verdict) == "merged already"


def test_an_offer_of_the_own_branch_is_checked_against_what_others_have(lab: Population) -> None:
    """Somebody added the virus on main, next to other things, and offers it for main as origin has it."""
    repository = lab.repository
    repository.refs.update({"refs/remotes/origin/main": (None, repository.resolve("HEAD"))}, "fetch")
    add_virus(lab, [lab.item("TS_1")])
    lab.commit("Add a virus")
    offer = offer_species(lab, "virus", "main")
    made = Requests(repository).open("Offer virus", "main", offer.species, offer.commit)
    found = check(lab, made)
    assert found.target == repository.resolve("origin/main")
    assert str(found.verdict) == "can be merged"


def test_other_names_are_told(lab: Population) -> None:
    (item,) = add_series(lab, 3)
    add_virus(lab, [item])
    lab.commit("Add a virus")
    made = request(lab)
    base = lab.repository.resolve("shared")
    there = item.model_copy(update={"id": "7" * 16, "name": "grid_A_003", "source": "4" * 16})
    source = lab.source("grid1").model_copy(update={"id": "4" * 16, "items": [there.id]})
    tip = lab.repository.write_commit(base, lab.changes([source, there], base), [base], "Import grid 2")
    lab.repository.refs.update({"refs/heads/shared": (base, tip)}, "test")
    found = check(lab, made)
    assert [(one.name, one.name_there) for one in found.matching.mapped] == [("TS_3", "grid_A_003")]
    assert [one.name for one in found.species[0].series] == ["grid_A_003"]
    assert str(found.verdict) == "can be merged"
    assert found.offered != made.offered
