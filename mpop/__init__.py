"""Version control and multi-particle refinement for populations of macromolecules in cryo-EM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mpop.population import Population

__all__ = ["Population"]


def __getattr__(name: str) -> Any:
    """`mpop.Population`, loaded when it is asked for: it brings Zarr, and the command line must start at once."""
    if name == "Population":
        from mpop.population import Population

        return Population
    raise AttributeError(f"module 'mpop' has no attribute {name!r}")
