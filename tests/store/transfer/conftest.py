"""A population to send from, and a bare one to send to, over each way of reaching it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from exchange_world import connected, directory, empty, opened, populated

from mpop_store.git.repository import Repository
from mpop_store.transfer.remote import Remote

Reach = Callable[[Repository], AbstractContextManager[Remote]]


@pytest.fixture(params=[directory, connected], ids=["directory", "connected"])
def reach(request: pytest.FixtureRequest) -> Reach:
    """A way to reach a population."""
    return request.param


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A population of two commits, to be copied."""
    return populated(tmp_path_factory.mktemp("template") / "here").root


@pytest.fixture
def here(template: Path, tmp_path: Path) -> Repository:
    """A population of two commits."""
    return opened(Path(shutil.copytree(template, tmp_path / "here")))


@pytest.fixture
def there(tmp_path: Path) -> Repository:
    """A bare population with nothing in it."""
    return empty(tmp_path / "there", bare=True)
