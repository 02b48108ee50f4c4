"""Policies that other Python packages bring."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint

import pytest

import mpop_hooks
from mpop.population import Population
from mpop_hooks import Proposal, Violation, plugins


class Strict:
    """Refuses everything."""

    @mpop_hooks.hookimpl
    def mpop_check(self, proposal: Proposal) -> Iterator[Violation]:
        yield Violation("lab/strict", "", f"no {proposal.event} today")


class Failing:
    """Has a bug."""

    @mpop_hooks.hookimpl
    def mpop_check(self, proposal: Proposal) -> list[Violation]:
        raise KeyError("oops")


@pytest.fixture
def step(population: Population) -> Proposal:
    return Proposal.between(population.repository, None, "HEAD", "merge")


def test_findings_of_all_plugins_count(step: Proposal) -> None:
    manager = plugins.new_manager()
    manager.register(Strict(), "a")
    manager.register(Strict(), "b")
    assert [finding.message for finding in plugins.check(step, manager)] == ["no merge today"] * 2


def test_a_policy_that_fails_refuses_and_the_others_are_still_asked(step: Proposal) -> None:
    manager = plugins.new_manager()
    manager.register(Failing(), "buggy")
    manager.register(Strict(), "strict")
    failed, strict = plugins.check(step, manager)
    assert str(failed) == "the policy buggy failed: 'oops' (rule buggy); repair or uninstall the package " + (
        "that brings the policy buggy"
    )
    assert (failed.severity, strict.rule) == ("refuse", "lab/strict")


def test_policies_are_found_by_entry_point(monkeypatch: pytest.MonkeyPatch, step: Proposal) -> None:
    found = [
        EntryPoint("good", "test_plugins_somewhere:plugin", plugins.GROUP),
        EntryPoint("gone", "no_such_package.at_all", plugins.GROUP),
    ]
    monkeypatch.setattr(plugins, "entry_points", lambda group: found if group == plugins.GROUP else [])
    monkeypatch.setattr(EntryPoint, "load", lambda self: Strict() if self.name == "good" else _import(self.module))
    plugins.installed.cache_clear()
    try:
        good, gone = plugins.check(step)
    finally:
        plugins.installed.cache_clear()
    assert good.rule == "lab/strict"
    assert "cannot be loaded: ModuleNotFoundError: No module named 'no_such_package'" in gone.message


def _import(name: str) -> object:
    return __import__(name)
