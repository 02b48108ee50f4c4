"""Drop frees local data only when another copy is proven to exist at this moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mpop.errors import InputError, StateError
from mpop.exchange.cloning import clone
from mpop.exchange.dropping import DropOptions, drop_data
from mpop.exchange.pushing import PushOptions, push_to
from mpop.exchange.selection import Data
from mpop.jobs.verify import verify
from mpop.population import Population
from mpop_store.arrays.groups import group_objects
from mpop_store.git.repository import Repository
from mpop_store.transfer.remotes import Remotes
from mpop_store.upkeep.packing import pack


@pytest.fixture
def here(original: Population, shared: Repository, tmp_path: Path) -> Population:
    """A clone with all data."""
    clone(str(shared.root), tmp_path / "clone", data=Data("all"))
    return Population.open(tmp_path / "clone")


def drop(population: Population, **options):
    settings = Remotes(population.repository).get("origin")
    return drop_data(population, settings, DropOptions(**options))


def names_here(population: Population) -> set[str]:
    return set(population.objects.names())


@pytest.mark.parametrize("packed", [False, True])
def test_dropped_data_are_read_again_from_the_remote(here: Population, packed: bool) -> None:
    if packed:
        pack(here.repository)
    before = names_here(here)
    (species,) = here.species().values()
    half1 = here.maps(species)["half1"]
    would = drop(here, species=("ribosome",), dry_run=True)
    assert names_here(here) == before
    dropped = drop(here, species=("ribosome",))
    assert dropped == would
    gone = before - names_here(here)
    assert len(gone) == dropped.objects > 0
    assert here.item("TS_1").model_object in names_here(here)
    assert here.item("TS_2").model_object in names_here(here)
    again = Population.open(here.root)
    assert verify(again).ok
    np.testing.assert_array_equal(again.maps(species)["half1"], half1)


def test_one_series_older_versions_or_all(here: Population) -> None:
    series = here.item("TS_1")
    assert drop(here, items=("TS_1",)).objects >= 2
    assert series.model_object not in names_here(here)
    assert here.item("TS_2").model_object in names_here(here)
    (now,) = here.species().values()
    (then,) = here.species("HEAD~1").values()
    drop(here, older=True)
    assert then.maps_object not in names_here(here) and now.maps_object in names_here(here)
    drop(here, everything=True)
    assert now.maps_object not in names_here(here)
    assert verify(Population.open(here.root)).ok


def test_what_was_not_pushed_stays(here: Population) -> None:
    (species,) = here.species().values()
    new = species.model_copy(update={"name": "renamed", "parent": species.version})
    here.commit_records([new], "Rename", str(here.repository.head))
    before = names_here(here)
    with pytest.raises(
        StateError, match=r"nothing was dropped: .* has no branch that leads to commit .* push` first"
    ):
        drop(here, everything=True)
    assert names_here(here) == before


def test_what_is_missing_or_damaged_there_stays(here: Population, shared: Repository) -> None:
    before = names_here(here)
    (species,) = here.species().values()
    name = group_objects(here.objects, species.maps_object)[-1]
    path = shared.objects.path(name)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    with pytest.raises(
        StateError, match=rf"nothing was dropped: 1 of \d+ objects .* damaged there \(first: {name}\)"
    ):
        drop(here, everything=True)
    path.unlink(missing_ok=True)
    with pytest.raises(StateError, match="nothing was dropped: 1 of"):
        drop(here, everything=True)
    assert names_here(here) == before


def test_something_must_be_named(here: Population) -> None:
    with pytest.raises(InputError, match="say what to drop"):
        drop(here)


def test_who_pushed_can_drop_too(original: Population, shared: Repository) -> None:
    settings = Remotes(original.repository).get("origin")
    push_to(original.repository, settings, PushOptions())
    drop(original, everything=True)
    (species,) = original.species().values()
    assert species.maps_object not in names_here(original)
    assert original.maps(species)["half1"].shape == (20, 20, 20)
