"""Policies: what must hold before a change becomes visible, be it committed, merged or received.

The built-in ones are modules of this package, asked in this order. A lab adds its own as executables in the
population (`mpop_hooks.executables`) or as a Python package (`mpop_hooks.plugins`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mpop_hooks import executables, halves_unmixed, objects_complete, plugins, versions_derive
from mpop_hooks.findings import Finding, refusals
from mpop_hooks.plugins import hookimpl
from mpop_hooks.proposal import Proposal
from mpop_store import ObjectStore

BUILT_IN = (versions_derive, objects_complete, halves_unmixed)

__all__ = ["BUILT_IN", "Finding", "Proposal", "check", "check_records", "hookimpl", "refusals"]


def check(proposal: Proposal) -> list[Finding]:
    """All findings about a change: of the built-in policies, of those plugged in, of the population's own.

    Policies that need sound records are asked only when the built-in ones have nothing against them.
    """
    findings = [finding for policy in BUILT_IN for finding in policy.check(proposal)]
    if not refusals(findings):
        findings += plugins.check(proposal)
        findings += executables.check(proposal)
    return findings


def check_records(
    records: Mapping[str, Mapping[str, Any]], before: Mapping[str, Mapping[str, Any]], objects: ObjectStore
) -> list[Finding]:
    """Findings of a commit of these records; `check` says more."""
    return check(Proposal("commit", records, before, {}, objects))
