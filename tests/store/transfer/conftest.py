"""A population to send from, and a bare one to send to, over each way of reaching it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from exchange_world import connected, directory, empty, populated

from mpop_store.repository import Repository
from mpop_store.transfer.remote import Remote

Reach = Callable[[Repository], AbstractContextManager[Remote]]


@pytest.fixture(params=[directory, connected], ids=["directory", "connected"])
def reach(request: pytest.FixtureRequest) -> Reach:
    """A way to reach a population."""
    return request.param


@pytest.fixture
def here(tmp_path: Path) -> Repository:
    """A population of two commits."""
    return populated(tmp_path / "here")


@pytest.fixture
def there(tmp_path: Path) -> Repository:
    """A bare population with nothing in it."""
    return empty(tmp_path / "there", bare=True)
