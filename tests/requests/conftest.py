"""A population that has gone on from what others have (branch `shared`)."""

from __future__ import annotations

from pathlib import Path

import pytest
from example_population import make_population, refine
from offered import add_series, add_virus, branch

from mpop.population import Population


@pytest.fixture(autouse=True)
def fixed_author(monkeypatch: pytest.MonkeyPatch) -> None:
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "B. Biologist")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "b@example.org")
        monkeypatch.setenv(f"GIT_{role}_DATE", "1700000000 +0100")


@pytest.fixture
def population(tmp_path: Path) -> Population:
    """Branch `shared` at the import; HEAD, on main, has refined the ribosome and added a virus and a series."""
    made = make_population(tmp_path)
    branch(made, "shared")
    refine(made)
    items = add_series(made, 3)
    add_virus(made, [made.item("TS_1"), *items])
    made.commit("Add a virus and a new grid")
    return made
