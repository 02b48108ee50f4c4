"""The page of a request's check: every number that it must hold, nothing that it must not do."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from example_population import make_population
from offered import add_series, add_virus, branch, place_ribosome

from mpop.errors import InputError
from mpop.population import Population
from mpop.records import ParticleSet
from mpop.reports.request import page, write_page
from mpop.requests.chains import Requests
from mpop.requests.check import check
from mpop.requests.matching import Match, Matching
from mpop.requests.offers import offer_species
from mpop.requests.verdict import RequestCheck, RequestVerdict


@pytest.fixture
def population(tmp_path: Path) -> Population:
    """A virus with half-maps that agree, four of its particles on ribosomes in TS_1, four alone in TS_3."""
    made = make_population(tmp_path)
    place_ribosome(made)
    made.commit("Place the ribosomes")
    branch(made, "shared")
    virus = add_virus(made, [made.item("TS_1"), *add_series(made, 3)], "virus & <co>", at_A=23.0)
    z, y, x = np.indices((20, 20, 20)) - 10
    blob = np.exp(-(z**2 + y**2 + x**2) / 8)
    noise = np.random.default_rng(0).normal(0, 0.02, (2, 20, 20, 20))
    halves = {f"half{n + 1}": (blob + noise[n]).astype(np.float32) for n in range(2)}
    mask = np.clip(7 - np.linalg.norm([z, y, x], axis=0), 0, 1).astype(np.float32)
    far_apart = {item: made.write_particles(apart(made.particles(virus, item))) for item in virus.particles}
    maps = made.maps(virus) | halves | {"mask": mask}
    made.stage([virus.model_copy(update={"maps_object": made.write_group(maps), "particles": far_apart})])
    made.commit("Add a virus")
    return made


def apart(particles: ParticleSet) -> ParticleSet:
    """The particles 400 A from each other, along x."""
    return replace(
        particles, position_A=particles.position_A + np.array([[[400.0, 0, 0]]]) * np.arange(4)[:, None, None]
    )


@pytest.fixture
def found(population: Population) -> RequestCheck:
    offer = offer_species(population, "d" * 16, "shared")
    requests = Requests(population.repository)
    return check(population, requests.open("A <b>virus</b>", "shared", offer.species, offer.commit, "Look & see"))


def words(text: str) -> str:
    """What a reader sees, without figures."""
    text = re.sub(r"(?s)<svg.*?</svg>|<style.*?</style>", "", text)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


def test_the_page_holds_the_numbers(population: Population, found: RequestCheck) -> None:
    text = page(population, found)
    seen = words(text)
    (virus,), (collision,) = found.species, found.collisions or ()
    assert virus.derived_A is not None and 2 <= collision.count <= 3
    for expected in (
        f"Can be merged after deciding on {collision.count} collisions",
        f"Offered by {found.request.author}",
        found.request.id,
        f"{virus.derived_A:.2f} Å",
        "claims a resolution of none",
        "8 particles of virus & <co> in 2 series",
        f"TS_1 4 0 2 2 {collision.count}",
        "TS_3 4 0 2 2 \u2013",
        f"TS_1 virus & <co> ribosome {collision.count} {100 * collision.overlap:.0f} % 4.2 Å",
        "new species virus & <co>",
        "new tilt series TS_3",
        "All rules hold",
        "Look & see",
        found.offered[:10],
        found.target[:10],
    ):
        assert expected in seen.replace("\u00a0", " "), expected
    assert text.count("<svg") == 2
    assert "width: 100.0%" in text and text.count("<i style") == 3


def test_the_page_asks_nobody_and_runs_nothing(population: Population, found: RequestCheck) -> None:
    text = page(population, found)
    assert "<b>virus</b>" not in text and "<co>" not in text
    assert not re.search(r"<(script|link|iframe|object|embed)\b", text)
    assert not re.search(r"""(src|href)\s*=\s*["'](?!#|data:)""", text)
    assert "@import" not in text


def test_what_was_not_looked_for_is_not_called_clean(population: Population, found: RequestCheck) -> None:
    bad = RequestVerdict("cannot be merged", ["rule one is broken", "and rule two"], ["somebody corrects it"])
    seen = words(page(population, replace(found, verdict=bad, refusals=bad.reasons, collisions=None)))
    assert "Cannot be merged, because rule one is broken and rule two somebody corrects it" in seen
    assert "? collisions, not looked for" in seen
    assert "TS_1 4 0 2 2 ?" in seen
    assert "All rules hold" not in seen


def test_what_is_merged_is_not_judged_again(population: Population, found: RequestCheck) -> None:
    done = RequestCheck(
        found.request, "shared", found.target, found.offered, RequestVerdict("merged already", ["all is there"])
    )
    seen = words(page(population, done))
    assert "Merged already all is there" in seen
    assert "All rules hold" not in seen and "Opened" in seen


def test_series_that_were_matched_are_shown(population: Population, found: RequestCheck) -> None:
    moved = Match("7" * 16, "grid_B_007", "3" * 16, "TS_3", "raw images", (-20.0, 0.0, 5.0))
    seen = words(page(population, replace(found, matching=Matching(mapped=[moved]), offered="HEAD")))
    assert "grid_B_007 TS_3 raw images -20, 0, 5 Å" in seen
    assert "TS_3 offered as grid_B_007" in seen
    assert "with series matched" in seen


def test_a_page_is_shown_even_without_maps(population: Population, found: RequestCheck) -> None:
    group = population.one_species("d" * 16).maps_object
    shown = page(population, found)
    (population.repository.private / "objects" / group[:2] / group[2:]).unlink()
    assert len(page(Population.open(population.root), found)) < len(shown)


def test_many_series_are_folded_away(population: Population, found: RequestCheck) -> None:
    virus = found.species[0]
    many = [replace(virus.series[0], item=f"{n:016x}", name=f"S{n}") for n in range(55)]
    text = page(population, replace(found, species=[replace(virus, series=many)]))
    assert "<summary>15 more series</summary>" in text
    assert all(f"<th>S{n}</th>" in text for n in range(55))


def test_the_page_is_written_as_a_whole(population: Population, found: RequestCheck, tmp_path: Path) -> None:
    target = tmp_path / "pages" / "check.html"
    assert write_page(target, population, found) == target
    assert target.read_text().startswith("<!doctype html>")
    with pytest.raises(InputError, match="is a folder"):
        write_page(tmp_path, population, found)
