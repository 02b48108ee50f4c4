"""Requests as chains of commits: reading, adding, uniting, and what a stranger may put there."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mpop.errors import InputError, NotFoundError, StateError
from mpop.population import Population
from mpop.requests import chains
from mpop.requests.chains import FILE, PREFIX, Requests
from mpop.requests.records import SpeciesOffer
from mpop_store import version_of
from mpop_store.git.repository import Repository
from mpop_store.transfer import vetting

ROOT = {"format": 1, "kind": "population", "name": "p", "version": ""}
RIBOSOME = SpeciesOffer(id="a" * 16, name="ribosome")


@pytest.fixture(autouse=True)
def fixed_author(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_AUTHOR_NAME", "B. Biologist")
    monkeypatch.setenv("GIT_AUTHOR_EMAIL", "b@example.org")
    monkeypatch.setenv("GIT_AUTHOR_DATE", "1700000000 +0100")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Three commits on main."""
    made = Repository.init(tmp_path / "p")
    for number in range(3):
        made.stage({"population.json": ROOT | {"version": str(number)}})
        made.commit(f"Commit {number}")
    return made


def commits(repository: Repository) -> list[str]:
    return [repository.resolve(name) for name in ("HEAD~2", "HEAD~1", "HEAD")]


def git(repository: Repository, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(repository.root), *words], capture_output=True, text=True, check=True)
    return done.stdout


def forge(repository: Repository, request: chains.Request, **fields: Any) -> str:
    """A commit on a chain whose request.json has other fields, its version made to fit."""
    content = request.record.model_dump(mode="json") | fields
    content["version"] = version_of(content)
    return repository.write_commit(None, {FILE: content}, [request.tip], "Forged")


def test_a_request_is_opened_and_found(repository: Repository) -> None:
    opened = Requests(repository).open("Offer ribosome", "main", RIBOSOME, commits(repository)[2], "from grid 3\n")
    again = Requests(Repository.open(repository.root))
    assert again.all() == [opened]
    assert again.find(opened.id) == again.find(opened.id[:4]) == opened
    assert opened.record.author == "B. Biologist <b@example.org>"
    assert opened.record.opening.time == "2023-11-14T23:13:20+01:00"
    assert opened.record.opening.message == "from grid 3\n"


def test_git_sees_a_small_commit_that_leads_to_the_offer(repository: Repository) -> None:
    offered = commits(repository)[2]
    opened = Requests(repository).open("Offer ribosome", "main", RIBOSOME, offered)
    ref = PREFIX + opened.id
    assert git(repository, "for-each-ref", "--format=%(refname)", "refs/mpop") == f"{ref}\n"
    assert git(repository, "ls-tree", "-r", "--name-only", ref) == "request.json\n"
    root, second = git(repository, "log", "-1", "--format=%P", ref).split()
    assert second == offered
    assert git(repository, "log", "-1", "--format=%P", root) == "\n"
    assert json.loads(git(repository, "show", f"{ref}:request.json"))["offered"] == offered
    git(repository, "fsck", "--strict")
    assert not repository.status()
    assert [entry.reason for entry in repository.operations.all()][-1].startswith("request: Open request")


def test_what_is_offered_outlives_its_branch(repository: Repository) -> None:
    head = commits(repository)[2]
    offered = repository.write_commit(head, {"sources/a.json": {"kind": "source"}}, [head], "Side")
    request = Requests(repository).open("Offer", "main", None, offered)
    git(repository, "reflog", "expire", "--expire=now", "--all")
    git(repository, "gc", "--prune=now", "--quiet")
    assert Requests(Repository.open(repository.root)).find(request.id).offered == offered
    assert repository.read("sources/a.json", offered) == {"kind": "source"}


def test_history_of_a_request_is_kept(repository: Repository) -> None:
    first, second, third = commits(repository)
    requests = Requests(repository)
    opened = requests.open("Offer", "main", None, first)
    updated = requests.add(opened.id, "update", "without collisions", second)
    merged = requests.add(opened.id[:6], "merge", "", third)
    assert [one.kind for one in merged.record.events] == ["open", "update", "merge"]
    assert (updated.offered, merged.offered, merged.record.state) == (second, second, "merged")
    assert git(repository, "log", "--format=%s", "--first-parent", merged.tip).splitlines() == [
        f"Merge request {opened.id}",
        f"Update request {opened.id}",
        f"Open request {opened.id}: Offer",
        f"Open request {opened.id}: Offer",
    ]
    with pytest.raises(StateError, match="merged already"):
        requests.add(opened.id, "close")


def test_the_same_offer_is_not_opened_twice(repository: Repository) -> None:
    Requests(repository).open("Offer", "main", None, commits(repository)[0])
    with pytest.raises(StateError, match="offers just this already"):
        Requests(repository).open("Offer", "main", None, commits(repository)[0])


def test_names_that_lead_to_no_request(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    requests = Requests(repository)
    ids = [requests.open(f"Offer {number}", "main", None, commits(repository)[0]).id for number in range(2)]
    monkeypatch.setattr(chains, "SHORTEST", 0)
    with pytest.raises(InputError, match="several requests begin with"):
        requests.find("")
    monkeypatch.undo()
    for wanted in ("", ids[0][:3], "../heads/main", "ffffffff", ids[0] + "0"):
        with pytest.raises(NotFoundError, match="no request"):
            requests.find(wanted)


@pytest.fixture
def two_labs(repository: Repository, tmp_path: Path) -> tuple[Requests, Requests, Repository, str]:
    """A request in two copies of one population; the copies share Git's objects, so that each sees the other's."""
    opened = Requests(repository).open("Offer", "main", RIBOSOME, commits(repository)[0])
    copy = tmp_path / "copy"
    shutil.copytree(repository.root, copy)
    for one, other in ((repository.root, copy), (copy, repository.root)):
        (one / ".git/objects/info/alternates").write_text(f"{other}/.git/objects\n")
    here, there = Repository.open(repository.root), Repository.open(copy)
    return Requests(here), Requests(there), here, opened.id


def test_events_added_apart_are_united(two_labs: tuple[Requests, Requests, Repository, str]) -> None:
    ours, theirs, repository, name = two_labs
    _, second, third = commits(repository)
    mine = ours.add(name, "update", "ours", second)
    yours = theirs.add(name, "update", "theirs", third)
    united = ours.unite(name, yours.tip)
    assert {one.message for one in united.record.events} == {"", "ours", "theirs"}
    assert git(repository, "log", "-1", "--format=%P", united.tip).split() == [mine.tip, yours.tip]
    there = theirs.unite(name, united.tip)
    assert there.tip == united.tip, "the other side only moves forward"
    assert ours.find(name) == theirs.find(name) == united
    assert united.offered in (second, third)


def test_uniting_moves_forward_where_that_is_enough(two_labs: tuple[Requests, Requests, Repository, str]) -> None:
    ours, theirs, repository, name = two_labs
    newer = theirs.add(name, "close", "no longer needed")
    assert ours.unite(name, newer.tip).tip == newer.tip
    older = ours.find(name)
    assert ours.unite(name, newer.tip) == older
    repository.refs.update({PREFIX + name: (newer.tip, None)}, "forget")
    assert ours.unite(name, newer.tip).tip == newer.tip


def test_a_chain_may_not_take_events_back(two_labs: tuple[Requests, Requests, Repository, str]) -> None:
    ours, theirs, repository, name = two_labs
    opened = ours.find(name)
    closed = theirs.add(name, "close")
    liar = repository.write_commit(
        None, {FILE: opened.record.model_dump(mode="json")}, [closed.tip], "It was never closed"
    )
    with pytest.raises(StateError, match="had events before that are gone"):
        ours.unite(name, liar)
    repository.refs.update({PREFIX + name: (opened.tip, liar)}, "received without looking")
    with pytest.raises(StateError, match="do not trust it"):
        ours.find(name)
    assert not ours.all()
    assert "had events before" in ours.read()[1][0].problem


def test_strange_references_are_reported_and_left_alone(repository: Repository) -> None:
    requests = Requests(repository)
    good = requests.open("Offer", "main", None, commits(repository)[0])
    head = commits(repository)[2]
    other_name = PREFIX + "b" * 16
    event = good.record.opening.model_copy(update={"kind": "update", "number": 2, "commit": head})
    unbacked = forge(
        repository,
        good,
        offered=head,
        events=[one.model_dump(mode="json") for one in (good.record.opening, event)],
    )
    for ref, target, complaint in (
        (PREFIX + "not-an-id", head, "does not lead to a request"),
        (other_name, good.tip, "does not lead to a request"),
        (PREFIX + "c" * 16, forge(repository, good, title="\x1b[2J"), "title: one line"),
        (PREFIX + good.id, unbacked, "does not bring along"),
    ):
        repository.refs.update({ref: (repository.refs.get(ref), target)}, "received")
        problems = {one.ref: one.problem for one in requests.read()[1]}
        assert complaint in problems[ref]
        assert problems[ref].isprintable()


def brought_by_plain_git(tmp_path: Path, *offered: dict[str, Any]) -> Repository:
    """A population with requests, each of which offers some changes, that nobody has checked here."""
    made = Population.init(tmp_path / "from-elsewhere", "p").repository
    head = made.commit("Begin")
    for number, changes in enumerate(offered):
        commit = made.write_commit(head, changes, [head], "Change") if changes else head
        Requests(made).open(f"Offer {number}", "main", None, commit)
    shutil.rmtree(made.private / vetting.FOLDER)
    repository = Population.open(made.root).repository
    repository.records()
    return repository


def test_requests_that_plain_git_brought_are_checked_in_one_walk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = brought_by_plain_git(tmp_path, {}, {}, {}, {}, {})
    walks: list[int] = []
    look = vetting.new_commits

    def counted(variables: dict[str, str], tips: list[str], known: list[str]) -> list[vetting.NewCommit]:
        walks.append(len(tips))
        return look(variables, tips, known)

    monkeypatch.setattr(vetting, "new_commits", counted)
    assert len(Requests(repository).all()) == 5
    assert len(Requests(Population.open(repository.root).repository).all()) == 5
    assert walks == [5]


def test_a_request_that_must_not_be_used_hides_no_other(tmp_path: Path) -> None:
    forged = {"items/aa/aaaaaaaaaaaaaaaa.json": {"kind": "item", "name": "../../stolen/X"}}
    found, unusable = Requests(brought_by_plain_git(tmp_path, {}, forged, {})).read()
    assert {one.record.title for one in found} == {"Offer 0", "Offer 2"}
    assert len(unusable) == 1 and "the history here is not used" in unusable[0].problem
