"""Asking policies of a change: the built-in ones in this order, then those plugged in and the population's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mpop_hooks import (
    arrays_bounded,
    executables,
    halves_unmixed,
    nothing_lost,
    objects_complete,
    plugins,
    records_plain,
    resolution_claim,
    versions_derive,
)
from mpop_hooks.proposal import Proposal
from mpop_hooks.violations import Violation, refusals

BUILT_IN = (
    records_plain,
    versions_derive,
    objects_complete,
    arrays_bounded,
    nothing_lost,
    halves_unmixed,
    resolution_claim,
)

STOP_AFTER = (records_plain, arrays_bounded, BUILT_IN[-1])
"""When one of these refuses nothing more is asked: the policies that follow rely on it."""


def check(proposal: Proposal) -> list[Violation]:
    """All findings about a change: of the built-in policies, of those plugged in, of the population's own."""
    return _ask((*BUILT_IN, plugins, executables), proposal)


def check_built_in(proposal: Proposal) -> list[Violation]:
    """The findings of the built-in policies alone."""
    return _ask(BUILT_IN, proposal)


def check_records(proposal: Proposal) -> list[Violation]:
    """The findings of the policies that look at records alone, for when the arrays have not come along."""
    return _ask((records_plain, versions_derive), proposal)


def _ask(policies: Iterable[Any], proposal: Proposal) -> list[Violation]:
    findings: list[Violation] = []
    for policy in policies:
        findings += policy.check(proposal)
        if policy in STOP_AFTER and refusals(findings):
            break
    return findings
