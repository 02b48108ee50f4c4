"""Carry a merge out: at once, or in steps that survive an interrupt. Nothing is visible before the one commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mpop.errors import StateError
from mpop.jobs.leasing import leased
from mpop.jobs.recording import in_angstrom
from mpop.merging.applying import Outcome, apply
from mpop.merging.conflicts import Conflict, Way
from mpop.merging.due import Due
from mpop.merging.plan import MergePlan, plan
from mpop.merging.resolving import Decision, decide
from mpop.merging.state import MergeState, forget, keep, waiting_merge
from mpop.merging.three_way import Side
from mpop.population import Population
from mpop.records.models import JobRecord
from mpop.run import Run
from mpop.words import counted
from mpop_store.git.refs import HEAD

Status = Literal["up to date", "fast-forward", "merged", "conflicts", "planned"]


@dataclass(frozen=True)
class MergeResult:
    """How a merge ended. commit: where the branch is now; None when it did not move.

    unresolved: conflicts that wait for a decision; resolved: label -> how. due: what to refine next, and why.
    """

    status: Status
    plan: MergePlan
    commit: str | None = None
    unresolved: list[Conflict] = field(default_factory=list)
    resolved: dict[str, str] = field(default_factory=dict)
    due: list[Due] = field(default_factory=list)
    job: JobRecord | None = None

    def summary(self) -> dict[str, Any]:
        """The result as JSON knows it."""
        return {
            "status": self.status,
            "commit": self.commit,
            "unresolved": [one.key for one in self.unresolved],
            "resolved": self.resolved,
            "due": [vars(one) for one in self.due],
            "plan": self.plan.summary(),
        }


def merge(
    population: Population,
    revision: str,
    resolutions: Mapping[str, Way] | None = None,
    default: Side | None = None,
    message: str | None = None,
    no_ff: bool = False,
    unrelated: bool = False,
    dry_run: bool = False,
    run: Run = Run(),
) -> MergeResult:
    """Merge a revision into the current branch.

    resolutions: see `mpop.merging.resolving.decide`; default: the side that wins all other conflicts. When
    conflicts are left the merge waits (`resolve`, `continue_merge`, `abort`), status "conflicts". no_ff: make a
    commit even if the branch could simply move. dry_run: only say what would happen. Raises StateError when the
    working state holds changes, or another merge waits.
    """
    repository = population.repository
    repository.require_work_tree()
    population.refuse_while_merging()
    if not dry_run and not repository.is_clean:
        raise StateError("the working state holds changes; `mpop commit` or `mpop restore` them before a merge")
    state = MergeState("", "", [], revision, unrelated, default, message, dict(resolutions or {}))
    planned = plan(population, revision, unrelated=unrelated, preview=False)
    decisions = decide(planned.conflicts, state.resolutions, default)
    if len(decisions) < len(planned.conflicts) or (dry_run and planned.conflicts):
        planned = plan(population, revision, unrelated=unrelated)
        decisions = decide(planned.conflicts, state.resolutions, default)
    if planned.relation == "up to date" and not dry_run:
        return MergeResult("up to date", planned)
    if dry_run:
        return _waiting(planned, decisions, "planned")
    if planned.relation == "fast-forward" and not no_ff:
        return _fast_forward(population, planned, revision)
    if len(decisions) < len(planned.conflicts):
        keep(population, _with_plan(state, planned))
        return _waiting(planned, decisions, "conflicts")
    return _commit(population, planned, decisions, state, run)


def resolve(population: Population, resolutions: Mapping[str, Way], preview: bool = False) -> MergeResult:
    """Decide conflicts of the merge that waits; a decision may be changed until the merge goes on.

    preview: compute what pooling the species in conflict would give.
    """
    state = _state(population)
    planned = _plan_again(population, state, preview)
    state = replace(state, resolutions={**state.resolutions, **resolutions})
    decisions = decide(planned.conflicts, state.resolutions, state.default)
    keep(population, state)
    return _waiting(planned, decisions, "conflicts")


def continue_merge(population: Population, run: Run = Run()) -> MergeResult:
    """Commit the merge that waits. Raises StateError while a conflict is undecided."""
    state = _state(population)
    planned = _plan_again(population, state, preview=False)
    decisions = decide(planned.conflicts, state.resolutions, state.default)
    left = [one for one in planned.conflicts if one.key not in decisions]
    if left:
        names = ", ".join(one.label for one in left[:5])
        more = f" and {len(left) - 5} more" if len(left) > 5 else ""
        raise StateError(
            f"{counted(len(left), 'conflict')} undecided: {names}{more}; decide with "
            "`mpop merge --resolve KIND/NAME=WAY`"
        )
    return _commit(population, planned, decisions, state, run)


def abort(population: Population) -> None:
    """Drop the merge that waits; the branch is where it was. Raises StateError when there is none."""
    if not population.merging:
        raise StateError("no merge is in progress")
    forget(population)


def _state(population: Population) -> MergeState:
    state = waiting_merge(population)
    if state is None:
        raise StateError("no merge is in progress; start one with `mpop merge REVISION`")
    return state


def _plan_again(population: Population, state: MergeState, preview: bool) -> MergePlan:
    if not population.repository.is_clean:
        raise StateError("the working state holds changes; `mpop restore` them before the merge goes on")
    return plan(population, state.theirs, state.bases, unrelated=state.unrelated, preview=preview)


def _with_plan(state: MergeState, planned: MergePlan) -> MergeState:
    reasons = {one.key: f"{one.label}: {one.reason}" for one in planned.conflicts}
    return replace(state, ours=planned.ours, theirs=planned.theirs, bases=planned.bases, conflicts=reasons)


def _waiting(planned: MergePlan, decisions: Mapping[str, Decision], status: Status) -> MergeResult:
    left = [one for one in planned.conflicts if one.key not in decisions]
    return MergeResult(status, planned, None, left, _in_words(decisions))


def _in_words(decisions: Mapping[str, Decision]) -> dict[str, str]:
    return {one.conflict.label: one.in_words for one in decisions.values()}


def _fast_forward(population: Population, planned: MergePlan, revision: str) -> MergeResult:
    repository = population.repository
    branch = repository.refs.branch or HEAD
    repository.move({branch: (planned.ours, planned.theirs)}, f"merge {revision}: fast-forward", planned.theirs)
    return MergeResult("fast-forward", planned, planned.theirs)


@leased("merge")
def _commit(
    population: Population,
    planned: MergePlan,
    decisions: Mapping[str, Decision],
    state: MergeState,
    run: Run,
) -> MergeResult:
    outcome = apply(planned, decisions, run)
    message = state.message or _message(planned, decisions, outcome, state.revision)
    if population.repository.head != planned.ours:
        raise StateError("another process committed first; run the command again")
    commit = population.commit_merge(outcome.changes, message, planned.ours, planned.theirs)
    forget(population)
    return MergeResult("merged", planned, commit, [], _in_words(decisions), outcome.due, outcome.job)


def _message(planned: MergePlan, decisions: Mapping[str, Decision], outcome: Outcome, revision: str) -> str:
    lines = [f"Merge {revision}", ""]
    for one in decisions.values():
        lines.append(f"{one.conflict.label}: {one.in_words}")
    for name, after in outcome.job.resolution_after_A.items():
        before = outcome.job.resolution_before_A.get(name)
        if name in outcome.job.resolution_before_A and before != after:
            lines.append(f"{name}: {in_angstrom(before)} -> {in_angstrom(after)}")
    lines += [f"refinement is due: {warning}" for warning in outcome.job.warnings]
    return "\n".join([*lines, *planned.notes])
