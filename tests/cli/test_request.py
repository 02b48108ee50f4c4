"""`mpop request`: what its commands print, in text and JSON, and how they end."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import as_json, mpop, run
from example_population import make_population
from offered import add_series, add_virus, place_ribosome

from mpop.population import Population
from mpop.requests.chains import PREFIX


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Population:
    """A ribosome on main; on branch `work`, where we are, four viruses that sit on ribosomes in TS_1."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "B. Biologist")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "b@example.org")
        monkeypatch.setenv(f"GIT_{role}_DATE", "2026-11-21T12:00:00+01:00")
    made = make_population(tmp_path)
    place_ribosome(made)
    made.commit("Place the ribosomes")
    monkeypatch.chdir(made.root)
    mpop("switch", "-c", "work")
    add_virus(made, [made.item("TS_1"), *add_series(made, 3)], at_A=23.0)
    made.commit("Add a virus")
    return made


def opened() -> str:
    """Open a request for the virus; its id."""
    return as_json("request", "open", "--species", "virus", "-m", "A virus\n\nIn the second grid.")["request"][
        "id"
    ]


def test_open_and_list(lab: Population) -> None:
    text = mpop("request", "open", "--species", "virus", "-m", "A virus\n\nIn the second grid.")
    (ref,) = lab.repository.refs.all(PREFIX)
    name = ref.removeprefix(PREFIX)
    lines = text.splitlines()
    assert lines[0] == f"Opened request {name}: A virus"
    assert lines[1].startswith("  offers species virus, commit ") and " for main at " in lines[1]
    assert "  with 1 tilt series, 1 of their sources" in lines
    assert lines[-1] == "  `mpop push --requests` brings it to the others"
    listed = mpop("request", "list")
    assert listed == f"{name}  open    A virus  for main, by B. Biologist <b@example.org>, 2026-11-21 12:00\n"
    data = as_json("request", "list")
    assert (data["schema"], data["requests"][0]["id"]) == ("mpop.requests/v1", name)


def test_titles_when_there_is_no_message(lab: Population) -> None:
    assert ": Species virus\n" in mpop("request", "open", "--species", "virus")
    assert ": Branch work\n" in mpop("request", "open")


def test_show(lab: Population) -> None:
    name = opened()
    mpop("request", "close", name[:6], "-m", "found a better one")
    text = mpop("request", "show", name)
    assert text.startswith(f"request {name}: A virus\nclosed, offers species virus for main, commit ")
    assert "opened 2026-11-21 12:00 by B. Biologist <b@example.org>, commit " in text
    assert "    In the second grid.\n" in text
    assert text.endswith("closed 2026-11-21 12:00 by B. Biologist <b@example.org>\n    found a better one\n")
    assert mpop("request", "list") == "no open requests\n"
    assert "closed" in mpop("request", "list", "--all")
    assert [one["kind"] for one in as_json("request", "show", name)["request"]["events"]] == ["open", "close"]


def test_check_in_text_json_and_as_a_page(lab: Population, tmp_path: Path) -> None:
    name = opened()
    page = tmp_path / "check.html"
    text = mpop("request", "check", name[:5], "--html", str(page), code=4)
    assert "  can be merged after deciding on 4 collisions\n" in text
    assert "    TS_1            4       0       2       2  4 with ribosome (" in text
    assert "    TS_3            4       0       2       2  -\n" in text
    assert "  --collisions keep-better|drop-incoming|keep-both\n" in text
    assert text.endswith(f"page: {page}\n")
    assert "Can be merged after" in page.read_text()
    data = as_json("request", "check", name, code=4)
    assert data["schema"] == "mpop.request-check/v1"
    assert data["verdict"]["answer"] == "can be merged after"
    assert data["verdict"]["sentence"] == "can be merged after deciding on 4 collisions"
    assert [(one["series"], one["count"]) for one in data["collisions"]] == [("TS_1", 4)]
    assert data["species"][0]["particles"] == 8


def test_cleaned_updated_and_merged(lab: Population) -> None:
    name = opened()
    mpop("collisions", "--since", "main", "--policy", "drop-incoming", "--apply")
    assert "not committed" in mpop("request", "update", name, code=4)
    mpop("commit", "-m", "Remove collisions")
    assert mpop("request", "update", name, "-m", "cleaned").startswith(f"Updated request {name}: A virus\n")
    assert "offers just this already" in mpop("request", "update", name, code=4)
    assert "  can be merged\n" in mpop("request", "check", name)
    mpop("switch", "main")
    assert mpop("request", "merge", name).endswith(
        f"request {name} is merged, in commit {lab.repository.head[:10]}\n"
    )
    assert [one["kind"] for one in as_json("request", "show", name)["request"]["events"]] == [
        "open",
        "update",
        "merge",
    ]
    assert "merged already" in mpop("request", "check", name)
    assert mpop("verify").startswith("verified: ")


def test_merge_says_what_it_removed(lab: Population) -> None:
    name = opened()
    mpop("switch", "main")
    assert "undecided: 4 collisions" in mpop("request", "merge", name, code=4)
    text = mpop("request", "merge", name, "--collisions", "drop-incoming")
    assert text.startswith("removed 4 particles of virus\n    4: it is the one that is offered\n")
    data = as_json("request", "merge", name)
    assert data["schema"] == "mpop.request-merge/v1"
    assert (data["request"]["state"], data["commit"]) == ("merged", lab.repository.head)


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (("show", "ffff"), 3, "no request 'ffff' in this population; `mpop request list` shows"),
        (("merge", "{id}", "--collisions", "maybe"), 2, "--collisions is one of keep-better, drop-incoming"),
        (("merge", "{id}", "--resolve", "everything"), 2, "write KIND/NAME=WAY"),
        (("merge", "{id}"), 4, "is meant for main; `mpop switch main` first"),
        (("open", "--onto", "nowhere"), 3, "no branch 'nowhere'"),
        (("open", "--species", "phage"), 3, "no species 'phage'"),
        (("close", "{id}", "-m", "\x1b[2J"), 2, "a request cannot hold this: message"),
        (("open", "-m", "x" * 301), 2, "title: String should have at most 300"),
        (("check", "{id}", "--html", "."), 2, "is a folder"),
    ],
)
def test_one_line_says_what_is_wrong(lab: Population, words: tuple[str, ...], code: int, complaint: str) -> None:
    name = opened()
    before = lab.repository.refs.all()
    done = run("request", *(word.format(id=name) for word in words))
    assert (done.code, done.out) == (code, "")
    (line,) = done.err.splitlines()
    assert line.startswith("mpop: error: ") and complaint in line
    assert lab.repository.refs.all() == before


def test_strange_references_are_named_once(lab: Population) -> None:
    opened()
    lab.repository.refs.update({f"{PREFIX}strange": (None, lab.repository.head)}, "received")
    done = run("request", "list")
    assert done.code == 0 and len(done.out.splitlines()) == 1
    assert "mpop: warning: refs/mpop/requests/strange: " in done.err
