"""`mpop init --bare`, `clone`, `fetch`, `pull`, `push`, `remote` and `drop`: what they print and how they end."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from example_population import make_population, model, refine
from typer.testing import CliRunner

from mpop.cli import context
from mpop.cli.main import app
from mpop.errors import InputError, MpopError, NotFoundError, StateError
from mpop.population import Population
from mpop_store.git.repository import Repository
from mpop_store.transfer.wire import Channel


def mpop(*words: str | Path, code: int = 0) -> str:
    """What a command prints; errors are raised as they are."""
    context.options.json = False
    done = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(done.exception, MpopError):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.output


def as_json(*words: str | Path, code: int = 0) -> dict[str, Any]:
    return json.loads(mpop(*words, "--json", code=code))


@pytest.fixture
def lab_a(tmp_path: Path) -> Path:
    """A population that was pushed to tmp_path/shared."""
    population = make_population(tmp_path)
    refine(population)
    mpop("init", "--bare", tmp_path / "shared")
    mpop("-C", population.root, "remote", "add", "origin", "../shared")
    mpop("-C", population.root, "push")
    return population.root


@pytest.fixture
def lab_b(lab_a: Path, tmp_path: Path) -> Path:
    """A clone."""
    mpop("-C", tmp_path, "clone", "shared", "b")
    return tmp_path / "b"


def edit(folder: Path, item: str, bend_A: float) -> str:
    population = Population.open(folder)
    record = population.item(item)
    update = {"model_object": population.write_tilt_series(model(bend_A)), "parent": record.version}
    return population.commit_records(
        [record.model_copy(update=update)], f"Bend {item}", str(population.repository.head)
    )


def test_from_init_to_clone(tmp_path: Path) -> None:
    population = make_population(tmp_path)
    head = str(population.repository.head)
    shared = tmp_path / "shared"
    assert mpop("init", "--bare", shared) == f"Initialised bare population in {shared}; `mpop push` to it\n"
    with pytest.raises(InputError, match="--bare takes no --name"):
        mpop("init", "--bare", "--name", "x", tmp_path / "other")
    here = ("-C", population.root)
    assert mpop(*here, "remote", "list") == "none yet\n"
    assert mpop(*here, "remote", "add", "origin", "../shared") == f"added remote origin: {shared}\n"
    assert mpop(*here, "remote", "list") == f"origin       {shared}\n"
    pushed = mpop(*here, "push").splitlines()
    assert pushed[0].startswith("origin: 1 commit, ") and pushed[0].endswith(" objects")
    assert pushed[1] == f"  main  new, {head[:10]}"
    assert mpop(*here, "push") == "origin: everything is up to date\n"
    cloned = mpop("-C", tmp_path, "clone", "shared", "copy")
    assert cloned.startswith(f"Cloned shared into {tmp_path / 'copy'}, on branch main: 1 commit, ")
    assert Population.open(tmp_path / "copy").repository.head == head


def test_json(lab_a: Path, lab_b: Path, tmp_path: Path) -> None:
    first = str(Population.open(lab_a).repository.head)
    second = edit(lab_a, "TS_1", 1.0)
    pushed = as_json("-C", lab_a, "push")
    assert pushed["schema"] == "mpop.push/v1"
    assert pushed["moves"] == {"refs/heads/main": [first, second]}
    assert (pushed["commits"], pushed["objects"]) == (1, 1) and pushed["bytes"] > 0
    fetched = as_json("-C", lab_b, "fetch")
    assert fetched["schema"] == "mpop.fetch/v1" and fetched["remote"] == "origin"
    assert fetched["moves"] == {"refs/remotes/origin/main": [first, second]}
    pulled = as_json("-C", lab_b, "pull")
    assert (pulled["before"], pulled["after"], pulled["merge"]["status"]) == (first, second, "fast-forward")
    cloned = as_json("-C", tmp_path, "clone", "--no-data", "shared", "lazy")
    assert (cloned["branch"], cloned["commits"], cloned["bytes"]) == ("main", 3, 0)
    remotes = as_json("-C", lab_b, "remote", "list")["remotes"]
    assert [(one["name"], one["data"]) for one in remotes] == [("origin", "all")]
    dropped = as_json("-C", lab_b, "drop", "--all", "--dry-run")
    assert (
        dropped["dry_run"] is True and dropped["objects"] > 0 and dropped["proven_at"] == str(tmp_path / "shared")
    )


def test_pull_merges_what_both_labs_did(lab_a: Path, lab_b: Path) -> None:
    edit(lab_a, "TS_1", 1.0)
    mpop("-C", lab_a, "push")
    edit(lab_b, "TS_2", 2.0)
    with pytest.raises(StateError, match="`mpop pull` first"):
        mpop("-C", lab_b, "push")
    assert "merged in commit" in mpop("-C", lab_b, "pull")
    mpop("-C", lab_b, "push")
    assert "fast-forward" in mpop("-C", lab_a, "pull")
    assert "already up to date" in mpop("-C", lab_a, "pull")
    assert Population.open(lab_a).items() == Population.open(lab_b).items()


def test_pull_stops_at_a_conflict(lab_a: Path, lab_b: Path) -> None:
    edit(lab_a, "TS_1", 1.0)
    mpop("-C", lab_a, "push")
    edit(lab_b, "TS_1", 2.0)
    assert "conflict: item/TS_1: refined on both sides" in mpop("-C", lab_b, "pull", code=4)
    with pytest.raises(StateError, match="a merge is in progress"):
        mpop("-C", lab_b, "pull")
    mpop("-C", lab_b, "merge", "--abort")


def test_branches_there(lab_a: Path, lab_b: Path) -> None:
    mpop("-C", lab_b, "switch", "--create", "trial")
    edit(lab_b, "TS_1", 3.0)
    mpop("-C", lab_b, "push")
    assert "origin/trial" in mpop("-C", lab_a, "fetch")
    mpop("-C", lab_b, "undo")  # the branch moves back by the edit
    edit(lab_b, "TS_1", 4.0)
    with pytest.raises(StateError, match="holds commits that are not in yours"):
        mpop("-C", lab_b, "push")
    shared = Repository.open(lab_a.parent / "shared")
    for words in (("--force-with-lease",), ("origin", "trial", "--delete")):
        with pytest.raises(
            StateError, match=r"rule protected.*`git config receive.deny.* false` in that population"
        ):
            mpop("-C", lab_b, "push", *words)
    for setting in ("receive.denyNonFastForwards", "receive.denyDeletes"):
        shared.config[setting] = False
    assert "trial" in mpop("-C", lab_b, "push", "--force-with-lease")
    assert "trial  deleted" in mpop("-C", lab_b, "push", "origin", "trial", "--delete")
    assert "origin/trial  deleted" in mpop("-C", lab_a, "fetch")


def test_requests_made_apart_are_united(lab_a: Path, lab_b: Path) -> None:
    from mpop.requests.chains import Requests

    edit(lab_b, "TS_1", 5.0)
    opened = Requests(Population.open(lab_b).repository).open(
        "Straighter", "main", None, str(Population.open(lab_b).repository.head)
    )
    assert f"requests/{opened.id}  new" in mpop("-C", lab_b, "push", "--requests")
    assert f"requests/{opened.id}  new" in mpop("-C", lab_a, "fetch")
    assert Population.open(lab_a).repository.refs.get("refs/heads/main") != opened.offered
    again = edit(lab_b, "TS_1", 6.0)
    Requests(Population.open(lab_b).repository).add(opened.id, "update", commit=again)
    Requests(Population.open(lab_a).repository).add(opened.id, "close", "no")
    mpop("-C", lab_b, "push", "--requests")
    assert "united with what was done here" in mpop("-C", lab_a, "fetch")
    united = Requests(Population.open(lab_a).repository).find(opened.id)
    assert {event.kind for event in united.record.events} == {"open", "update", "close"}
    assert f"requests/{opened.id}" in mpop("-C", lab_a, "push", "--requests")
    assert f"requests/{opened.id}" in mpop("-C", lab_b, "fetch")


def test_remotes_are_added_and_removed(lab_b: Path) -> None:
    with pytest.raises(StateError, match="there is a remote 'origin' already"):
        mpop("-C", lab_b, "remote", "add", "origin", "elsewhere")
    for name, address in (("-x", "elsewhere"), ("ok", "-oProxyCommand=x:y"), ("ok", "https://host/p")):
        with pytest.raises((InputError, SystemExit, AssertionError)):
            mpop("-C", lab_b, "remote", "add", "--", name, address)
    assert mpop("-C", lab_b, "remote", "remove", "origin") == "removed remote origin\n"
    assert Population.open(lab_b).repository.refs.all("refs/remotes/") == {}
    with pytest.raises(
        NotFoundError, match=r"no remote 'origin' \(there are: none yet\); `mpop remote add origin"
    ):
        mpop("-C", lab_b, "push")


def test_wrong_options_are_one_line(lab_b: Path) -> None:
    for words in (
        ("fetch", "--no-data", "--all-data"),
        ("push", "--delete"),
        ("push", "origin", "main", "--requests"),
        ("drop",),
    ):
        with pytest.raises(InputError):
            mpop("-C", lab_b, *words)
    with pytest.raises(NotFoundError, match="no branch nowhere"):
        mpop("-C", lab_b, "push", "origin", "nowhere")


def test_a_plain_git_clone_becomes_whole(lab_a: Path, tmp_path: Path) -> None:
    subprocess.run(["git", "clone", "-q", tmp_path / "shared", tmp_path / "plain"], check=True)
    assert "of arrays" in mpop("-C", tmp_path / "plain", "fetch")
    assert "verified" in mpop("-C", tmp_path / "plain", "verify")


def test_serve_stdio_speaks_nothing_but_frames(lab_a: Path, tmp_path: Path) -> None:
    code = "import sys; from mpop.cli.main import main; sys.argv[0] = 'mpop'; main()"
    command = [sys.executable, "-c", code, "serve-stdio", "--", str(tmp_path / "shared")]
    requests = io.BytesIO()
    channel = Channel(io.BytesIO(), requests, "server")
    for message in ({"mpop": 1}, {"do": "refs"}, {"do": "bye"}):
        channel.send(message)
    done = subprocess.run(command, input=requests.getvalue(), capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    answers = Channel(io.BytesIO(done.stdout), io.BytesIO(), "server")
    hello = answers.receive()
    assert len(hello.pop("store")) == 32
    assert hello == {"mpop": 1, "bare": True, "branch": "refs/heads/main"}
    assert answers.receive()["refs"] == {"refs/heads/main": Population.open(lab_a).repository.head}
    assert "serve-stdio" not in mpop("--help")
