"""A population to break, and the process in which it is broken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from example_population import make_population
from fault_scenarios import SCENARIOS
from fault_trials import Trial
from fault_world import AUTHOR, World
from faults import Faults, compiler


@pytest.fixture(scope="session")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faults]:
    """The process that dies for us."""
    if compiler() is None:
        pytest.skip("needs a C compiler")
    with _author():
        server = Faults(tmp_path_factory.mktemp("faults"))
    yield server
    server.close()


@contextmanager
def _author() -> Iterator[None]:
    """Commits inside are of one author and time. Not for the whole session: other tests set times of their own."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in AUTHOR.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(autouse=True)
def author() -> Iterator[None]:
    """The same author and time in every test."""
    with _author():
        yield


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A population with one commit. Read only."""
    folder = tmp_path_factory.mktemp("example")
    with _author():
        make_population(folder)
    return World(folder)


@pytest.fixture(scope="session", params=SCENARIOS)
def trial(
    request: pytest.FixtureRequest, example: World, faults: Faults, tmp_path_factory: pytest.TempPathFactory
) -> Trial:
    """One action after the other."""
    with _author():
        return Trial(SCENARIOS[request.param], example, faults, tmp_path_factory.mktemp("trial"))
