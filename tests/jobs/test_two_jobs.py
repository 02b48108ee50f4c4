"""Two jobs at once: the second is refused when it starts, or waits its turn; and no result is lost at the end."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from example_population import make_population

from mpop.errors import OvertakenError, StateError
from mpop.jobs import leasing
from mpop.jobs.leasing import leased
from mpop.population import Population

SPECIES = "5" * 16


@pytest.fixture
def population(tmp_path: Path) -> Population:
    return make_population(tmp_path)


def _writes(population: Population, names: Iterable[str]) -> Iterable[str]:
    return names


@leased("refine", _writes)
def job(population: Population, names: Iterable[str]) -> float:
    """When it began to work."""
    return time.monotonic()


def test_the_second_job_is_refused_at_its_start_and_names_the_first(population: Population) -> None:
    with population.objects.leases.hold("refine", "refs/heads/main", [SPECIES]) as first:
        with pytest.raises(StateError) as caught:
            job(population, ["another", SPECIES])
        began = datetime.datetime.fromtimestamp(first.started)
        who = f"refine, by {first.user} on {first.host}, since {began:%H:%M}, pid {os.getpid()}"
        assert str(caught.value).startswith(
            f"at work on the same here: {who}; wait for it with --wait, or work on"
        )
        assert [lease.id for lease in population.objects.leases.live(time.time())] == [first.id]
    job(population, [SPECIES])


@pytest.mark.parametrize(
    ("branch", "names"),
    [("refs/heads/main", ["another"]), ("refs/heads/main", []), ("refs/heads/other", [SPECIES])],
)
def test_jobs_that_change_other_things_do_not_wait(population: Population, branch: str, names: list[str]) -> None:
    with population.objects.leases.hold("refine", branch, [SPECIES]):
        job(population, names if branch == "refs/heads/main" else [SPECIES])


def test_a_job_may_wait_its_turn(population: Population, monkeypatch: pytest.MonkeyPatch, caplog) -> None:
    monkeypatch.setattr(leasing, "LOOK_AGAIN_S", 0.02)
    population.waits = True
    began: list[float] = []
    with population.objects.leases.hold("refine", "refs/heads/main", [SPECIES]) as first:
        second = threading.Thread(target=lambda: began.append(job(population, [SPECIES])))
        second.start()
        while not caplog.records:
            time.sleep(0.01)
        assert began == []
        ended = time.monotonic()
    second.join(timeout=20)
    assert began and began[0] >= ended
    assert [record.getMessage() for record in caplog.records] == [f"waiting for {first}"]


def test_the_dead_are_not_waited_for(population: Population) -> None:
    code = (
        "import os, sys; from mpop.population import Population; from pathlib import Path\n"
        "leases = Population.open(Path(sys.argv[1])).objects.leases\n"
        "with leases.hold('refine', 'refs/heads/main', [sys.argv[2]]): os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(population.root), SPECIES], check=False)
    job(population, [SPECIES])


def _renamed(population: Population, name: str):
    (species,) = population.species().values()
    return species.model_copy(update={"name": name})


def test_a_result_that_comes_too_late_is_kept_on_a_branch(population: Population) -> None:
    since = population.repository.head
    assert since is not None
    result = _renamed(population, "by-the-first")
    population.stage([_renamed(population, "by-others")])
    population.commit("Meanwhile")
    head = population.repository.head
    with pytest.raises(
        OvertakenError, match=r"changed and committed while the job ran .*: `mpop merge set-aside-"
    ) as caught:
        population.commit_records([result], "Refine", since)
    branch = str(caught.value).split("`mpop merge ")[1].split("`")[0]
    assert population.repository.head == head
    assert population.repository.status() == []
    (kept,) = population.species(f"refs/heads/{branch}").values()
    assert kept.name == "by-the-first"
    assert [one.name for one in population.species().values()] == ["by-others"]


def test_a_result_is_kept_when_others_staged_the_same(population: Population) -> None:
    since = population.repository.head
    assert since is not None
    result = _renamed(population, "by-the-first")
    population.stage([_renamed(population, "by-others")])
    with pytest.raises(OvertakenError, match=r"changed and staged while the job ran .*mpop merge set-aside-"):
        population.commit_records([result], "Refine", since)
    assert [one.name for one in population.species().values()] == ["by-others"]
