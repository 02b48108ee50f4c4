"""A population of layout version 1, written once and kept for ever: every later mpop reads the same from it.

The numbers below were read by the mpop that wrote it. They are not to be changed.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mpop.cli.differences import difference_lines
from mpop.comparison import compare
from mpop.jobs.verify import verify
from mpop.merging import merge
from mpop.population import Population
from mpop_store.git.undoing import undo
from mpop_store.upkeep.packing import pack

ARCHIVE = Path(__file__).parent / "fixtures" / "format-1" / "population.tar.gz"

COMMITS = {
    "Merge side": "3456a2e5bf94378fd4b9714063b9b6753cd9c9b3",
    "Refine": "ecfe8cdbec169c12c1c665832943cdcf3cbc60a2",
    "Find proteasomes": "e98d930cbe353c71abac1e4becbe02830b8fe479",
    "Import": "2f8abe65788199974123537c686b295e2f65c294",
}
SPECIES = {
    ("imported", "ribosome"): (
        "822d8576a0605bc55fa13e3876740c18e52bc65bb005cf9e36c4f837a0cbacda",
        40.0,
        {"half1": 668.0, "half2": 1336.0, "mask": 485.0, "filtered": 2004.0},
        {"TS_1": 8460.0, "TS_2": 9060.0},
    ),
    ("HEAD", "ribosome"): (
        "dd9b99d6c218bad2fe60fbc1ad3589cef1dfe9f737af8490426f02bdfd6e2f89",
        25.0,
        {"half1": 1388.0, "half2": 2776.0, "mask": 895.0, "filtered": 4164.0},
        {"TS_1": 8460.0, "TS_2": 9060.0},
    ),
    ("HEAD", "proteasome"): (
        "b026dadfbf9815ae7cf3bf6750057bf8354469feada1a4e1ecb497601078610b",
        30.0,
        {"half1": 280.0, "half2": 560.0, "mask": 251.0, "filtered": 840.0},
        {"TS_2": 13860.0},
    ),
}
"""Revision and name -> version, resolution in A, sums of the volumes, sums of particle coordinates by series."""

SERIES = {
    ("imported", "TS_1"): ("cf6693f635a9c84f2db188709fd6017e27bbc33faa9d1889f9cf0da6ed5e4246", 0.0),
    ("HEAD", "TS_1"): ("226e9d08db835f93c78aeb80700647c54e6874120aede72881566c1aaef79e72", 2.5),
    ("HEAD", "TS_2"): ("d150bdfa8cc30914e3a6831f68fc7ac2c99677df23e9de109a65f90b0c628bd7", 0.0),
}
"""Revision and name -> version, axis offset of its tilts in A."""


@pytest.fixture
def population(tmp_path: Path) -> Population:
    """The population of old."""
    shutil.unpack_archive(ARCHIVE, tmp_path, filter="data")
    return Population.open(tmp_path / "population")


def git(population: Population, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(population.root), *words], check=True, capture_output=True, text=True)
    return done.stdout


def test_it_is_sound(population: Population) -> None:
    report = verify(population)
    assert report.problems == [] and report.commits == 4
    git(population, "fsck", "--strict", "--no-dangling")
    assert git(population, "status", "--porcelain") == ""
    assert population.repository.is_clean


def test_its_history_is_what_it_was(population: Population) -> None:
    commits = {commit.subject: commit for commit in population.repository.log()}
    assert {subject: commit.id for subject, commit in commits.items()} == COMMITS
    assert commits["Merge side"].parents == (COMMITS["Refine"], COMMITS["Find proteasomes"])
    assert population.repository.resolve("imported") == COMMITS["Import"]
    reasons = [operation.reason for operation in population.repository.operations.all()]
    assert reasons[0] == "commit: Import" and reasons[-1] == "commit: Merge side" and len(reasons) == 7


@pytest.mark.parametrize(("at", "name"), SPECIES)
def test_its_species_hold_what_they_held(population: Population, at: str, name: str) -> None:
    version, resolution_A, sums, coordinates = SPECIES[at, name]
    species = population.one_species(name, at)
    assert (species.version, species.resolution_A) == (version, resolution_A)
    maps = population.maps(species)
    assert {key: float(maps[key].sum()) for key in sums} == sums
    assert maps["half1"].shape == (20, 20, 20) and maps["fsc"].shape == (5, 11)
    names = {item.id: item.name for item in population.items(at).values()}
    sets = {names[item]: population.particles(species, item) for item in species.particles}
    assert {series: float(particles.position_A.sum()) for series, particles in sets.items()} == coordinates
    for particles in sets.values():
        assert particles.half.tolist() == [1, 2, 1, 2]
        assert particles.angles_deg.sum() == 462.0
        assert particles.extra == {"rlnClassNumber": [1, 2, 3, 1]}


@pytest.mark.parametrize(("at", "name"), SERIES)
def test_its_series_hold_what_they_held(population: Population, at: str, name: str) -> None:
    version, offset_A = SERIES[at, name]
    item = population.item(name, at)
    model = population.tilt_series(item)
    assert item.version == version
    assert model.axis_offset_x_A.tolist() == [offset_A] * 3
    assert model.angles_deg.tolist() == [-30.0, 0.0, 30.0] and model.exposure.tolist() == [3.0, 0.0, 6.0]


def test_what_else_it_holds(population: Population) -> None:
    assert float(population.tilt_image(population.item("TS_1"), 1).sum()) == 37728.0
    jobs = {job.verb: job for job in population.jobs().values()}
    assert set(jobs) == {"refine", "merge"} and jobs["refine"].wall_s == 12.5
    assert population.attachment(population.item("TS_2"), "warp.xml") == b"<TiltSeries />\n"


def test_it_can_be_worked_on(population: Population) -> None:
    pack(population.repository)
    undo(population.repository)
    assert Population.open(population.root).repository.head == COMMITS["Refine"]
    species = population.one_species("ribosome")
    population.stage([species.model_copy(update={"symmetry": "C2"})])
    population.commit("Twofold")
    assert verify(Population.open(population.root)).problems == []


def test_a_series_is_written_in_fields_of_today_when_it_changes(population: Population) -> None:
    """Until then its record is what it was, and so are the versions and commits that cover it."""
    item = population.item("TS_1")
    moved = replace(population.tilt_series(item), axis_offset_x_A=np.full(3, 4.0))
    change = {"model_object": population.write_tilt_series(moved), "parent": item.version}
    population.stage([item.model_copy(update=change)])
    population.commit("Move")
    path = "items/11/1111111111111111.json"
    before, after = (population.repository.read(path, at) for at in ("HEAD~1", "HEAD"))
    assert after["attachments"] == {"warp.xml": before["warp_xml_object"]}
    assert not {"warp_xml_object", "tomostar_object"} & after.keys()
    assert verify(Population.open(population.root)).problems == []
    lines = difference_lines(compare(population, "HEAD~1"), "HEAD~1", "now")
    assert any("TS_1" in line for line in lines) and not any("attached" in line for line in lines)


def test_a_merge_takes_a_series_as_it_was_written(population: Population) -> None:
    """Here both sides changed it, one with the mpop of today, and a person decides for the record of old."""
    repository = population.repository
    main = repository.head
    repository.switch("refs/heads/again", "switch", start=COMMITS["Import"])
    item = population.item("TS_1")
    moved = replace(population.tilt_series(item), axis_offset_x_A=np.full(3, 4.0))
    change = {"model_object": population.write_tilt_series(moved), "parent": item.version}
    population.stage([item.model_copy(update=change)])
    population.commit("Move")
    merge(population, "main", default="theirs")
    taken = population.item("TS_1")
    assert taken.version == SERIES["HEAD", "TS_1"][0]
    assert repository.read("items/11/1111111111111111.json", "HEAD") == repository.read(
        "items/11/1111111111111111.json", main
    )
    assert verify(Population.open(population.root)).problems == []
