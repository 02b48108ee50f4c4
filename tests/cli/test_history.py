"""`mpop log`, `diff` and what moves between commits, as a user types it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from example_population import make_population, refine

from mpop import run as running
from mpop.cli import context
from mpop.cli.main import app
from mpop.jobs.maps.analysis import Analysis
from mpop.jobs.maps.parameters import DirectionalParameters, FSCParameters
from mpop.networks.denoiser import DenoiseParameters
from mpop.population import Population, versioned

if TYPE_CHECKING:
    from conftest import TinyWorld

Run = Callable[..., str]

MEASURED = {"fsc": FSCParameters(), "fsc3d": DirectionalParameters()}


@pytest.fixture
def population(tmp_path: Path) -> Population:
    return make_population(tmp_path)


@pytest.fixture
def mpop(population: Population, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in this process; gives what it prints, or of a failing one the line of the error."""

    def run(*words: str, code: int = 0) -> str:
        monkeypatch.setattr(context, "options", context.Options())
        monkeypatch.setattr(sys, "argv", ["mpop", *words])
        with pytest.raises(SystemExit) as end:
            context.main(lambda: app(["-C", str(population.root), *words], standalone_mode=False))
        printed = capsys.readouterr()
        assert end.value.code == code, printed.err
        if code == 0:
            return printed.out
        (line,) = printed.err.splitlines()
        return line.removeprefix("mpop: error: ")

    return run


def as_json(text: str, schema: str) -> dict[str, Any]:
    found = json.loads(text)
    assert found["schema"] == f"mpop.{schema}/v1"
    return found


def rename(population: Population, item: str, name: str) -> str:
    population.stage([population.item(item).model_copy(update={"name": name})])
    return population.commit(f"Call {item} {name}")


def merge_of_two(population: Population) -> dict[str, str]:
    """Two branches that each renamed a series, merged; by what happened."""
    from mpop_store.git.branches import switch

    repository = population.repository
    commits = {"start": repository.resolve("HEAD")}
    switch(repository, "side", create=True)
    commits["side"] = rename(population, "TS_2", "two")
    switch(repository, "main")
    commits["main"] = rename(population, "TS_1", "one")
    path = f"items/22/{'2' * 16}.json"
    record = repository.read(path, commits["side"])
    since = repository.resolve("HEAD")
    commits["merge"] = repository.commit_changes({path: record}, "Merge side", since, also=(commits["side"],))
    return commits


def test_the_graph_of_a_merge(population: Population, mpop: Run) -> None:
    commits = merge_of_two(population)
    rows = [re.sub(r"\s+\d{4}-\S+ \S+", "", row) for row in mpop("log", "--graph").splitlines()]
    short = {name: commit[:10] for name, commit in commits.items()}
    first, second = (("main", "*"), ("side", "| *")), (("side", "| *"), ("main", "*"))
    assert rows[0] == f"*   {short['merge']} (HEAD -> main)  Merge side"
    assert rows[1].startswith("|\\")
    drawn = [next(name for name, one in short.items() if one in row) for row in rows if "*" in row]
    assert drawn in (["merge", *(name for name, _ in order), "start"] for order in (first, second))
    assert any(row.startswith("|/") for row in rows)
    entries = as_json(mpop("log", "--json"), "log")["commits"]
    assert entries[0]["leads_to"] == entries[0]["parents"] == [commits["main"], commits["side"]]
    assert entries[0]["names"] == ["HEAD -> main"]


def test_log_of_one_series_follows_it_through_the_merge(population: Population, mpop: Run) -> None:
    commits = merge_of_two(population)
    for name in ("two", "2" * 16):
        entries = as_json(mpop("log", "--item", name, "--json"), "log")["commits"]
        assert [entry["id"] for entry in entries] == [commits["side"], commits["start"]]
        assert entries[0]["leads_to"] == [commits["start"]]
    drawn = mpop("log", "--item", "one", "--graph").splitlines()
    assert [row[:12] for row in drawn if "*" in row] == [f"* {commits[one][:10]}" for one in ("main", "start")]


def test_log_of_one_species(population: Population, mpop: Run) -> None:
    start = population.repository.resolve("HEAD")
    rename(population, "TS_2", "two")
    refined = refine_named(population)
    entries = as_json(mpop("log", "--species", "ribosome", "--json"), "log")["commits"]
    assert [entry["id"] for entry in entries] == [refined, start]
    assert len(as_json(mpop("log", "--species", "ribosome", "-n", "1", "--json"), "log")["commits"]) == 1
    population.stage([], remove=[population.one_species("ribosome")])
    gone = population.commit("Take it out")
    entries = as_json(mpop("log", "--species", "ribosome", "--json", "HEAD~1"), "log")["commits"]
    assert entries[0]["id"] == refined and gone not in [entry["id"] for entry in entries]
    assert "no species 'virus'" in mpop("log", "--species", "virus", code=3)
    assert "-n" in mpop("log", "-n", "0", code=2)


def test_log_of_a_species_lists_what_measured_its_maps(population: Population, mpop: Run) -> None:
    from mpop_store.git.branches import switch

    def measure(verb: str) -> str:
        result = {"name": "ribosome", "verdict": "Even."}
        species = population.one_species("ribosome")
        return Analysis.of(population, species, verb, MEASURED[verb]).commit({}, result, "even").commit

    def listed(*words: str) -> list[str]:
        entries = as_json(mpop("log", *words, "--json"), "log")["commits"]
        return [entry["id"] for entry in entries]

    repository = population.repository
    start = repository.resolve("HEAD")
    switch(repository, "side", create=True)
    side = measure("fsc")
    switch(repository, "main")
    rename(population, "TS_2", "two")
    assert listed("--species", "ribosome") == [start]
    changes = {path: repository.read(path, side) for path in repository.changes(start, side)}
    repository.commit_changes(changes, "Merge side", repository.resolve("HEAD"), also=(side,))
    assert listed("--species", "ribosome") == [side, start], "a merge that takes one side over is followed to it"
    main = measure("fsc3d")
    assert listed("--species", "ribosome") == [main, side, start]
    assert not {main, side} & set(listed("--item", "two"))


def test_a_job_that_keeps_the_half_maps_tells_no_resolution(population: Population, mpop: Run) -> None:
    species = population.one_species("ribosome")
    changed = {"denoiser_object": population.write_group({"weights": np.ones(3, dtype=np.float32)})}
    Analysis.of(population, species, "denoise", DenoiseParameters()).commit(
        {}, {"name": "ribosome"}, "less", (), changed
    )
    assert mpop("log", "-n", "1").splitlines()[0].endswith("denoise ribosome: less")
    assert len(mpop("log", "-n", "1").splitlines()) == 1
    shown = mpop("show").splitlines()
    assert any(line.startswith("species ribosome: 25.00 A, half-maps as before, ") for line in shown)
    assert f"    of ribosome, version {species.version[:10]}" in shown
    assert any(line.endswith(": denoise (batch=4, exact=False, networks=shared; seed 0)") for line in shown)


def refine_named(population: Population) -> str:
    population.stage([population.item("2" * 16).model_copy(update={"name": "TS_2"})])
    population.commit("Call it TS_2 again")
    return refine(population)


def test_a_short_log_reads_little(population: Population, monkeypatch: pytest.MonkeyPatch) -> None:
    from mpop.jobs.history import history
    from mpop_store.git.history import History

    for number in range(12):
        rename(population, "1" * 16, f"name{number}")
    described: list[str] = []
    describe = History._describe
    monkeypatch.setattr(
        History, "_describe", lambda self, one: described.append(str(one.id)) or describe(self, one)
    )
    assert len(history(population, limit=3)) == 3
    assert len(described) <= 4


def test_log_before_the_first_commit(tmp_path: Path, mpop: Run) -> None:
    Population.init(tmp_path / "empty")
    assert mpop("-C", str(tmp_path / "empty"), "log") == "no commits yet\n"


def test_a_species_with_nothing_but_a_new_denoiser_shows_it(population: Population, mpop: Run) -> None:
    (species,) = population.species().values()
    group = population.write_group({"weights": np.ones(3)})
    population.stage([versioned(species.model_copy(update={"denoiser_object": group, "parent": species.version}))])
    population.commit("Train")
    lines = mpop("diff", "HEAD~1", "HEAD").splitlines()
    assert lines[-1] == f"    denoiser_object: none -> {group}"


def test_diff_in_words(population: Population, mpop: Run) -> None:
    refine(population)
    species = population.one_species("ribosome")
    particles = population.particles(species, "1" * 16)
    moved = population.write_particles(replace(particles, position_A=particles.position_A + np.array([3.0, 4, 0])))
    population.stage([species.model_copy(update={"particles": species.particles | {"1" * 16: moved}})])
    lines = mpop("diff", "HEAD~1").splitlines()
    head = population.repository.resolve("HEAD~1")[:10]
    assert lines[0] == f"HEAD~1 ({head}) -> the working state"
    assert "species ribosome: 25.00 A -> 12.50 A" in lines and "    new half-maps" in lines
    words = "4 moved by 5.00 A (at most 5.00 A) and turned by 0.00 deg (at most 0.00 deg)"
    assert f"    particles: 8 -> 8: {words}" in lines and f"        TS_1: {words}" in lines
    assert "tilt series TS_1" in lines and "    image shifts: RMS 2.5 A, at most 2.5 A" in lines
    assert any(line.startswith("job bbbbbbbbbb: refine (image_warp=[4, 4]; seed 7)") for line in lines)
    found = as_json(mpop("diff", "HEAD~1", "HEAD", "--json"), "diff")["difference"]
    assert found["species"][0]["resolution_after_A"] == 12.5 and found["species"][0]["series"] == []
    assert "job" not in mpop("diff", "HEAD~1", "HEAD", "--species", "ribosome")
    assert "ribosome" not in mpop("diff", "HEAD~1", "HEAD", "--item", "TS_1")
    assert mpop("diff", "HEAD", "HEAD") == "nothing differs between HEAD and HEAD\n"
    assert "no commit 'nowhere'" in mpop("diff", "nowhere", code=3)
    assert "no tilt series 'TS_9'" in mpop("diff", "HEAD", "--item", "TS_9", code=3)


def test_many_series_are_told_together(population: Population, mpop: Run) -> None:
    item = population.item("TS_1")
    many = [item.model_copy(update={"id": f"{n:016x}", "name": f"S{n}"}) for n in range(20)]
    population.stage(many)
    population.commit("More series")
    assert "tilt series added: S0, S1, " in mpop("diff", "HEAD~1", "HEAD")
    model = population.tilt_series(item)
    groups = [
        population.write_tilt_series(replace(model, angles_deg=model.angles_deg + (n + 1) / 10)) for n in range(20)
    ]
    population.stage([one.model_copy(update={"model_object": g}) for one, g in zip(many, groups, strict=True)])
    text = mpop("diff")
    assert "tilt series: 20 changed: S0, S1" in text and "and 12 more" in text
    assert "    tilt angles: RMS 1.05 deg in the median series, at most 2 deg in S19" in text


def test_switching_branching_tagging(population: Population, mpop: Run) -> None:
    start = population.repository.resolve("HEAD")
    assert mpop("switch", "-c", "try") == f"On new branch try, at {start[:10]}\n"
    rename(population, "TS_1", "one")
    assert as_json(mpop("branch", "--json"), "branches")["branches"][1]["is_current"]
    assert mpop("branch").splitlines()[0] == f"  main  {start[:10]}  Import"
    assert mpop("switch", "main").startswith("On branch main")
    assert "holds commits that are not merged here" in mpop("branch", "-d", "try", code=4)
    assert mpop("branch", "-m", "try", "kept").startswith("Renamed branch try to kept")
    assert mpop("branch", "old", "main").startswith("Made branch old")
    assert mpop("branch", "-d", "old").startswith("Deleted branch old")
    assert mpop("branch", "-D", "kept").startswith("Deleted branch kept")
    assert mpop("branch", "-m", "trunk").startswith("Renamed branch main to trunk")
    assert mpop("tag", "v1", "-m", "Published").startswith("Tagged")
    assert mpop("tag") == f"v1  {start[:10]}  Published\n"
    assert "(HEAD -> trunk, tag: v1)" in mpop("log")
    assert "on no branch" in mpop("checkout", "v1")
    assert "(HEAD, trunk, tag: v1)" in mpop("log")
    assert mpop("tag", "-d", "v1").startswith("Deleted tag v1") and mpop("tag") == "no tags yet\n"


def test_show_says_who_signed(population: Population, mpop: Run, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    (tmp_path / "allowed").write_text(f"ada@lab.example {(tmp_path / 'key.pub').read_text()}")
    settings = {
        "gpg.format": "ssh",
        "commit.gpgSign": "true",
        "user.signingKey": str(tmp_path / "key"),
        "gpg.ssh.allowedSignersFile": str(tmp_path / "allowed"),
    }
    for key, value in settings.items():
        population.repository.config[key] = value
    commit = rename(population, "TS_1", "one")
    assert mpop("show").splitlines()[:2] == [f"commit {commit}", "       signed by ada@lab.example"]
    found = as_json(mpop("show", "HEAD~1", "--json"), "show")
    assert found["signature"]["status"] == "none" and "signed" not in mpop("show", "HEAD~1")


def test_restore_revert_undo(population: Population, mpop: Run) -> None:
    population.stage([population.item("TS_1").model_copy(update={"name": "one"})])
    assert "holds changes" in mpop("revert", "HEAD", code=4)
    assert mpop("restore", "one").startswith("Restored 1 records")
    assert mpop("restore", "--all") == "nothing differs\n"
    commit = refine(population)
    assert f"reverted {commit[:10]}: 4 records" in mpop("revert", "HEAD")
    assert "(commit: Revert" in mpop("undo") and population.repository.head == commit
    assert "(undo: operation 3" in mpop("undo", "4")
    operations = as_json(mpop("op", "log", "--json"), "operations")["operations"]
    assert [one["number"] for one in operations] == [5, 4, 3, 2, 1]
    shown = mpop("op", "log", "-n", "1").splitlines()
    assert len(shown) == 2 and re.fullmatch(r"      heads/main: [0-9a-f]{10} -> [0-9a-f]{10}", shown[1])


def test_reproduce_says_identical_or_how_far_off(tiny_world: TinyWorld, mpop: Run) -> None:
    from mpop.jobs.reconstruct import reconstruct_species

    where = ("-C", str(tiny_world.folder / "population"))
    done = reconstruct_species(tiny_world.population, run=running.Run(threads=2))
    imported = tiny_world.population.repository.resolve("HEAD~1")
    text = mpop(*where, "reproduce")
    assert text == f"reconstruct of {done.commit[:10]}, run again from {imported[:10]}: identical\n"
    found = as_json(mpop(*where, "--threads", "1", "reproduce", "--json"), "reproduce")["reproduction"]
    assert found["is_identical"] is True and found["environment"] == {"threads": [2, 1]}
    assert "was not made by a job" in mpop(*where, "reproduce", "HEAD~1", code=4)


def test_what_is_off_is_told_in_numbers() -> None:
    from mpop.cli.history import _reproduce_lines
    from mpop.comparison import MapDifference, ParticleChange, Quantity, Spread
    from mpop.jobs.reproduce import ItemAgain, Reproduction, SpeciesAgain
    from mpop.jobs.result_differences import ResultDifference
    from mpop.records import FailedSeries, JobRecord

    job = JobRecord(
        id="b" * 64,
        verb="refine",
        parameters={},
        seed=0,
        inputs={},
        software={},
        device="cpu",
        threads=1,
        wall_s=1.0,
        peak_GiB=1.0,
    )
    maps = {"half1": MapDifference(0.5, 0.01, 0.002, 0.9987)}
    moved = ParticleChange(4, 4, 0, 0, 3, 0, Spread(0.1, 0.2), Spread(0.3, 0.4))
    lines = list(
        _reproduce_lines(
            Reproduction(
                "c" * 40,
                "d" * 40,
                job,
                is_identical=False,
                same_job=False,
                species=[SpeciesAgain("ribosome", False, 12.0, 12.5, maps, moved)],
                items=[
                    ItemAgain("TS_1", False, [Quantity("image warp", "A", 0.25, 0.5)], "tilt-series"),
                    ItemAgain("TS_2", True, [], "tilt-series"),
                    ItemAgain("mic", False, [], "particle-stack"),
                ],
                result=[
                    ResultDifference("b_factor_A2", -80.0, -80.00001, 1.25e-7),
                    ResultDifference("map", None, None, 4e-6),
                    ResultDifference("resolution_A", 4.0, 4.2, 0.05),
                    ResultDifference("support", None, None, 0.02),
                    ResultDifference("verdict", "Even.", None, None),
                ],
                failed=[FailedSeries(item="2" * 16, name="TS_3", reason="gone")],
                environment={"numpy": ("1", "2")},
            )
        )
    )
    assert lines == [
        "refine of cccccccccc, run again from dddddddddd: not identical",
        "    its inputs, which earlier iterations made, came out otherwise",
        "species ribosome: 12.50 A, recorded 12.00 A",
        "    particles: 3 moved by 0.10 A (at most 0.20 A) and turned by 0.30 deg (at most 0.40 deg)",
        "    half1: differs by RMS 0.01 (0.2 % of the map's), at most 0.5; FSC between them at least 0.9987",
        "    2 figures off by at most 4e-06 of their size (map)",
        "    resolution_A: 4.2, recorded 4",
        "    support: off by 0.02 of its size",
        "    verdict: nothing, recorded Even.",
        "tilt series TS_1",
        "    image warp: RMS 0.25 A, at most 0.5 A",
        "stack mic",
        "failed this time: TS_3: gone",
        "environment: numpy was 1, is 2",
    ]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("switch", "nowhere"), 3, "no branch 'nowhere'"),
        (("switch", "main", "HEAD"), 2, None),
        (("switch", "main", "HEAD~1"), 2, "with -c"),
        (("switch", "-c", "a b"), 2, "cannot be a name"),
        (("checkout", "nowhere"), 3, "no commit 'nowhere'"),
        (("branch", "-d"), 2, "one of -d"),
        (("branch", "-d", "-m", "x"), 2, "one of -d"),
        (("branch", "-d", "main"), 4, "is the one you are on"),
        (("branch", "main"), 4, "already"),
        (("tag", "-d"), 2, "which tag?"),
        (("tag", "v", "nowhere"), 3, "no commit"),
        (("restore",), 2, "name what to restore, or say --all"),
        (("restore", "TS_1", "--all"), 2, "name what to restore"),
        (("restore", "TS_9"), 3, "no species, tilt series, stack, source or record 'TS_9'"),
        (("revert", "nowhere"), 3, "no commit"),
        (("revert", "HEAD"), 4, "is the first one"),
        (("undo", "99"), 3, "there is no operation 99"),
        (("undo",), 4, "HEAD would name no commit"),
    ],
)
def test_bad_input_is_one_line(
    population: Population, mpop: Run, words: tuple[str, ...], code: int, says: str | None
) -> None:
    before = population.repository.refs.all(), population.repository.entries()
    if says is None:
        mpop(*words)  # HEAD is what is meant anyway
    else:
        assert says in mpop(*words, code=code)
    assert (population.repository.refs.all(), population.repository.entries()) == before


@pytest.mark.parametrize("words", [("switch", "-c", "x"), ("checkout", "HEAD"), ("undo",), ("revert", "HEAD")])
def test_nothing_moves_while_a_merge_waits(population: Population, mpop: Run, words: tuple[str, ...]) -> None:
    rename(population, "TS_1", "one")
    population.merge_file.write_text(json.dumps({"ours": population.repository.head}))
    before = population.repository.refs.all(), population.repository.refs.branch
    assert "a merge is in progress" in mpop(*words, code=4)
    assert (population.repository.refs.all(), population.repository.refs.branch) == before


def test_a_checkout_copies_no_array(population: Population, mpop: Run) -> None:
    refine(population)
    objects = {path: path.stat().st_ino for path in population.objects.root.rglob("*") if path.is_file()}
    mpop("checkout", "HEAD~1")
    assert {path: path.stat().st_ino for path in population.objects.root.rglob("*") if path.is_file()} == objects
    assert population.one_species("ribosome").resolution_A == 25.0
    work_tree = sum(len(files) for folder, _, files in os.walk(population.root) if ".git" not in folder)
    assert work_tree == 1 + len(population.repository.entries())  # the records and the README


def test_show_tells_what_a_job_on_maps_found(population: Population, mpop: Run) -> None:
    species = population.one_species("ribosome")
    result = {"name": "ribosome", "verdict": "Strong anisotropy.", "sphericity": 0.87654321, "curve": [1, 2]}
    Analysis.of(population, species, "fsc3d", DirectionalParameters()).commit({}, result, "sphericity 0.88")
    shown = mpop("show").splitlines()
    assert "    verdict: Strong anisotropy." in shown
    assert "    sphericity: 0.8765" in shown
    assert not any("curve" in line for line in shown)
