"""A population, a bare one to share it, and a real ssh server on a loopback port."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from example_population import make_population, refine

from mpop.exchange.pushing import PushOptions, push_to
from mpop.population import Population
from mpop_store.git.repository import Repository
from mpop_store.transfer.remotes import Remotes

ROOT = Path(__file__).resolve().parents[2]


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def ssh_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path], str]]:
    """The address of a folder of this machine by way of ssh."""
    sshd = _script("sshd")
    if sshd.find("sshd") is None:
        pytest.skip("there is no sshd; scripts/install_test_peers.sh installs one")
    with sshd.Sshd(tmp_path_factory.mktemp("sshd")) as server:
        before = os.environ.get("GIT_SSH_COMMAND")
        os.environ["GIT_SSH_COMMAND"] = server.command
        yield lambda folder: f"ssh://{server.host}:{server.port}{folder}"
        if before is None:
            del os.environ["GIT_SSH_COMMAND"]
        else:
            os.environ["GIT_SSH_COMMAND"] = before


@pytest.fixture(params=["directory", "ssh"])
def address_of(request: pytest.FixtureRequest) -> Callable[[Path], str]:
    """The address of a folder, over every transport there is."""
    return str if request.param == "directory" else request.getfixturevalue("ssh_address")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a population of an import and a refinement, to be copied."""
    folder = tmp_path_factory.mktemp("template")
    refine(make_population(folder))
    return folder


@pytest.fixture
def original(template: Path, tmp_path: Path) -> Population:
    """A population of an import and a refinement."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return Population.open(tmp_path / "population")


@pytest.fixture
def shared(original: Population, tmp_path: Path) -> Repository:
    """A bare population to which the original was pushed."""
    bare = Repository.init(tmp_path / "shared", bare=True)
    remotes = Remotes(original.repository)
    remotes.add("origin", str(bare.root))
    push_to(original.repository, remotes.get("origin"), PushOptions())
    return Repository.open(bare.root)
