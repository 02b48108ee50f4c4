"""`mpop merge` as people and programs use it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands import mpop
from example_population import make_population
from two_sides import Edit, add_species, fork, new_maps, refine_item

from mpop.merging import waiting_merge
from mpop.population import Population

OURS = (refine_item("TS_1", 1.0), new_maps(3, 9.0))
THEIRS = (refine_item("TS_1", 2.0), new_maps(4, 8.0), add_species("c" * 16, "x"))


def forked(folder: Path, ours: tuple[Edit, ...] = OURS, theirs: tuple[Edit, ...] = THEIRS) -> Population:
    population = make_population(folder)
    fork(population, ours, theirs)
    return population


@pytest.fixture
def population(tmp_path: Path) -> Population:
    return forked(tmp_path)


def run(population: Population, *words: str, code: int = 0) -> str:
    return mpop("-C", str(population.root), *words, code=code)


def error(population: Population, *words: str, code: int) -> str:
    """The one line that a failing command prints."""
    (line,) = run(population, *words, code=code).splitlines()
    return line.removeprefix("mpop: error: ")


def as_json(population: Population, *words: str, code: int = 0) -> dict[str, Any]:
    return json.loads(run(population, *words, "--json", code=code))


def test_decide_and_continue(population: Population) -> None:
    text = run(population, "merge", "theirs", code=4)
    assert "conflict: item/TS_1: refined on both sides" in text
    assert "conflict: species/ribosome: half-maps made on both sides" in text
    assert "better   theirs: resolution 8.00 A against 9.00 A" in text
    assert "better   theirs: score 2 against 1, with the same references" in text
    assert "pool     the raw images of 2 tilt series must be read again" in text
    assert text.splitlines()[-1].startswith("2 conflicts to decide: `mpop merge --resolve KIND/NAME=WAY`")
    status = run(population, "status")
    assert "A merge of theirs is in progress, with 2 conflicts" in status
    assert as_json(population, "status")["merge"]["revision"] == "theirs"

    assert "1 conflict to decide" in run(population, "merge", "--resolve", "species/*=better", code=4)
    refused = error(population, "merge", "--continue", code=4)
    assert refused.startswith("1 conflict undecided: item/TS_1; decide with")
    assert "nothing is left to decide" in run(population, "merge", "--resolve", "item/TS_1=ours", code=4)
    text = run(population, "merge", "--continue")
    assert "resolved: item/TS_1: ours" in text
    assert "resolved: species/ribosome: better (theirs: resolution 8.00 A against 9.00 A)" in text
    assert "refinement is due: 1 tilt series with ribosome" in text
    assert "in progress" not in run(population, "status")
    shown = run(population, "show")
    assert ": merge (bases=" in shown
    assert "species/ribosome: better (theirs: resolution 8.00 A against 9.00 A)" in shown
    conflicts = as_json(population, "show")["commit"]["job"]["parameters"]["resolutions"]
    assert conflicts[f"item/{'1' * 16}"] == {"way": "ours", "side": "ours"}
    assert run(population, "merge", "theirs") == "already up to date\n"


@pytest.mark.parametrize(
    "words",
    [
        ("commit", "-m", "x"),
        ("species", "remove", "ribosome"),
        ("reconstruct",),
        ("merge", "theirs"),
    ],
)
def test_nothing_else_is_committed_meanwhile(population: Population, words: tuple[str, ...]) -> None:
    run(population, "merge", "theirs", code=4)
    assert "a merge is in progress; finish it with `mpop merge --continue`" in error(population, *words, code=4)


def test_abort(population: Population) -> None:
    head = population.repository.head
    run(population, "merge", "theirs", code=4)
    assert run(population, "merge", "--abort") == "The merge was dropped; nothing has changed\n"
    assert waiting_merge(population) is None
    assert population.repository.head == head
    assert error(population, "merge", "--abort", code=4) == "no merge is in progress"


def test_one_side_wins_all(population: Population) -> None:
    run(population, "merge", "theirs", "--theirs", "-m", "Take it all")
    assert population.repository.show().message == "Take it all\n"
    assert population.one_species("ribosome").resolution_A == 8.0


def test_json_of_a_dry_run_has_all_numbers(population: Population) -> None:
    found = as_json(population, "merge", "theirs", "--dry-run")
    assert (found["schema"], found["status"], found["commit"]) == ("mpop.merge/v1", "planned", None)
    assert set(found) == {"schema", "status", "commit", "unresolved", "resolved", "due", "plan"}
    plan = found["plan"]
    assert set(plan) == {"ours", "theirs", "bases", "relation", "incoming", "conflicts", "notes"}
    assert plan["incoming"]["new"] == {"job": ["refine"], "species": ["x"]}
    keys = {"key", "name", "reason", "ways", "base", "ours", "theirs", "better", "pool"}
    assert all(set(one) == keys for one in plan["conflicts"])
    item, species = plan["conflicts"]
    assert found["unresolved"] == [item["key"], species["key"]]
    assert (item["ours"]["score"], item["theirs"]["score"]) == (1.0, 2.0)
    assert (species["ours"]["resolution_A"], species["theirs"]["resolution_A"]) == (9.0, 8.0)
    assert species["theirs"]["particles"] == 8
    assert species["better"] == {"side": "theirs", "by": "resolution 8.00 A against 9.00 A"}
    assert not population.merging
    assert population.repository.is_clean


def test_json_of_a_merge(population: Population) -> None:
    waiting = as_json(population, "merge", "theirs", code=4)
    assert (waiting["status"], len(waiting["unresolved"])) == ("conflicts", 2)
    done = as_json(population, "merge", "--resolve", "*/*=theirs", "--continue")
    assert (done["status"], done["commit"]) == ("merged", population.repository.head)
    assert done["resolved"] == {"item/TS_1": "theirs", "species/ribosome": "theirs"}
    assert as_json(population, "merge", "--abort", code=4)["schema"] == "mpop.error/v1"


def test_fast_forward_and_no_ff(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    first, second = (forked(tmp_path / name, ours=()) for name in ("one", "two"))
    assert "fast-forward" in run(first, "merge", "theirs", "--dry-run")
    assert "fast-forward to" in run(first, "merge", "theirs")
    assert "merged in commit" in run(second, "merge", "--no-ff", "theirs")
    assert len(second.repository.show().parents) == 2


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("nowhere",), 3, "no commit 'nowhere'"),
        (("theirs", "--resolve", "species/ribosome"), 2, "--resolve species/ribosome: write KIND/NAME=WAY"),
        (("theirs", "--resolve", "species/ribosome=maybe"), 2, "ways are ours, theirs, better, both, pool"),
        (("theirs", "--resolve", "species/nope=ours"), 2, "no conflict is called species/nope"),
        (("theirs", "--resolve", "item/TS_1=both"), 2, "item/TS_1 cannot be resolved by both, only by ours"),
        (("theirs", "--ours", "--theirs"), 2, "--ours and --theirs cannot both win"),
        (("theirs", "--abort"), 2, "give a revision to merge, or --continue, or --abort"),
        ((), 4, "no merge is in progress; start one with `mpop merge REVISION`"),
        (("--continue",), 4, "no merge is in progress"),
    ],
)
def test_what_is_refused_changes_nothing(
    population: Population, words: tuple[str, ...], code: int, message: str
) -> None:
    head = population.repository.head
    assert message in error(population, "merge", *words, code=code)
    assert population.repository.head == head
    assert not population.merging


def test_a_damaged_state_is_named_and_can_be_dropped(population: Population) -> None:
    run(population, "merge", "theirs", code=4)
    population.merge_file.write_text("{")
    assert "`mpop merge --abort` removes it" in error(population, "merge", "--continue", code=4)
    run(population, "merge", "--abort")
    assert not population.merge_file.exists()
