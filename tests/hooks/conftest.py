"""Steps of the example population, and what the policies say to them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from example_population import make_population

from mpop.population import Population
from mpop_hooks import Proposal, Violation, check
from mpop_hooks.proposal import Event
from mpop_store import version_of

Records = dict[str, dict[str, Any] | None]
Judge = Callable[..., list[Violation]]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Population:
    """The example population. Read only, but for its object store."""
    return make_population(tmp_path_factory.mktemp("hooks"))


@pytest.fixture
def population(tmp_path: Path) -> Population:
    """An example population of the test's own."""
    return make_population(tmp_path)


@pytest.fixture(scope="session")
def judge(template: Population) -> Judge:
    """Findings about a step from the example population in which records (None: gone) change; their versions are
    made to fit, and so is the head of the species that a changed part belongs to."""

    def findings(changes: Records, event: Event = "receive", fit: bool = True) -> list[Violation]:
        if fit:
            _fit(template, changes)
        return check(Proposal.changing(template.repository, "HEAD", changes, event))

    return findings


def _fit(population: Population, changes: Records) -> None:
    for path, record in list(changes.items()):
        if record is not None:
            record["version"] = version_of(record)
        if path.count("/") == 2 and path.startswith("species/"):
            head_path = f"{path.rpartition('/')[0]}.json"
            head = changes.setdefault(head_path, population.repository.read(head_path, "HEAD"))
            if head is not None:
                head["parts"].pop(path[-7:-5], None)
                head["parts"] |= {} if record is None else {path[-7:-5]: record["version"]}
                head["version"] = version_of(head)
