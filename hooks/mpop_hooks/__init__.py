"""Policies: what must hold before a change becomes visible, be it committed, merged or received.

The built-in ones are modules of this package. A lab adds its own as executables in the population
(`mpop_hooks.executables`) or as a Python package (`mpop_hooks.plugins`). The names here are loaded when they are
asked for: who needs one small module of the package does not wait for all policies.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mpop_hooks.asking import BUILT_IN, check, check_built_in, check_records
    from mpop_hooks.plugins import hookimpl
    from mpop_hooks.proposal import Proposal
    from mpop_hooks.violations import Violation, refusals, tell

__all__ = [
    "BUILT_IN",
    "Proposal",
    "Violation",
    "check",
    "check_built_in",
    "check_records",
    "hookimpl",
    "refusals",
    "tell",
]

_HOMES = {
    "mpop_hooks.asking": ("BUILT_IN", "check", "check_built_in", "check_records"),
    "mpop_hooks.violations": ("Violation", "refusals", "tell"),
    "mpop_hooks.plugins": ("hookimpl",),
    "mpop_hooks.proposal": ("Proposal",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
