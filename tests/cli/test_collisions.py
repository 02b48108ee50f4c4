"""`mpop collisions`: what it prints, and that --apply stages what `mpop commit` then keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_population import maps, model
from painted_bodies import ellipsoid
from typer.testing import CliRunner

from mpop.cli import context
from mpop.cli.main import app
from mpop.errors import InputError
from mpop.population import Population
from mpop.records import ItemRecord, ParticleSet, RawImage, SourceRecord, SpeciesRecord

ITEMS = ("1" * 16, "2" * 16)
BOX, PIXEL_A = 20, 10.0


def particles(first_id: int, positions: list[tuple[float, float, float]], **extra: list) -> ParticleSet:
    n = len(positions)
    return ParticleSet(
        id=np.arange(first_id, first_id + n, dtype=np.uint64),
        half=np.resize(np.array([1, 2], np.uint8), n),
        position_A=np.array(positions, dtype=np.float64).reshape(n, 1, 3),
        angles_deg=np.zeros((n, 1, 3)),
        extra=extra,
    )


def species(population: Population, name: str, resolution_A: float | None, **sets: ParticleSet) -> SpeciesRecord:
    mask = ellipsoid(BOX, (5, 5, 5), (0, 0, 0))
    return SpeciesRecord(
        id=name[0] * 16,
        name=name,
        symmetry="C1",
        diameter_A=100.0,
        pixel_size_A=PIXEL_A,
        box=BOX,
        maps_object=population.write_group(maps(0, resolution_A or 25.0) | {"mask": mask}),
        resolution_A=resolution_A,
        particles={ITEMS[int(key[-1])]: population.write_particles(one) for key, one in sets.items()},
        n_particles=sum(len(one) for one in sets.values()),
    )


@pytest.fixture
def population(tmp_path: Path) -> Population:
    """Two series. In the first, an apoferritin stands in a catalase and there is a catalase twice; in the second
    there is catalase only."""
    population = Population.init(tmp_path / "lab")
    items = [
        ItemRecord(
            id=identity,
            name=f"TS_{number}",
            source="5" * 16,
            raw=[RawImage(path="x.mrc", hash=identity * 4, size=1)],
            model_object=population.write_tilt_series(model()),
        )
        for number, identity in enumerate(ITEMS)
    ]
    source = SourceRecord(
        id="5" * 16,
        name="grid",
        pixel_size_A=10.0,
        image_shape=(8, 8),
        volume_dims_A=(900.0, 900.0, 900.0),
        items=list(ITEMS),
    )
    in_first = particles(
        0x10, [(100, 100, 100), (300, 300, 300), (305, 300, 300)], rlnAutopickFigureOfMerit=[3, 1, 2]
    )
    catalase = species(population, "catalase", None, item0=in_first, item1=particles(0x20, [(300, 300, 300)]))
    apoferritin = species(population, "apoferritin", None, item0=particles(0x30, [(130, 100, 100), (700, 0, 0)]))
    population.stage([source, *items, catalase])
    population.commit("Before")
    population.stage([apoferritin])
    population.commit("Offer")
    return population


def run(population: Population, *words: str) -> str:
    context.options.json = False
    result = CliRunner().invoke(app, ["-C", str(population.root), "collisions", *words], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def as_json(population: Population, *words: str) -> dict[str, Any]:
    return json.loads(run(population, *words, "--json"))


def test_collisions_are_told_per_pair_of_species_and_per_series(population: Population) -> None:
    text = run(population)
    assert "2 collisions among 6 particles in 2 tilt series" in text
    assert "apoferritin and catalase         1 overlaps in 1 tilt series" in text
    assert "catalase                         1 duplicates in 1 tilt series" in text
    assert "TS_0" in text and "TS_1" not in text
    assert "(score 1) and catalase 00000000 (score 2): 5.0 A and 0 degrees apart" in text
    data = as_json(population)
    assert data["schema"] == "mpop.collisions/v1"
    assert (data["n_items"], data["n_particles"], data["n_collisions"]) == (2, 6, 2)
    (item,) = data["items"]
    kinds = {hit["kind"]: hit for hit in item["collisions"]}
    assert kinds["duplicate"]["second"]["particle"] == f"{0x12:016x}"
    assert kinds["overlap"]["distance_A"] == pytest.approx(30)
    assert {kinds["overlap"][side]["species"] for side in ("first", "second")} == {"a" * 16, "c" * 16}


def test_the_search_can_be_narrowed(population: Population) -> None:
    assert as_json(population, "catalase")["n_collisions"] == 1
    assert as_json(population, "apoferritin")["n_collisions"] == 0
    assert as_json(population, "--items", "TS_1")["n_collisions"] == 0
    assert as_json(population, "--threshold", "0.7")["n_collisions"] == 1
    assert run(population, "--items", "TS_1") == "no collisions among 1 particles in 1 tilt series\n"


def test_policies_say_who_goes_and_why(population: Population) -> None:
    goes = {loser["particle"]: loser for loser in as_json(population, "--policy", "keep-better")["remove"]}
    assert goes[f"{0x11:016x}"]["because"] == "score 1, the other 2"
    assert len(goes) == 2
    incoming = as_json(population, "--policy", "drop-incoming", "--since", "HEAD~1")["remove"]
    assert [(loser["species"], loser["particle"]) for loser in incoming] == [("a" * 16, f"{0x30:016x}")]
    assert as_json(population, "--policy", "keep-both")["remove"] == []


def test_what_was_in_one_place_before_is_not_reported_since(population: Population) -> None:
    data = as_json(population, "--since", "HEAD~1")
    (hit,) = data["items"][0]["collisions"]
    assert {hit["first"]["incoming"], hit["second"]["incoming"]} == {True, False}
    assert as_json(population, "--since", "HEAD")["n_collisions"] == 0


def test_the_better_map_wins_between_species(population: Population) -> None:
    better = population.one_species("apoferritin").model_copy(update={"resolution_A": 8.0})
    population.stage([better])
    removed = as_json(population, "--policy", "keep-better")["remove"]
    (overlap,) = [loser for loser in removed if loser["species"] != loser["winner_species"]]
    assert overlap["particle"] == f"{0x10:016x}"
    assert overlap["because"] == "its map has no resolution, that of apoferritin 8.0 A"


def test_apply_stages_the_removal_and_commit_keeps_it(population: Population) -> None:
    before = population.one_species("apoferritin")
    text = run(population, "--policy", "drop-incoming", "--since", "HEAD~1", "--apply")
    assert "`mpop commit` keeps it" in text and "mpop reconstruct --species apoferritin" in text
    population.commit("Clean")
    after = population.one_species("apoferritin")
    assert (after.n_particles, after.parent) == (1, before.version)
    assert population.particles(after, ITEMS[0]).id.tolist() == [0x31]
    assert as_json(population, "--policy", "keep-better", "--apply")["staged"] is True
    assert as_json(population)["n_collisions"] == 0
    kept = population.particles(population.one_species("catalase"), ITEMS[0])
    assert (kept.id.tolist(), kept.extra) == ([0x10, 0x12], {"rlnAutopickFigureOfMerit": [3, 2]})


def test_a_series_whose_particles_all_go_keeps_an_empty_set(population: Population) -> None:
    item = {"item1": particles(0x40, [(300, 300, 300)])}
    population.stage([species(population, "dehydrogenase", 9.0, **item)])
    population.commit("Another")
    run(population, "--policy", "keep-better", "--apply", "--items", "TS_1")
    population.commit("Clean")
    assert len(population.particles(population.one_species("catalase"), ITEMS[1])) == 0
    assert as_json(population, "--items", "TS_1")["n_collisions"] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--policy", "best"], "keep-better, drop-incoming, keep-both"),
        (["--apply"], "needs a --policy"),
        (["--policy", "drop-incoming"], "needs --since"),
        (["--threshold", "2"], "between 0 and 1"),
    ],
)
def test_wrong_options_are_refused_in_one_line(population: Population, words: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(population, *words)
