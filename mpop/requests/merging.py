"""Merge a request into the branch that it was opened for: one commit, with collisions removed as chosen."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from mpop.collisions.choices import Choice, Loser, by_species_and_item, losers
from mpop.collisions.finding import find_among
from mpop.collisions.removal import remove
from mpop.collisions.report import CollisionReport
from mpop.errors import StateError
from mpop.jobs.leasing import leased
from mpop.merging.applying import apply
from mpop.merging.conflicts import Way
from mpop.merging.due import Due
from mpop.merging.plan import MergePlan
from mpop.merging.resolving import Decision, decide
from mpop.population import Population
from mpop.records import SpeciesRecord
from mpop.requests.chains import Request, Requests
from mpop.requests.check import Searched, examine
from mpop.requests.verdict import RequestCheck
from mpop.run import Progress, Run
from mpop.words import counted
from mpop_store.git.history import Changes
from mpop_store.git.refs import HEAD


@dataclass(frozen=True)
class MergedRequest:
    """A merge that was made. removed: species name -> particles that went; because: reason -> how many.

    left: collisions that stay. resolved: what the conflicts were called -> how they were decided. due: what to
    refine next, and why.
    """

    request: Request
    commit: str
    removed: dict[str, int] = field(default_factory=dict)
    because: dict[str, int] = field(default_factory=dict)
    left: int = 0
    resolved: dict[str, str] = field(default_factory=dict)
    due: list[Due] = field(default_factory=list)


@dataclass(frozen=True)
class _Cleaned:
    """What to commit, which particles that leaves out, and how many collisions stay."""

    changes: Changes
    gone: list[Loser] = field(default_factory=list)
    left: int = 0


def merge_request(
    population: Population,
    wanted: str,
    resolutions: Mapping[str, Way] | None = None,
    collisions: Choice | None = None,
    message: str = "",
    run: Run = Run(),
) -> MergedRequest:
    """Check a request, merge it into the branch that we are on, and mark it merged.

    resolutions: as for `mpop.merging.merge`. collisions: what to do with particles in one place. Raises StateError
    where the check says no, or where something is undecided; then nothing has changed. A merge that was made
    without its mark, because a process died in between, gets it.
    """
    requests = Requests(population.repository)
    request = requests.find(wanted)
    head = _require_ready(population, request)
    examined = examine(population, request, head, run.progress, preview=False)
    found, planned = examined.check, examined.merge
    if found.verdict.answer == "merged already":
        if request.record.state != "merged":
            request = requests.add(request.id, "merge", message, head)
        return MergedRequest(request, head)
    if found.verdict.answer == "cannot be merged" or planned is None:
        raise StateError(f"request {request.id} {found.verdict}")
    decisions = decide(planned.conflicts, dict(resolutions or {}))
    _require_decided(found, planned, decisions, collisions)
    searched = examined.searched if found.collisions else None
    return _commit(population, request, planned, decisions, searched, collisions, message, run)


@leased("merge")
def _commit(
    population: Population,
    request: Request,
    planned: MergePlan,
    decisions: Mapping[str, Decision],
    searched: Searched | None,
    collisions: Choice | None,
    message: str,
    run: Run,
) -> MergedRequest:
    """Make the merge. searched: collisions that were found, None for none; collisions: what to do with them."""
    repository, head = population.repository, planned.ours
    outcome = apply(planned, decisions, run)
    cleaned = _Cleaned(outcome.changes)
    if collisions is not None and searched is not None:
        cleaned = _cleaned(population, planned, outcome.changes, searched, collisions, run.progress)
    words = _message(request, message, decisions, cleaned.gone)
    if repository.head != head:
        raise StateError("another process committed first; run the command again")
    commit = population.commit_merge(cleaned.changes, words, head, planned.theirs)
    request = Requests(repository).add(request.id, "merge", message, commit)
    names = {one.id: one.name for one in population.species_heads(HEAD).values()}
    return MergedRequest(
        request,
        commit,
        dict(Counter(names[one.species] for one in cleaned.gone)),
        dict(Counter(one.because for one in cleaned.gone)),
        cleaned.left,
        {one.conflict.label: one.in_words for one in decisions.values()},
        outcome.due,
    )


def _require_ready(population: Population, request: Request) -> str:
    """The commit that we are on. Raises StateError when nothing can be merged into it now."""
    repository, record = population.repository, request.record
    repository.require_work_tree()
    population.refuse_while_merging()
    if record.state == "closed":
        raise StateError(f"request {record.id} is closed; ask for a new one")
    if repository.refs.branch != f"refs/heads/{record.onto}":
        raise StateError(f"request {record.id} is meant for {record.onto}; `mpop switch {record.onto}` first")
    if not repository.is_clean:
        raise StateError("the working state holds changes; `mpop commit` or `mpop restore` them before a merge")
    if repository.head is None:
        raise StateError("there is no commit yet to merge into; run `mpop commit -m MESSAGE` first")
    return repository.head


def _require_decided(
    found: RequestCheck, planned: MergePlan, decisions: Mapping[str, Decision], collisions: Choice | None
) -> None:
    left = [one for one in planned.conflicts if one.key not in decisions]
    if left:
        options = ", ".join(f"--resolve {one.label}={'|'.join(one.ways)}" for one in left[:3])
        more = f" and {len(left) - 3} more" if len(left) > 3 else ""
        raise StateError(f"undecided: {counted(len(left), 'conflict')}; give {options}{more}")
    if found.collisions and collisions is None:
        total = sum(one.count for one in found.collisions)
        raise StateError(
            f"undecided: {counted(total, 'collision')}; give --collisions {'|'.join(Choice)}, "
            f"or see them with `mpop request check {found.request.id}`"
        )


def _cleaned(
    population: Population,
    planned: MergePlan,
    changes: Changes,
    searched: Searched,
    choice: Choice,
    progress: Progress,
) -> _Cleaned:
    """Take the particles that lose out of a merge's records. Where both sides changed a species, its particles are
    those of neither, and are searched anew."""
    repository = population.repository
    merged = repository.write_commit(
        planned.ours, changes, [planned.ours, planned.theirs], "Merge, not yet cleaned"
    )
    species = population.species(merged)
    report = searched.report
    if not searched.covers(species):
        items = {one.item: one.name for one in report.items}
        before = population.species(planned.ours)
        report = find_among(population.objects, species.values(), items, before, progress=progress)
    gone = losers(report, choice)
    by_species: dict[str, dict[str, set[int]]] = defaultdict(dict)
    for (identity, item), particles in by_species_and_item(gone).items():
        by_species[identity][item] = particles
    fewer = [
        _without(population, species[identity], particles, planned) for identity, particles in by_species.items()
    ]
    return _Cleaned({**changes, **population.changes(fewer, merged)}, gone, _left(report, gone))


def _left(report: CollisionReport, gone: list[Loser]) -> int:
    """Collisions with something incoming of which both particles stay."""
    lost = {(one.item, one.species, one.particle) for one in gone}
    return sum(
        not {(one.item, partner.species, partner.particle) for partner in (hit.first, hit.second)} & lost
        for one in report.items
        for hit in one.collisions
        if hit.first.incoming or hit.second.incoming
    )


def _without(
    population: Population, species: SpeciesRecord, particles: Mapping[str, set[int]], planned: MergePlan
) -> SpeciesRecord:
    """A species without particles. Its parent is the version that one side has; one that the merge only now made
    is on neither, and keeps its own."""
    known = set()
    for side in (planned.ours, planned.theirs):
        heads = population.species_heads(side)
        known |= {heads[species.id].version} if species.id in heads else set()
    fewer = remove(population, species, particles)
    parent = {"parent": species.version, "merged": []} if species.version in known else {}
    return fewer.model_copy(update={**parent, "job": None})


def _message(request: Request, message: str, decisions: Mapping[str, Decision], gone: list[Loser]) -> str:
    record = request.record
    lines = [f"Merge request {record.id}: {record.title}", "", f"Offered by {record.author}."]
    lines += [message] if message else []
    lines += [f"{one.conflict.label}: {one.in_words}" for one in decisions.values()]
    lines += [
        f"removed {counted(count, 'particle')}: {why}"
        for why, count in Counter(one.because for one in gone).items()
    ]
    return "\n".join(lines)
