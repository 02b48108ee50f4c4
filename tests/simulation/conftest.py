"""One small simulated project for all tests of this folder."""

from __future__ import annotations

import pytest

from mpop.simulation.parameters import SimulationParameters
from mpop.simulation.tilt_series import SimulationSummary, simulate_tilt_series

SMALL = SimulationParameters(
    series=2, tilts=7, image_size=192, pixel_size_A=5.0, particles=6, thickness_A=600.0, seed=3
)


@pytest.fixture(scope="session")
def small() -> SimulationParameters:
    """Parameters of the small project."""
    return SMALL


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> SimulationSummary:
    """The small project on disk."""
    return simulate_tilt_series(tmp_path_factory.mktemp("simulated") / "project", SMALL)
