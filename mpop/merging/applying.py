"""A plan and decisions turned into records: what the merge commit holds, and the job that tells of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mpop.errors import InputError, StateError
from mpop.jobs.environment import peak_GiB, software_versions
from mpop.jobs.recording import MergeParameters
from mpop.jobs.spec import JobSpec
from mpop.merging.due import Due, refinement_due
from mpop.merging.items import RecordMerge
from mpop.merging.joining import Joined, Maps, join_species, maps_of, removal, second_of, whole_of_theirs
from mpop.merging.parts import Parts
from mpop.merging.plan import MergePlan
from mpop.merging.resolving import Decision
from mpop.merging.species import SCALE, SpeciesMerge, Three
from mpop.merging.three_way import Side
from mpop.population import record_path, versioned
from mpop.records.models import JobRecord, Record, SpeciesHead
from mpop.run import Run
from mpop_hooks.schema import ITEM, SOURCE, SPECIES

Writable = dict[str, dict[str, Any] | None]


@dataclass
class Outcome:
    """What to commit. heads: every species that the merge touched, as it will be; pooled: ids of some of them."""

    job: JobRecord
    changes: Writable = field(default_factory=dict)
    heads: dict[str, SpeciesHead] = field(default_factory=dict)
    pooled: set[str] = field(default_factory=set)
    due: list[Due] = field(default_factory=list)


def apply(plan: MergePlan, decisions: Mapping[str, Decision], run: Run = Run()) -> Outcome:
    """Make the records of the merge. decisions: one for every conflict. Stores arrays, changes no record."""
    started = time.perf_counter()
    parts, three = plan.parts, plan.parts.three
    outcome = Outcome(_job(plan, decisions, run))
    sides: dict[str, Side] = {
        key.split("/")[1]: one.side for key, one in decisions.items() if key.startswith("item/") and one.side
    }
    item_sides = parts.item_sides(sides)
    for path in parts.taken:
        outcome.changes[path] = three.theirs.raw(path)
    for item, merge in parts.items.items():
        _put(outcome, three, merge.merged(item_sides[item]), merge, ITEM.path(item))
    for source, merge in parts.sources.items():
        decision = decisions.get(f"source/{source}")
        side = decision.side if decision and decision.side else "ours"
        _put(outcome, three, merge.merged(side), merge, SOURCE.path(source))
    if parts.root:
        root = parts.root.merged()
        _put(outcome, three, root, parts.root, record_path(root))
    for species, merge in parts.species.items():
        _species(outcome, parts, merge, decisions.get(f"species/{species}"), item_sides, run)
    _refuse_orphans(outcome, parts, item_sides)
    _heads(outcome)
    outcome.due = refinement_due(parts, outcome.heads.values(), outcome.pooled, item_sides)
    _finish_job(outcome, parts, time.perf_counter() - started)
    return outcome


def _put(outcome: Outcome, three: Three, merged: Record | None, merge: RecordMerge[Any], path: str) -> None:
    """A merged record, if it is not ours as it stands; theirs is taken as they wrote it, whichever version did."""
    if merged is None:
        if merge.ours is not None:
            outcome.changes[path] = None
    elif merged == merge.theirs:
        outcome.changes[path] = three.theirs.raw(path)
    elif merged != merge.ours:
        outcome.changes[path] = merged.model_dump(mode="json")


def _species(
    outcome: Outcome,
    parts: Parts,
    merge: SpeciesMerge,
    decision: Decision | None,
    item_sides: dict[str, Side],
    run: Run,
) -> None:
    """One species that both sides changed, by the decision if there is one."""
    if merge.removed_by is not None:
        side = decision.side if decision else "ours"
        if side == "theirs":
            outcome.changes |= removal(merge) if merge.theirs is None else whole_of_theirs(merge)
        return
    outcome.heads[merge.id] = merge.head("ours")
    if decision is not None and decision.way == "both":
        outcome.changes |= second_of(merge).changes
        return
    if decision is not None and decision.way == "pool":
        joined = _pooled(outcome, parts, merge, item_sides, run)
    else:
        side = (decision.side if decision else None) or merge.maps_side or "ours"
        joined = join_species(merge, maps_of(merge, side), item_sides)
    outcome.changes |= joined.changes


def _pooled(outcome: Outcome, parts: Parts, merge: SpeciesMerge, item_sides: dict[str, Side], run: Run) -> Joined:
    from mpop.jobs.halfmaps import sums_as_arrays  # these bring torch, which few merges need
    from mpop.merging.pooling import plan_pool, pool

    population = merge.three.population
    try:
        pooling = plan_pool(merge, lambda item: parts.item(item, item_sides), item_sides, write=True)
        with run.limits():
            pooled = pool(pooling)
    except (InputError, StateError) as error:
        raise InputError(f"species/{merge.name} cannot be pooled: {error}") from error
    sums = {
        source: {"key": key, "group": population.write_group(sums_as_arrays(halves))}
        for source, (key, halves) in pooled.sums.items()
    }
    fields = {
        **{name: getattr(merge.head("ours"), name) for name in SCALE},
        "maps_object": population.write_group(pooled.maps),
        "resolution_A": pooled.report.resolution_A,
        "job": outcome.job.id,
        "derived": {"sums": sums},
    }
    versions: dict[str, dict[str, str]] = {}
    for item, version in pooling.item_versions.items():
        versions.setdefault(item[:2], {})[item] = version
    outcome.pooled.add(merge.id)
    return join_species(merge, Maps("ours", "ours", fields, versions), item_sides)


def _refuse_orphans(outcome: Outcome, parts: Parts, item_sides: Mapping[str, Side]) -> None:
    """A series cannot be kept when its source goes."""
    for item in parts.items:
        record = parts.item(item, item_sides)
        if record is None:
            continue
        path = SOURCE.path(record.source)
        source = outcome.changes[path] if path in outcome.changes else parts.three.ours.raw(path)
        if source is None:
            raise StateError(
                f"item/{record.name} cannot be kept, as one side removed its source; resolve it to that side"
            )


def _heads(outcome: Outcome) -> None:
    """The heads of all species that change."""
    for record in outcome.changes.values():
        if record is not None and record["kind"] == SPECIES.kind:
            head = SpeciesHead.model_validate(record)
            outcome.heads[head.id] = head


def _job(plan: MergePlan, decisions: Mapping[str, Decision], run: Run) -> JobRecord:
    """The merge as a job: which versions it joined, and how each conflict was resolved."""
    parts, three = plan.parts, plan.parts.three
    taken = {path: three.theirs.raw(path) for path in parts.taken}
    joined: dict[str, Any] = {
        **{f"item/{item}": _versions(merge) for item, merge in parts.items.items()},
        **{f"species/{species}": _versions(merge) for species, merge in parts.species.items()},
    }
    resolutions = {
        key: {"way": one.way, **({"side": one.side} if one.side else {}), **({"by": one.by} if one.by else {})}
        for key, one in decisions.items()
    }
    parameters = MergeParameters(
        ours=plan.ours, theirs=plan.theirs, bases=plan.bases, joined=joined, resolutions=resolutions
    )
    inputs = {
        path: str(record["version"])
        for path, record in sorted(taken.items())
        if record is not None and record.get("kind") in (ITEM.kind, SPECIES.kind)
    }
    return JobSpec("merge", parameters, inputs).record(run.on_cpu, software=software_versions())


def _versions(merge: Any) -> dict[str, str | None]:
    """The versions that a merge of one record joins; None where there is none."""
    return {side: one and one.version for side in ("base", "ours", "theirs") for one in [getattr(merge, side)]}


def _finish_job(outcome: Outcome, parts: Parts, seconds: float) -> None:
    before = {head.name: parts.three.ours.species(identity) for identity, head in outcome.heads.items()}
    outcome.job = versioned(
        outcome.job.model_copy(
            update={
                "wall_s": round(seconds, 3),
                "peak_GiB": round(peak_GiB(), 3),
                "resolution_before_A": {name: one.resolution_A for name, one in before.items() if one is not None},
                "resolution_after_A": {one.name: one.resolution_A for one in outcome.heads.values()},
                "warnings": [one.in_words for one in outcome.due],
            }
        )
    )
    outcome.changes[record_path(outcome.job)] = outcome.job.model_dump(mode="json")
