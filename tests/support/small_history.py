"""A repository whose records name objects in the simplest way, for tests of the store without any cryo-EM."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mpop_store.arrays.groups import write_group
from mpop_store.git.repository import Repository
from mpop_store.references import References

ROOT = {"format": 1, "kind": "population", "name": "p", "version": ""}
LONG_AGO = 1e9


def references_of(record: Mapping[str, Any]) -> References:
    """A record lists what it names."""
    return References(*(tuple(record.get(key, ())) for key in ("groups", "files", "derived")))


def make(root: Path) -> Repository:
    """A repository with one commit that names nothing."""
    repository = Repository.init(root)
    repository.references_of = references_of
    repository.stage({"population.json": ROOT})
    repository.commit("First")
    return repository


def reopen(root: Path) -> Repository:
    """As another process sees it."""
    repository = Repository.open(root)
    repository.references_of = references_of
    return repository


def commit(repository: Repository, path: str, **named: list[str]) -> str:
    """Commit one record."""
    repository.stage({path: {"kind": "source", **named}})
    return repository.commit(f"Set {path}")


def put_noise(repository: Repository, seed: int, size: int = 2000) -> str:
    """Store incompressible content."""
    return repository.objects.put(np.random.default_rng(seed).bytes(size))


def put_group(repository: Repository, seed: int) -> str:
    """Store an array that needs chunks of its own."""
    values = np.random.default_rng(seed).standard_normal((3, 1500)).astype("f4")
    return write_group(repository.objects, {"a": values, "b": values + 1})


def age(repository: Repository) -> None:
    """Make everything look as if it had been there for long."""
    for folder in ("objects", "packs"):
        for file in (repository.private / folder).rglob("*"):
            if file.is_file():
                os.utime(file, (LONG_AGO, LONG_AGO))
    for file in (repository.private / "trash").glob("*"):
        file.rename(file.with_name(f"{int(time.time()) - 30 * 86400:012d}"))
