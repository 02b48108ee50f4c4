"""Ground-truth data by physics that shares no code with refinement."""

from mpop.simulation.parameters import SimulationParameters
from mpop.simulation.tilt_series import SimulatedSpecies, SimulationSummary, simulate_tilt_series

__all__ = ["SimulatedSpecies", "SimulationParameters", "SimulationSummary", "simulate_tilt_series"]
