"""Shared fixtures, and the rule that under CI no test skips without leave (`allowed_skips.txt`)."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock
from hypothesis import settings

if TYPE_CHECKING:
    from mpop.population import Population

# the time of one example says nothing on a shared machine, where the first one also compiles
settings.register_profile("mpop", deadline=None)
settings.load_profile("mpop")

ROOT = Path(__file__).resolve().parent.parent
ALLOWED_SKIPS = Path(__file__).with_name("allowed_skips.txt")
TINY = {"series": 2, "tilts": 11, "particles": 12, "image_size": 256, "pixel_size_A": 5.0, "seed": 3}


def _allowed_skips() -> list[str]:
    lines = ALLOWED_SKIPS.read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip into a failure when CI is set and its reason is not on the list."""
    if not os.environ.get("CI") or not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not any(re.search(pattern, reason) for pattern in _allowed_skips()):
        report.outcome = "failed"
        report.longrepr = f"unexpected skip under CI: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Skips of single tests."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Skips of whole modules."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Files of other programs: the folder $MPOP_TEST_DATA, or shared/data beside the checkout."""
    folder = Path(os.environ.get("MPOP_TEST_DATA") or ROOT.parent / "shared" / "data").resolve()
    if not folder.is_dir():
        pytest.skip(f"no test data in {folder}; set MPOP_TEST_DATA to the folder that holds them")
    return folder


@dataclass(frozen=True)
class TinyWorld:
    """A simulated project (two species, two series of 11 tilts) and a population with it committed."""

    folder: Path
    """Holds data/ (the project) and population/."""

    @property
    def data(self) -> Path:
        """The simulated Warp project."""
        return self.folder / "data"

    @property
    def population(self) -> Population:
        """The population, with everything imported and committed as `Import`."""
        from mpop.population import Population

        return Population.open(self.folder / "population")


def _make_world(folder: Path) -> None:
    from mpop.jobs.importing.source import add_source
    from mpop.jobs.importing.species import add_species
    from mpop.population import Population
    from mpop.simulation.parameters import SimulationParameters
    from mpop.simulation.tilt_series import simulate_tilt_series

    summary = simulate_tilt_series(folder / "data", SimulationParameters(**TINY))
    population = Population.init(folder / "population", "tiny")
    add_source(population, "simulated", folder / "data" / "warp_tiltseries.settings")
    for one in summary.species:
        stem = folder / "data" / "species" / one.name
        half1, half2, mask = (Path(f"{stem}_{kind}.mrc") for kind in ("half1", "half2", "mask"))
        particles = Path(f"{stem}_particles.star")
        add_species(population, one.name, half1, half2, mask, particles, one.diameter_A, one.symmetry)
    population.commit("Import")


@pytest.fixture(scope="session")
def shared_tiny_world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    """The world, made once for all test processes. Read only."""
    parallel = "PYTEST_XDIST_WORKER" in os.environ
    base = tmp_path_factory.getbasetemp().parent if parallel else tmp_path_factory.getbasetemp()
    folder = base / "tiny-world"
    with FileLock(base / "tiny-world.lock"):
        if not folder.exists():
            making = base / "tiny-world-in-the-making"
            _make_world(making)
            making.rename(folder)
    return TinyWorld(folder)


@pytest.fixture
def tiny_world(shared_tiny_world: TinyWorld, tmp_path: Path) -> TinyWorld:
    """A world of the test's own, to change at will."""
    folder = tmp_path / "world"
    shutil.copytree(shared_tiny_world.folder, folder)
    return TinyWorld(folder)
