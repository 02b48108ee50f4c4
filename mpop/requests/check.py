"""The check of a request: a merge that is not made, and everything that speaks for or against it.

Nothing that is there already is changed: no reference moves, no record, no working state. Objects and commits that
are made on the way lead nowhere and are collected one day.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import mpop_hooks
from mpop.collisions.finding import find_among, tilt_series
from mpop.collisions.report import CollisionReport
from mpop.collisions.search import Collision
from mpop.errors import MpopError, StateError
from mpop.merging.plan import MergePlan, plan
from mpop.population import Population
from mpop.records.models import SpeciesRecord
from mpop.requests.chains import Request
from mpop.requests.claims import OfferedSpecies, offered_species
from mpop.requests.matching import adapted
from mpop.requests.offers import branch_tip
from mpop.requests.verdict import RequestCheck, RequestVerdict, SeriesCollisions, judge
from mpop.run import Progress, silent
from mpop_hooks import Proposal, Violation, refusals
from mpop_hooks.schema import SPECIES, references_of
from mpop_store.arrays.manifests import group_objects
from mpop_store.git.repository import ROOT_RECORD

COLLISIONS_RULE = "collisions"
"""The policy on collisions: a check lists them itself, with what can be done."""


@dataclass(frozen=True)
class Searched:
    """A search for collisions: in which series (id -> name), among which species by id, and what it found."""

    items: Mapping[str, str]
    species: Mapping[str, SpeciesRecord]
    report: CollisionReport

    def covers(self, species: Mapping[str, SpeciesRecord]) -> bool:
        """Whether a search among other records of these species would find the same: all of them have the same
        maps, and the same particles in every series."""
        return species.keys() == self.species.keys() and all(
            one.maps_object == species[identity].maps_object
            and all(one.particles.get(item) == species[identity].particles.get(item) for item in self.items)
            for identity, one in self.species.items()
        )


@dataclass(frozen=True)
class Examined:
    """A check, and what it is made of. merge: None where the request cannot even be read; searched: None where
    collisions were not looked for."""

    check: RequestCheck
    merge: MergePlan | None = None
    searched: Searched | None = field(default=None, repr=False)


def check(
    population: Population, request: Request, target: str | None = None, progress: Progress = silent
) -> RequestCheck:
    """Whether a request can be merged, and if not, why not and what to do. target: the commit to merge it into."""
    return examine(population, request, target, progress).check


def examine(
    population: Population,
    request: Request,
    target: str | None = None,
    progress: Progress = silent,
    preview: bool = True,
) -> Examined:
    """`check`, with the plan of the merge and the collisions, for those who go on to make it.

    preview: compute what pooling the species in conflict would give.
    """
    record = request.record
    target = target or target_of(population, request)
    if unusable := _unusable(population, request.offered):
        nothing = RequestVerdict("cannot be merged", [unusable])
        return Examined(
            RequestCheck(record, record.onto, target, request.offered, nothing, refusals=nothing.reasons)
        )
    fitted = adapted(population, request.offered, target)
    offered = fitted.commit
    merge = plan(population, offered, ours=target, unrelated=True, preview=preview)
    if merge.relation == "up to date" or record.state == "merged":
        answer = RequestVerdict("merged already", [f"{record.onto} has everything that it offers"])
        return Examined(RequestCheck(record, record.onto, target, request.offered, answer, merge.relation), merge)
    species = [offered_species(population, one, offered, target) for one in merge.species_offered]
    broken, notes = _asked(population, merge, target)
    if merge.relation == "unrelated":
        broken.append(f"it shares no commit with {record.onto}; offer a species of it alone (--species)")
    searched = None
    try:
        searched = search_collisions(population, offered, target, species, progress)
    except MpopError as error:
        broken.append(f"collisions cannot be looked for: {error}")
    collisions = None if searched is None else list(summarised(searched.report))
    verdict = judge(broken, species, fitted.matching, merge.conflicts, collisions, record.author)
    found = RequestCheck(
        request=record,
        onto=record.onto,
        target=target,
        offered=offered,
        verdict=verdict,
        relation=merge.relation,
        incoming=merge.incoming,
        conflicts=merge.conflicts,
        species=species,
        matching=fitted.matching,
        collisions=collisions,
        refusals=broken,
        notes=[*merge.notes, *notes, *_state_notes(record.state)],
    )
    return Examined(found, merge, searched)


def _unusable(population: Population, offered: str) -> str | None:
    """Why the records of an offered commit cannot even be read; None if they can."""
    try:
        if population.repository.find(ROOT_RECORD, offered) is None:
            return f"commit {offered[:10]} is no state of a population"
    except StateError as error:  # it came past all checks, by plain Git
        return str(error)
    return None


def _state_notes(state: str) -> list[str]:
    return [] if state == "open" else [f"the request is {state}"]


def target_of(population: Population, request: Request) -> str:
    """The commit that a request would be merged into: our branch, or, where that is the one that the offer comes
    from, the branch as others have it."""
    ours = branch_tip(population, request.record.onto, remote_first=False)
    if request.record.state == "open":
        theirs = branch_tip(population, request.record.onto)
        if _is_the_offerers(population, ours, request) and not _is_the_offerers(population, theirs, request):
            return theirs
    return ours


def _is_the_offerers(population: Population, tip: str, request: Request) -> bool:
    """Whether a commit has what is offered because the offer was made from it."""
    repository = population.repository
    if repository.leads_to(tip, request.offered):
        return True
    if request.record.species is None:
        return False
    path = SPECIES.path(request.record.species.id)
    if repository.find(path, tip) is None or repository.find(path, request.offered) is None:
        return False
    offered = repository.read(path, request.offered)
    return repository.read(path, tip).get("version") in (offered.get("version"), offered.get("parent"))


def _asked(population: Population, merge: MergePlan, target: str) -> tuple[list[str], list[str]]:
    """What policies say to an offer: refusals and notes. Each of its commits must be sound, and the whole too.

    Where arrays are read from elsewhere when they are asked for, those of the whole are brought, and those of the
    commits on the way may stay.
    """
    history = population.repository
    lazy = population.objects.fetch_missing is not None
    ask = mpop_hooks.check_records if lazy else mpop_hooks.check_built_in
    findings: list[Violation] = []
    for commit in history.ahead(merge.theirs, target) if merge.bases else ():
        for parent in commit.parents or (None,):
            step = Proposal.between(history, parent, commit.id, "receive")
            findings += ask(step)
    # of several bases any one will do: what it lacks of the others is in the target, and sound already
    whole = Proposal.between(history, merge.bases[0] if merge.bases else None, merge.theirs, "receive")
    if not refusals(findings):
        _bring(population, whole)
        findings = mpop_hooks.check(whole)
    findings = [finding for finding in findings if finding.rule != COLLISIONS_RULE]
    texts = {severity: [] for severity in ("refuse", "note")}
    for finding in dict.fromkeys(findings):
        texts[finding.severity].append(str(finding))
    return texts["refuse"], texts["note"]


def _bring(population: Population, proposal: Proposal) -> None:
    """Fetch what the records of a proposal name and is not here, in two requests: groups, then their parts."""
    objects = population.objects
    if objects.fetch_missing is None:
        return
    named = [references_of(record) for record in proposal.records.values()]
    groups = [group for one in named for group in one.groups]
    objects.prefetch([*groups, *(file for one in named for file in one.files)])
    objects.prefetch(part for group in groups if objects.has(group) for part in group_objects(objects, group))


def search_collisions(
    population: Population, offered: str, target: str, species: list[OfferedSpecies], progress: Progress = silent
) -> Searched:
    """Collisions of offered particles with each other and with those that are there, in the series they share."""
    there = population.species(target)
    coming = {one.id: population.one_species(one.id, offered) for one in species}
    series = tilt_series(population, target) | tilt_series(population, offered)
    names = {one.item: one.name for offer in species for one in offer.series if one.item in series}
    among = there | coming
    return Searched(names, among, find_among(population.objects, among.values(), names, there, progress=progress))


def summarised(report: CollisionReport) -> Iterator[SeriesCollisions]:
    """Per series and pair of species, of the collisions that an offer brings; others are not its fault."""
    names = {identity: one.name for identity, one in report.species.items()}
    for one in report.items:
        groups: dict[tuple[str, str, str], list[Collision]] = defaultdict(list)
        for hit in one.collisions:
            if hit.first.incoming or hit.second.incoming:
                coming, other = (hit.first, hit.second) if hit.first.incoming else (hit.second, hit.first)
                groups[hit.kind, names[coming.species], names[other.species]].append(hit)
        for (kind, offered, other), hits in sorted(groups.items()):
            yield SeriesCollisions(
                one.item,
                one.name,
                "duplicate" if kind == "duplicate" else "overlap",
                offered,
                other,
                len(hits),
                max(hit.overlap for hit in hits),
                min(hit.distance_A for hit in hits),
            )
