"""Every rule of the merge as a row: what two sides did, and what comes of it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from example_population import make_population
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
    edit_source,
    edit_species,
    fork,
    link_elsewhere,
    move,
    new_maps,
    refine_item,
    remove,
    remove_source,
    remove_species,
    rename_population,
    store_raw,
)

from mpop.errors import InputError, StateError
from mpop.jobs.verify import verify
from mpop.merging import merge, plan
from mpop.population import Population

ONE, TWO = "1" * 16, "2" * 16
Check = Callable[[Population], None]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("example")
    make_population(folder)
    return folder


@pytest.fixture
def population(template: Path, tmp_path: Path) -> Population:
    subprocess.run(["cp", "-r", f"{template}/.", str(tmp_path)], check=True)
    return Population.open(tmp_path / "population")


@dataclass(frozen=True)
class Row:
    """One rule. takes: which side's records the merge has, by path of `content`; None stands for neither's."""

    name: str
    ours: tuple[Edit, ...]
    theirs: tuple[Edit, ...]
    takes: dict[str, str] = field(default_factory=dict)
    check: Check | None = None


def _rows_of(population: Population, name: str) -> dict[int, tuple[float, ...]]:
    particles = population.particles(population.one_species(SPECIES), population.item(name).id)
    return {int(i): tuple(p[0]) for i, p in zip(particles.id, particles.position_A, strict=True)}


def _moved_and_added(population: Population) -> None:
    one = population.one_species(SPECIES)
    rows = _rows_of(population, "TS_1")
    base = _rows_of_at(population, "TS_1", "theirs~1")
    ours, theirs = (_rows_of_at(population, "TS_1", at) for at in ("HEAD^1", "theirs"))
    assert len(rows) == 4 + 2 - 1 == len(base) + 1
    assert one.n_particles == 8 + 2 - 1
    assert set(rows) == (set(ours) | set(theirs)) - (set(base) - set(theirs))
    first = min(base, key=lambda i: list(base).index(i))
    assert rows[first] == ours[first] != base[first]


def _rows_of_at(population: Population, name: str, at: str) -> dict[int, tuple[float, ...]]:
    one = population.one_species(SPECIES, at)
    particles = population.particles(one, population.item(name, at).id)
    return {int(i): tuple(p[0]) for i, p in zip(particles.id, particles.position_A, strict=True)}


def _both_names(population: Population) -> None:
    item = population.item(ONE)
    assert item.name == "renamed"
    assert item.model_object == population.item(ONE, "theirs").model_object
    assert item.parent == population.item(ONE, "HEAD^1").version
    assert item.merged == [population.item(ONE, "theirs").version]


def _maps_and_rows(population: Population) -> None:
    """The half-maps of one side, the particles of both."""
    one, theirs = population.one_species(SPECIES), population.one_species(SPECIES, "theirs")
    assert (one.maps_object, one.resolution_A) == (theirs.maps_object, theirs.resolution_A)
    assert one.item_versions == theirs.item_versions
    assert one.particles[ONE] == population.one_species(SPECIES, "HEAD^1").particles[ONE]
    assert one.merged == [theirs.version]


def _items_of_both(population: Population) -> None:
    assert population.source("grid1").items == sorted([ONE, TWO, "3" * 16, "4" * 16])


def _their_images_are_stored(population: Population) -> None:
    raw = population.item(ONE).raw
    assert all(one.stored_object is not None and one.path.startswith("../elsewhere") for one in raw)


def _least_job(population: Population) -> None:
    versions = [population.jobs(at)["9" * 64].version for at in ("HEAD^1", "theirs")]
    assert population.jobs()["9" * 64].version == min(versions)


def _parameters(population: Population, path: str = f"items/{ONE}") -> Any:
    return content(population)[path]


ROWS = [
    Row(
        "new species on both sides",
        (add_species("b" * 16, "x"),),
        (add_species("c" * 16, "y"),),
        {f"species/{'b' * 16}": "ours", f"species/{'c' * 16}": "theirs"},
    ),
    Row(
        "new sources on both sides",
        (add_source("6" * 16, "g", "3" * 16),),
        (add_source("7" * 16, "h", "4" * 16),),
        {"sources/" + "6" * 16: "ours", "sources/" + "7" * 16: "theirs", "items/" + "4" * 16: "theirs"},
    ),
    Row("a series refined on one side", (), (refine_item("TS_1", 2.0),), {f"items/{ONE}": "theirs"}),
    Row(
        "different series refined",
        (refine_item("TS_2", 1.0),),
        (refine_item("TS_1", 2.0),),
        {f"items/{ONE}": "theirs", f"items/{TWO}": "ours"},
    ),
    Row(
        "the same series refined to the same",
        (refine_item("TS_1", 2.0),),
        (refine_item("TS_1", 2.0),),
        {f"items/{ONE}": "theirs"},
    ),
    Row(
        "maps on one side",
        (edit_species(name="new"),),
        (new_maps(3, 9.0),),
        check=lambda p: (_same_maps(p, "theirs"), _named(p, "new"))[0],
    ),
    Row(
        "a series renamed here and refined there",
        (edit_item("TS_1", name="renamed"),),
        (refine_item("TS_1", 2.0),),
        check=_both_names,
    ),
    Row(
        "rows moved here, added and removed there",
        (edit_rows("TS_1", move(0, 3.0)),),
        (edit_rows("TS_1", add(77)), edit_rows("TS_1", remove(1))),
        check=_moved_and_added,
    ),
    Row(
        "rows removed here and moved there are gone",
        (edit_rows("TS_1", remove(0)),),
        (edit_rows("TS_1", move(0, 3.0)),),
        {f"species/{SPECIES}": "ours"},
    ),
    Row(
        "rows of different series",
        (edit_rows("TS_1", move(0, 3.0)),),
        (edit_rows("TS_2", move(0, 3.0)),),
        check=lambda p: _rows_from_both(p),
    ),
    Row("maps there, rows here", (edit_rows("TS_1", move(0, 3.0)),), (new_maps(3, 9.0),), check=_maps_and_rows),
    Row(
        "the same maps on both sides",
        (new_maps(3, 9.0),),
        (new_maps(3, 9.0), edit_species(name="new")),
        {f"species/{SPECIES}": "theirs"},
    ),
    Row(
        "series added to one source",
        (add_to_source("3" * 16, "TS_3"),),
        (add_to_source("4" * 16, "TS_4"),),
        check=_items_of_both,
    ),
    Row(
        "source settings by field",
        (edit_source(name="grid"),),
        (edit_source(pixel_size_A=9.0),),
        check=lambda p: _source(p),
    ),
    Row("population settings", (), (rename_population("ours and theirs"),), {"name": "theirs"}),
    Row(
        "population settings on both sides", (rename_population("a"),), (rename_population("b"),), {"name": "ours"}
    ),
    Row(
        "images stored there, linked elsewhere here",
        (link_elsewhere,),
        (store_raw("TS_1"),),
        check=_their_images_are_stored,
    ),
    Row("a species removed on one side", (remove_species,), (refine_item("TS_1", 2.0),), check=lambda p: _gone(p)),
    Row("a species removed on both sides", (remove_species,), (remove_species,), check=lambda p: _gone(p)),
    Row("the same job run twice", (add_job("9" * 64, 1.0),), (add_job("9" * 64, 2.0),), check=_least_job),
    Row("different jobs", (add_job("8" * 64, 1.0),), (add_job("9" * 64, 2.0),), check=lambda p: _jobs(p)),
]


def _same_maps(population: Population, at: str) -> None:
    assert population.one_species(SPECIES).maps_object == population.one_species(SPECIES, at).maps_object


def _named(population: Population, name: str) -> None:
    assert population.one_species(SPECIES).name == name


def _rows_from_both(population: Population) -> None:
    one = population.one_species(SPECIES)
    assert one.particles[ONE] == population.one_species(SPECIES, "HEAD^1").particles[ONE]
    assert one.particles[TWO] == population.one_species(SPECIES, "theirs").particles[TWO]


def _source(population: Population) -> None:
    source = population.source("5" * 16)
    assert (source.name, source.pixel_size_A) == ("grid", 9.0)


def _gone(population: Population) -> None:
    assert population.species() == {}


def _jobs(population: Population) -> None:
    assert {"8" * 64, "9" * 64} < set(population.jobs())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_merges_without_a_question(row: Row, population: Population) -> None:
    base = fork(population, row.ours, row.theirs)
    ours, theirs = population.repository.resolve("HEAD"), population.repository.resolve("theirs")
    result = merge(population, "theirs", no_ff=True)
    assert result.plan.conflicts == []
    assert result.status == "merged"
    assert result.plan.bases == [base]
    assert population.repository.show().parents == (ours, theirs)
    assert population.repository.is_clean
    merged = content(population)
    for path, side in row.takes.items():
        assert merged[path] == content(population, ours if side == "ours" else theirs)[path], path
    if row.check is not None:
        row.check(population)
    assert verify(population).problems == []
    assert merge(population, "theirs").status == "up to date"


CONFLICTS = {
    "one series refined twice": ((refine_item("TS_1", 1.0),), (refine_item("TS_1", 2.0),), [f"item/{ONE}"]),
    "maps on both sides": ((new_maps(3, 9.0),), (new_maps(4, 8.0),), [f"species/{SPECIES}"]),
    "rows moved on both sides": (
        (edit_rows("TS_1", move(0, 3.0)),),
        (edit_rows("TS_1", move(0, 4.0)),),
        [f"species/{SPECIES}"],
    ),
    "a species removed here, changed there": ((remove_species,), (new_maps(3, 9.0),), [f"species/{SPECIES}"]),
    "a species changed here, removed there": ((new_maps(3, 9.0),), (remove_species,), [f"species/{SPECIES}"]),
    "a source measured twice": (
        (edit_source(pixel_size_A=9.0),),
        (edit_source(pixel_size_A=8.0),),
        ["source/" + "5" * 16],
    ),
    "a symmetry against new maps": ((edit_species(symmetry="C2"),), (new_maps(3, 9.0),), [f"species/{SPECIES}"]),
}


@pytest.mark.parametrize("side", ["ours", "theirs"])
@pytest.mark.parametrize(("ours", "theirs", "keys"), list(CONFLICTS.values()), ids=list(CONFLICTS))
def test_conflicts_resolve_to_a_side(
    ours: tuple[Edit, ...], theirs: tuple[Edit, ...], keys: list[str], side: Any, population: Population
) -> None:
    fork(population, ours, theirs)
    found = plan(population, "theirs")
    assert [one.key for one in found.conflicts] == keys
    result = merge(population, "theirs", {key: side for key in keys})
    assert result.status == "merged"
    merged, chosen = content(population), content(population, "HEAD^1" if side == "ours" else "theirs")
    for key in keys:
        kind, identity = key.split("/")
        path = f"{ {'item': 'items', 'source': 'sources'}.get(kind, kind) }/{identity}"
        assert merged.get(path) == chosen.get(path)
    assert result.job is not None
    assert {key: one["way"] for key, one in result.job.parameters["resolutions"].items()} == dict.fromkeys(
        keys, side
    )
    assert verify(population).problems == []


def test_a_series_whose_source_went_cannot_be_kept(population: Population) -> None:
    fork(population, (remove_source,), (refine_item("TS_1", 2.0),))
    (conflict,) = plan(population, "theirs").conflicts
    assert (conflict.key, conflict.ways) == (f"item/{ONE}", ("ours", "theirs"))
    assert conflict.ours.version is None
    with pytest.raises(StateError, match=r"item/TS_1 cannot be kept, as one side removed its source"):
        merge(population, "theirs", default="theirs")
    assert merge(population, "theirs", default="ours").status == "merged"
    assert population.items() == population.sources() == population.species() == {}


def test_poses_follow_the_model_that_is_chosen(population: Population) -> None:
    """Whose half-maps are taken does not decide whose particle poses are."""
    ours = (refine_item("TS_1", 1.0), edit_rows("TS_1", move(0, 1.0)), new_maps(3, 9.0))
    theirs = (refine_item("TS_1", 2.0), edit_rows("TS_1", move(0, 2.0)), new_maps(4, 8.0))
    fork(population, ours, theirs)
    result = merge(population, "theirs", {"item/TS_1": "theirs", "species/ribosome": "ours"})
    assert result.status == "merged"
    one = population.one_species(SPECIES)
    assert one.maps_object == population.one_species(SPECIES, "HEAD^1").maps_object
    assert one.particles[ONE] == population.one_species(SPECIES, "theirs").particles[ONE]
    assert verify(population).ok


def test_both_keeps_two_species(population: Population) -> None:
    fork(population, (new_maps(3, 9.0),), (new_maps(4, 8.0), edit_rows("TS_1", move(0, 2.0))))
    merge(population, "theirs", {"species/ribosome": "both"})
    species = population.species()
    ours, theirs = population.one_species(SPECIES, "HEAD^1"), population.one_species(SPECIES, "theirs")
    assert species[SPECIES] == ours
    (second,) = (one for one in species.values() if one.id != SPECIES)
    assert second.name == f"ribosome-{second.id[:6]}"
    assert (second.maps_object, second.particles) == (theirs.maps_object, theirs.particles)
    assert second.parent == theirs.version
    assert verify(population).ok


@pytest.mark.parametrize(
    ("here", "there", "side"), [(9.0, 8.0, "theirs"), (8.0, 9.0, "ours"), (None, 9.0, "theirs")]
)
def test_better_species_is_the_finer_one(
    here: float | None, there: float | None, side: str, population: Population
) -> None:
    fork(population, (new_maps(3, here),), (new_maps(4, there),))
    result = merge(population, "theirs", {"species/*": "better"})
    at = "HEAD^1" if side == "ours" else "theirs"
    assert population.one_species(SPECIES).version == population.one_species(SPECIES, at).version
    assert "8.00 A" in result.resolved["species/ribosome"] or "9.00 A" in result.resolved["species/ribosome"]


def test_better_series_is_the_one_with_the_better_score(population: Population) -> None:
    fork(population, (refine_item("TS_1", 1.0),), (refine_item("TS_1", 2.0),))
    (conflict,) = plan(population, "theirs").conflicts
    assert (conflict.ours.score, conflict.theirs.score) == (1.0, 2.0)
    assert conflict.ours.particles == 4
    assert conflict.ours.who is not None
    merge(population, "theirs", {"item/*": "better"})
    assert population.item(ONE).version == population.item(ONE, "theirs").version


def test_unknown_and_tied_numbers_do_not_decide(population: Population) -> None:
    fork(
        population,
        (new_maps(3, 9.0), refine_item("TS_1", 1.0, "f" * 64)),
        (new_maps(4, 9.0), refine_item("TS_1", 2.0)),
    )
    for key, reason in {
        "species/ribosome": "both sides reach 9.00 A",
        "item/TS_1": "the references do not decide",
    }.items():
        with pytest.raises(Exception, match=reason):
            merge(population, "theirs", {key: "better"})
    assert not population.merging


def test_clashing_names_are_told_and_do_no_harm(population: Population) -> None:
    fork(
        population,
        (add_species("b" * 16, "x"),),
        (add_species("c" * 16, "x"), add_source("7" * 16, "grid1", "4" * 16)),
    )
    result = merge(population, "theirs")
    assert f"2 species will be called x; commands will ask for an id: {'b' * 16}, {'c' * 16}" in result.plan.notes
    assert any("different sources share a name: grid1" in note for note in result.plan.notes)
    with pytest.raises(InputError, match="several species are called 'x'; give an id"):
        population.one_species("x")
    assert population.one_species("b" * 16).name == "x"


def test_renamed_twice_is_told(population: Population) -> None:
    fork(population, (edit_species(name="small"),), (edit_species(name="tiny"),))
    result = merge(population, "theirs")
    assert result.plan.notes == ["small is called tiny on the other side; small is kept"]


def test_a_pass_is_due_when_models_and_maps_come_from_two_sides(population: Population) -> None:
    fork(population, (refine_item("TS_2", 1.0),), (new_maps(4, 8.0), add_species("c" * 16, "x")))
    result = merge(population, "theirs")
    assert [(one.species, one.series) for one in result.due] == [("ribosome", 1), ("x", 1)]
    assert "refinement is due: 1 tilt series with ribosome" in population.repository.show().message


def test_nothing_is_due_when_one_side_did_it_all(population: Population) -> None:
    fork(population, (add_job("8" * 64, 1.0),), (refine_item("TS_2", 1.0), new_maps(4, 8.0)))
    assert merge(population, "theirs").due == []


def test_fast_forward_unless_asked_not_to(population: Population) -> None:
    fork(population, (), (refine_item("TS_1", 2.0),))
    theirs = population.repository.resolve("theirs")
    assert plan(population, "theirs").incoming.changed == {"tilt series": ["TS_1"]}
    result = merge(population, "theirs")
    assert (result.status, result.commit, population.repository.head) == ("fast-forward", theirs, theirs)
    assert population.item(ONE).version == population.item(ONE, "theirs").version
    assert population.repository.is_clean
    assert merge(population, "HEAD~1").status == "up to date"


def test_refuses_to_start_on_a_changed_working_state(population: Population) -> None:
    fork(population, (), (refine_item("TS_1", 2.0),))
    edit_species(name="new")(population)
    with pytest.raises(StateError, match="working state holds changes"):
        merge(population, "theirs")
    assert merge(population, "theirs", dry_run=True).status == "planned"


def test_a_decision_about_particles_leaves_new_half_maps_alone(population: Population) -> None:
    """Only they made half-maps; both moved a particle. Taking our particle must not lose their maps."""
    fork(population, (edit_rows("TS_1", move(0, 1.0)),), (new_maps(3, 9.0), edit_rows("TS_1", move(0, 2.0))))
    result = merge(population, "theirs", {"species/ribosome": "ours"})
    assert [one.reason for one in result.plan.conflicts] == ["1 particles in 1 tilt series moved on both sides"]
    _same_maps(population, "theirs")
    one, ours = population.one_species(SPECIES), population.one_species(SPECIES, "HEAD^1")
    assert one.particles[ONE] == ours.particles[ONE]
    assert one.resolution_A == 9.0
