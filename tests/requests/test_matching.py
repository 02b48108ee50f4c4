"""The same images imported apart: particles find their series by content, whatever names and ids say."""

from __future__ import annotations

import numpy as np
import pytest
from example_population import model
from offered import add_series, add_virus, branch

from mpop.jobs.importing.source import source_id
from mpop.jobs.verify import verify
from mpop.population import Population
from mpop.records import ItemRecord, SourceRecord
from mpop.requests.matching import adapted, match
from mpop.requests.offers import offer_species
from mpop_hooks import Proposal, Violation, check, refusals

OTHER_SOURCE = "9" * 16


def imported_apart(population: Population, **changed: object) -> ItemRecord:
    """TS_1 with its tilts in another order, under another id and name; not staged."""
    item = population.item("TS_1", "shared")
    series = model()
    backwards = {"angles_deg": series.angles_deg[::-1], "exposure": series.exposure[::-1]}
    reversed_model = type(series)(**{**vars(series), **backwards, **changed})
    new = {
        "id": "8" * 16,
        "name": "grid_B_007",
        "source": OTHER_SOURCE,
        "raw": item.raw[::-1],
        "model_object": population.write_tilt_series(reversed_model),
    }
    return item.model_copy(update=new)


def stage_apart(population: Population, *items: ItemRecord) -> None:
    source = SourceRecord(
        id=OTHER_SOURCE,
        name="grid_B",
        pixel_size_A=10.0,
        image_shape=(12, 16),
        volume_dims_A=(160.0, 120.0, 100.0),
        items=[item.id for item in items],
    )
    population.stage([source, *items])


def asked(population: Population, base: str, commit: str) -> list[Violation]:
    """What the policies have against a commit and all that it brings, as the far side of a push asks them."""
    history = population.repository
    states = [one for one in history.ahead(commit, base) if history.find("population.json", one.id)]
    steps = [Proposal.between(history, parent, one.id, "receive") for one in states for parent in one.parents]
    return [finding for step in steps for finding in refusals(check(step))]


@pytest.fixture
def apart(population: Population) -> Population:
    """HEAD holds a virus in a series that `shared` has under another id and name; nothing else is new."""
    population.stage([], remove=[population.one_species("virus")])
    population.commit("Take the virus out")
    item = imported_apart(population)
    stage_apart(population, item)
    add_virus(population, [item])
    population.commit("Import the same images again, and a virus")
    return population


def test_particles_move_to_the_series_of_the_other_side(apart: Population) -> None:
    offer = offer_species(apart, "virus", "shared")
    (found,) = offer.matching.mapped
    assert (found.name, found.name_there, found.by) == ("grid_B_007", "TS_1", "raw images")
    offered = apart.one_species("virus", offer.commit)
    mine = apart.one_species("virus", "HEAD")
    assert list(offered.particles) == ["1" * 16]
    assert offered.parent == mine.version
    np.testing.assert_array_equal(
        apart.particles(offered, "1" * 16).position_A, apart.particles(mine, "8" * 16).position_A
    )
    assert apart.items(offer.commit) == apart.items("shared"), "no series is there twice"
    assert apart.sources(offer.commit) == apart.sources("shared")
    assert "Match 1 series" in apart.repository.show(offer.commit).subject


def test_what_was_matched_still_verifies(apart: Population) -> None:
    offer = offer_species(apart, "virus", "shared")
    branch(apart, "offered", offer.commit)
    assert verify(apart).problems == []


def test_positions_follow_the_size_of_the_tomogram(apart: Population) -> None:
    larger = imported_apart(apart, volume_dims_A=(200.0, 120.0, 140.0))
    apart.stage([larger])
    apart.commit("A larger tomogram")
    offer = offer_species(apart, "virus", "shared")
    assert offer.matching.mapped[0].shift_A == (-20.0, 0.0, -20.0)
    moved = apart.particles(apart.one_species("virus", offer.commit), "1" * 16)
    was = apart.particles(apart.one_species("virus", "HEAD"), "8" * 16)
    np.testing.assert_allclose(moved.position_A - was.position_A, np.broadcast_to([-20.0, 0.0, -20.0], (4, 1, 3)))
    np.testing.assert_array_equal(moved.id, was.id)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"angles_deg": np.array([-30.0, 0.0, 30.0])}, "tilt angles differ by up to 60 degrees"),
        ({"axis_angle_deg": np.full(3, -95.0)}, "tilt axis angles differ by up to 180 degrees"),
        ({"are_angles_inverted": True}, "angles inverted"),
        ({"image_dims_A": (320.0, 240.0)}, "320 A wide in one and 160"),
    ],
)
def test_imports_that_disagree_are_not_mixed(apart: Population, changed: dict, problem: str) -> None:
    apart.stage([imported_apart(apart, **changed)])
    apart.commit("Another geometry")
    offer = offer_species(apart, "virus", "shared")
    assert offer.matching.mapped == []
    assert problem in offer.matching.problems[0]
    assert "8" * 16 in apart.items(offer.commit)


def test_particles_are_not_poured_together(apart: Population) -> None:
    apart.stage([], remove=[apart.one_species("virus")])
    apart.commit("Take the virus out")
    add_virus(apart, [apart.item("TS_1"), apart.item("grid_B_007")])
    apart.commit("Particles in both")
    offer = offer_species(apart, "virus", "shared")
    assert "virus has particles in grid_B_007 and in TS_1, which are the same" in offer.matching.problems[0]


def test_a_target_that_learned_of_the_series_later(population: Population) -> None:
    """The branch moved on after the request was opened, and now has the offered series under another id."""
    offer = offer_species(population, "virus", "shared")
    repository = population.repository
    new = population.item("TS_3", offer.commit)
    there = new.model_copy(update={"id": "7" * 16, "name": "theirs", "raw": new.raw[::-1]})
    series = model()
    flipped = type(series)(
        **{**vars(series), "angles_deg": series.angles_deg[::-1], "exposure": series.exposure[::-1]}
    )
    there = there.model_copy(update={"model_object": population.write_tilt_series(flipped), "source": "4" * 16})
    source = population.source("grid1").model_copy(update={"id": "4" * 16, "items": [there.id]})
    base = repository.resolve("shared")
    tip = repository.write_commit(base, population.changes([source, there], base), [base], "Import grid 2 here")
    fitted = adapted(population, offer.commit, tip)
    assert [(one.name, one.name_there) for one in fitted.matching.mapped] == [("TS_3", "theirs")]
    virus = population.one_species("virus", fitted.commit)
    assert set(virus.particles) == {"1" * 16, "7" * 16}
    assert repository.show(fitted.commit).parents == (offer.commit,)
    assert set(population.sources(fitted.commit)) == {"5" * 16}
    assert adapted(population, offer.commit, "shared").commit == offer.commit


def test_the_other_series_of_a_source_come_as_a_source_of_their_own(population: Population) -> None:
    """Of two offered series of one source, one is there already: no source may lose what it lists."""
    population.stage([], remove=[population.one_species("virus")])
    population.commit("Take the virus out")
    items = [imported_apart(population), *add_series(population, 4, source=OTHER_SOURCE)]
    stage_apart(population, *items)
    add_virus(population, items)
    population.commit("Two series, one of them known")
    offer = offer_species(population, "virus", "shared")
    virus = population.one_species("virus", offer.commit)
    assert set(virus.particles) == {"1" * 16, "4" * 16}
    (new,) = (one for one in population.sources(offer.commit).values() if one.name == "grid_B")
    assert (new.id, new.items) == (source_id(["4" * 16]), ["4" * 16])
    assert population.item("4" * 16, offer.commit).source == new.id
    assert not asked(population, offer.base, offer.commit)
    branch(population, "offered", offer.commit)
    assert verify(population).problems == []


def test_other_names_of_the_same_id_are_mentioned(population: Population) -> None:
    item = population.item("TS_1")
    renamed = item.model_copy(update={"name": "grid_A_001"})
    found = match(population, [item], {item.id: renamed})
    assert (found.mapped, found.problems) == ([], [])
    assert [(one.name, one.name_there, one.by) for one in found.renamed] == [("TS_1", "grid_A_001", "id")]


def test_series_that_cannot_be_told_apart(population: Population) -> None:
    item = population.item("TS_1")
    twins = {key * 16: item.model_copy(update={"id": key * 16, "name": key}) for key in "ef"}
    found = match(population, [item], twins)
    assert "has the raw images of several series there: e (eeee" in found.problems[0]
    a_part = item.model_copy(update={"id": "e" * 16, "raw": item.raw[:2]})
    assert match(population, [item], {a_part.id: a_part}).mapped == []


def test_two_offered_series_are_one_there(population: Population) -> None:
    item = population.item("TS_1", "shared")
    offered = [item.model_copy(update={"id": key * 16, "name": key}) for key in "ef"]
    found = match(population, offered, {item.id: item})
    assert "e, f are all the same series there, TS_1" in found.problems[0]
