"""What differs between two states of a population, in the words of a biologist."""

from mpop.comparison.compare import Difference, compare
from mpop.comparison.maps import MapDifference, compare_maps
from mpop.comparison.models import Quantity, compare_models
from mpop.comparison.particles import ParticleChange, Spread, compare_particles, summarise

__all__ = [
    "Difference",
    "MapDifference",
    "ParticleChange",
    "Quantity",
    "Spread",
    "compare",
    "compare_maps",
    "compare_models",
    "compare_particles",
    "summarise",
]
