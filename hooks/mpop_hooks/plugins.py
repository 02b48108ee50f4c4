"""Policies from other Python packages, found by pluggy.

A package names a module or object under the entry point `mpop.policies`; it has a function

    @mpop_hooks.hookimpl
    def mpop_check(proposal): ...

that returns or yields findings. A policy that breaks refuses the change: what could not be asked has not agreed.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.metadata import entry_points
from typing import Protocol

import pluggy

from mpop_hooks.proposal import Proposal
from mpop_hooks.violations import Violation

GROUP = "mpop.policies"

hookspec = pluggy.HookspecMarker("mpop")
hookimpl = pluggy.HookimplMarker("mpop")


class Specification(Protocol):
    """What a plugged-in policy implements; pluggy asks for the signature only."""

    @hookspec
    def mpop_check(self, proposal: Proposal) -> Iterable[Violation]:
        """Findings about a change."""
        ...


def new_manager() -> pluggy.PluginManager:
    """A plugin manager that knows the hooks and no plugin."""
    manager = pluggy.PluginManager("mpop")
    manager.add_hookspecs(Specification)
    return manager


@cache
def installed() -> pluggy.PluginManager:
    """Every policy that is installed on this machine."""
    manager = new_manager()
    for entry in entry_points(group=GROUP):
        try:
            manager.register(entry.load(), name=entry.name)
        except Exception as error:  # whatever a broken package raises when it is imported
            manager.register(_Broken(f"{type(error).__name__}: {error}"), name=entry.name)
    return manager


class _Broken:
    """Stands for a policy that cannot be loaded."""

    def __init__(self, problem: str) -> None:
        self._problem = problem

    @hookimpl
    def mpop_check(self, proposal: Proposal) -> Iterable[Violation]:
        """Says so each time."""
        raise RuntimeError(f"it cannot be loaded: {self._problem}")


def check(proposal: Proposal, manager: pluggy.PluginManager | None = None) -> list[Violation]:
    """Findings of all plugged-in policies."""
    manager = manager or installed()
    findings: list[Violation] = []
    for name, plugin in manager.list_name_plugin():
        others = [other for _, other in manager.list_name_plugin() if other is not plugin]
        try:
            for found in manager.subset_hook_caller("mpop_check", others)(proposal=proposal):
                findings += found
        except Exception as error:  # a policy of somebody else's may fail in any way
            advice = f"repair or uninstall the package that brings the policy {name}"
            findings.append(Violation(name, "", f"the policy {name} failed: {error}", advice))
    return findings
