"""The schema: where records live and what they name; a new type in it is all that a new kind of record takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from example_population import make_population

from mpop.errors import StateError
from mpop.exchange.cloning import clone
from mpop.exchange.fetching import fetch_from
from mpop.jobs.reverting import revert
from mpop.jobs.verify import verify
from mpop.merging import merge
from mpop.population import Population, record_path, versioned
from mpop.records.models import Record, model_of
from mpop_hooks import Proposal, check, refusals
from mpop_hooks.fields import an_id
from mpop_hooks.record_types import Fields, Must, NamesRecords, RecordType, Schema, itself
from mpop_hooks.schema import ITEM, JOB, PART, POPULATION, SCHEMA, SOURCE, SPECIES, Group, Hash, Id, Name, Parent
from mpop_store import version_of
from mpop_store.transfer.remotes import Remotes
from mpop_store.upkeep.collection import collect

ID = "0123456789abcdef"
MESH_ID = "d" * 16


class Mesh(Fields):
    """A surface in a series: a record type that the project does not have."""

    kind: Literal["mesh"] = "mesh"
    id: Id
    name: Name
    item: Annotated[str, Must(an_id, "is not an id"), NamesRecords("series or stack", "item id", itself)]
    triangles_object: Group
    parent: Parent = None
    version: Hash = ""


MESH = RecordType(Mesh, "meshes/{id:.2}/{id}.json")


@pytest.fixture
def meshes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The schema with one line more."""
    monkeypatch.setattr(SCHEMA, "__dict__", vars(Schema(*SCHEMA.types.values(), MESH)))


def mesh(population: Population, item: str, seed: int = 0, **fields: Any) -> Record:
    triangles = np.random.default_rng(seed).normal(size=(200, 3, 3))
    group = population.write_group({"triangles": triangles})
    return model_of("mesh")(id=MESH_ID, name="membrane", item=item, triangles_object=group, **fields)


@pytest.mark.parametrize(
    ("kind", "key", "path"),
    [
        (POPULATION, (), "population.json"),
        (SOURCE, (ID,), f"sources/{ID}.json"),
        (ITEM, (ID,), f"items/01/{ID}.json"),
        (SPECIES, (ID,), f"species/{ID}.json"),
        (PART, (ID, "ab"), f"species/{ID}/ab.json"),
        (JOB, (ID,), f"jobs/01/{ID}.json"),
    ],
)
def test_a_path_leads_to_its_type_and_key_and_back(kind: RecordType, key: tuple[str, ...], path: str) -> None:
    assert kind.path(*key) == path
    keys = {one.kind: one.key(path) for one in SCHEMA.types.values()}
    assert {one: found for one, found in keys.items() if found is not None} == {kind.kind: key}
    assert SCHEMA.type_at(path) is kind


@pytest.mark.parametrize(
    "path",
    [
        "x.json",
        "README.md",
        f"items/{ID}.json",
        f"items/ab/{ID}.json",
        f"items/01/{ID}",
        f"species/{ID}/ab/c.json",
    ],
)
def test_elsewhere_lives_no_record(path: str) -> None:
    assert SCHEMA.type_at(path) is None


def test_prefixes_begin_the_paths_of_a_type_and_of_what_belongs_together() -> None:
    assert [one.prefix() for one in (POPULATION, SOURCE, ITEM, SPECIES, JOB)] == [
        "population.json",
        "sources/",
        "items/",
        "species/",
        "jobs/",
    ]
    assert (PART.prefix(), PART.prefix(ID), PART.prefix(ID, "ab")) == (
        "species/",
        f"species/{ID}/",
        f"species/{ID}/ab.json",
    )


def test_every_record_of_the_example_lives_where_the_schema_says(template: Population) -> None:
    records = template.repository.records("", "HEAD")
    assert {record["kind"] for record in records.values()} == SCHEMA.types.keys() - {JOB.kind}
    for path, record in records.items():
        assert SCHEMA.path_of(record) == path


def test_a_field_that_no_type_has_names_a_group_if_it_is_called_so() -> None:
    """A later mpop may write it, and what it names must not be collected."""
    record = {"kind": "item", "later_object": "a" * 64, "later": "b" * 64}
    assert SCHEMA.references_of(record).groups == ("a" * 64,)


@pytest.mark.usefixtures("meshes")
def test_records_of_a_new_type_are_committed_read_and_collected(tmp_path: Path) -> None:
    population = make_population(tmp_path)
    item = min(population.items())
    record = mesh(population, item)
    assert record_path(record) == f"meshes/dd/{MESH_ID}.json"
    population.stage([record])
    population.commit("Add a mesh")
    collect(population.repository, operations_days=-1.0)
    stored = population.repository.read(record_path(record), "HEAD")
    assert model_of("mesh").model_validate(stored) == versioned(record)
    assert population.read_group(stored["triangles_object"])["triangles"].shape == (200, 3, 3)
    assert verify(population).problems == []


@pytest.mark.usefixtures("meshes")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"item": "../x"}, "its item is not an id"),
        ({"name": "../x"}, "its name is empty, too long or looks like a path"),
        ({"triangles_object": "x"}, "its triangles_object is not a hash"),
        ({"id": "c" * 16}, f"a record of this kind and id belongs at meshes/cc/{'c' * 16}.json"),
        ({"triangles_object": "e" * 64}, "eeee"),
        ({"colour": "red"}, "this mpop cannot read its field colour"),
        ({"item": None}, "its item is not an id"),
    ],
)
def test_policies_look_at_records_of_a_new_type(
    template: Population, change: dict[str, Any], message: str
) -> None:
    sound = versioned(mesh(template, min(template.items())))
    path = record_path(sound)

    def findings(record: dict[str, Any]) -> list[str]:
        record["version"] = version_of(record)
        proposal = Proposal.changing(template.repository, "HEAD", {path: record}, "receive")
        return [one.message for one in refusals(check(proposal))]

    assert findings(sound.model_dump(mode="json")) == []
    (found,) = findings(sound.model_dump(mode="json") | change)
    assert message in found


@pytest.mark.usefixtures("meshes")
def test_records_of_a_new_type_are_exchanged_merged_reverted_and_verified(tmp_path: Path) -> None:
    theirs = make_population(tmp_path / "theirs")
    clone(str(theirs.root), tmp_path / "ours")
    ours = Population.open(tmp_path / "ours")
    item = min(theirs.items())
    theirs.stage([mesh(theirs, item)])
    added = theirs.commit("Add a mesh")
    first = theirs.repository.read(MESH.path(MESH_ID), "HEAD")
    theirs.stage([mesh(theirs, item, seed=1, parent=first["version"])])
    theirs.commit("Smooth the mesh")
    with pytest.raises(StateError, match="cannot be reverted: mesh membrane was changed again"):
        revert(theirs, added)

    species = ours.one_species("ribosome")
    ours.stage([species.model_copy(update={"name": "80S", "parent": species.version})])
    ours.commit("Rename a species")
    fetch_from(ours.repository, Remotes(ours.repository).get("origin"))
    merge(ours, "origin/main")
    second = ours.repository.read(MESH.path(MESH_ID), "HEAD")
    assert second["parent"] == first["version"] and ours.one_species("80S").id == species.id
    assert ours.read_group(second["triangles_object"]).keys() == {"triangles"}
    assert verify(ours).problems == []

    ours.stage([mesh(ours, "9" * 16, seed=2, parent=second["version"])])
    ours.commit("A mesh in a series that is nowhere")
    (problem,) = verify(ours).problems
    assert "names a series or stack, item id 9999999999, that is nowhere in the history" in problem.message
