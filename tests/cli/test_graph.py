"""The drawn graph: by example, and by following the lines of graphs drawn at random."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpop.cli.graph import Graph

Commits = list[tuple[str, list[str]]]


def drawn(commits: Commits, named: bool = True) -> list[str]:
    graph = Graph()
    return [line for name, parents in commits for line in graph.draw(name, parents, [name] if named else [])]


def parse(text: str) -> Commits:
    """`m:a,b a:r b:r r:` as commits and their parents."""
    words = (word.split(":") for word in text.split())
    return [(name, [parent for parent in parents.split(",") if parent]) for name, parents in words]


@pytest.mark.parametrize(
    ("commits", "expected"),
    [
        ("b:a a:", ["* b", "* a"]),
        ("m:a,b b:r a:r r:", ["*   m", "|\\", "| * b", "* | a", "|/", "* r"]),
        ("n:b a:b b:", ["* n", "| * a", "|/", "* b"]),
        ("m:a,b n:b a:b b:", ["*   m", "|\\", "| | * n", "| |/", "* | a", "|/", "* b"]),
        (
            "t:a s:q u:r a:r q:r r:",
            ["* t", "| * s", "| | * u", "* | | a", "| |/", "|/|", "| * q", "|/", "* r"],
        ),
    ],
)
def test_drawn_as_git_does(commits: str, expected: list[str]) -> None:
    assert drawn(parse(commits)) == expected


def test_a_merge_of_three() -> None:
    assert drawn(parse("o:a,b,c c:r b:r a:r r:"))[:4] == ["*     o", "|\\", "|\\ \\", "| | * c"]


def test_text_runs_beside_the_lines() -> None:
    graph = Graph()
    assert list(graph.draw("m", ["a", "b"], ["m", "more", "end"])) == ["*   m", "|\\  more", "| | end"]
    assert list(graph.draw("b", ["a"], ["b", "1", "2"])) == ["| * b", "|/  1", "|   2"]
    assert list(graph.draw("a", [], ["a", "1"])) == ["* a", "  1"]


@st.composite
def histories(draw: st.DrawFn) -> Commits:
    """Commits in an order in which children come first, all with one first ancestor."""
    size = draw(st.integers(1, 14))
    commits: Commits = []
    for number in range(size):
        older = st.integers(number + 1, size - 1)
        parents = draw(st.lists(older, min_size=1, max_size=3, unique=True)) if number < size - 1 else []
        commits.append((str(number), [str(parent) for parent in parents]))
    return commits


@given(histories())
def test_lines_lead_from_every_commit_to_its_parents(commits: Commits) -> None:
    rows = drawn(commits, named=False)
    stars = [at for at, row in enumerate(rows) if "*" in row]
    assert len(stars) == len(commits)
    names = {at: name for at, (name, _) in zip(stars, commits, strict=True)}
    for at, (_, parents) in zip(stars, commits, strict=True):
        assert {names[end] for end in follow(rows, at, rows[at].index("*"))} == set(parents)


def mark(rows: list[str], row: int, place: int) -> str:
    return rows[row][place] if 0 <= row < len(rows) and 0 <= place < len(rows[row]) else " "


def follow(rows: list[str], row: int, place: int) -> Iterator[int]:
    """Rows of the commits that the lines lead to which go down from a column."""
    below = mark(rows, row + 1, place)
    if below == "*":
        yield row + 1
    elif below == "|":
        yield from follow(rows, row + 1, place)
    elif mark(rows, row + 1, place - 1) == "/":
        yield from leftwards(rows, row + 1, place - 1)
    if mark(rows, row + 1, place + 1) == "\\":
        yield from follow(rows, row + 1, place + 2)


def leftwards(rows: list[str], row: int, place: int) -> Iterator[int]:
    """From a `/`, along `_` and past the column in between if the line goes on there."""
    while mark(rows, row, place - 2) == "_":
        place -= 2
    crosses = mark(rows, row + 1, place - 1) == "|" and mark(rows, row + 1, place - 2) == "/"
    if crosses:
        row, place = row + 1, place - 2
    yield from follow(rows, row, place - 1)
