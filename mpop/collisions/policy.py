"""The policy on collisions: whoever puts a new particle where another is gets to know it.

Asked when histories are merged and when somebody pushes, about particles that were not there before; those that
a refinement moved are not new, and in a population's first commit there is nothing that they could stand in. By
default a collision is reported and does not stop anything: a species that was made by focusing on a part of
another one stands in it on purpose. `git config mpop.collisions refuse` in a population makes it stop, `off`
silences it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from mpop_hooks import Proposal, Violation, hookimpl
from mpop_hooks.schema import ITEM, PART, POPULATION, SOURCE, SPECIES, particle_groups

if TYPE_CHECKING:
    from mpop.collisions.report import CollisionReport
    from mpop.records.models import SpeciesRecord
    from mpop_hooks.proposal import Record, Snapshot

RULE = "collisions"
SETTING = "mpop.collisions"
ADVICE = "`mpop collisions` lists them and removes what you choose"

Groups = dict[str, dict[str, str]]
"""Path of the head of a species -> item id -> group of its particles there."""


@hookimpl
def mpop_check(proposal: Proposal) -> Iterable[Violation]:
    """Findings for new particles that stand where others are, one for each pair of species."""
    setting = proposal.settings.get(SETTING, "note")
    root = POPULATION.path()
    is_first = root in proposal.records and root not in proposal.before
    if proposal.event == "commit" or proposal.state is None or is_first or setting == "off":
        return []
    items = {item for item in _items_with_new_particles(proposal) if _is_tilt_series(proposal.state, item)}
    if not items:
        return []
    severity = "refuse" if setting == "refuse" else "note"
    return list(_findings(_report(proposal, proposal.state, items), severity))


def _is_tilt_series(state: Snapshot, item: str) -> bool:
    """Particles of a stack are each in an image of its own and cannot collide."""
    source = state[ITEM.path(item)]["source"]
    return state[SOURCE.path(source)].get("type") != "particle-stack"


def _items_with_new_particles(proposal: Proposal) -> Iterator[str]:
    import numpy as np

    from mpop_store.arrays.groups import read_array

    for path, record in proposal.records.items():
        if record.get("kind") != PART.kind:
            continue
        old = particle_groups(proposal.before.get(path, {}))
        for item, group in particle_groups(record).items():
            if item not in old:
                yield item
            elif group != old[item]:
                new, known = (read_array(proposal.objects, name, "id") for name in (group, old[item]))
                if not np.isin(new, known).all():
                    yield item


def _report(proposal: Proposal, state: Snapshot, items: set[str]) -> CollisionReport:
    """All collisions in some series as they would be; particles that are new there count as incoming."""
    from mpop.collisions.finding import find_among

    heads = SPECIES.keys(state.paths(SPECIES.prefix()))
    now, before = _groups(proposal, state, heads, items)
    records = {path: state[path] for path in heads}
    species = [_species(records[path], groups) for path, groups in now.items()]
    known = {records[path]["id"]: _species(records[path], groups) for path, groups in before.items()}
    names = {item: str(state[ITEM.path(item)]["name"]) for item in items}
    return find_among(proposal.objects, species, names, known)


def _groups(
    proposal: Proposal, state: Snapshot, heads: Mapping[str, tuple[str, ...]], items: set[str]
) -> tuple[Groups, Groups]:
    """Particles of all species in some series, as they would be and as they were."""
    now: Groups = defaultdict(dict)
    before: Groups = defaultdict(dict)
    for head, (species,) in heads.items():
        for digits in {item[:2] for item in items}:
            path = PART.path(species, digits)
            new = particle_groups(state.get(path, {}))
            old = particle_groups(proposal.before.get(path, {})) if path in proposal.records else new
            now[head] |= {item: new[item] for item in items & new.keys()}
            before[head] |= {item: old[item] for item in items & old.keys()}
    return now, before


def _species(head: Record, groups: Mapping[str, str]) -> SpeciesRecord:
    from mpop.records.models import SpeciesRecord

    return SpeciesRecord.model_validate({**head, "particles": groups})


def _findings(report: CollisionReport, severity: Literal["refuse", "note"]) -> Iterator[Violation]:
    found: defaultdict[tuple[str, str], set[tuple[str, int]]] = defaultdict(set)
    for one in report.items:
        for hit in one.collisions:
            new, other = (hit.first, hit.second) if hit.first.incoming else (hit.second, hit.first)
            found[new.species, other.species].add((one.name, new.particle))
    for (new, other), particles in sorted(found.items()):
        series = {name for name, _ in particles}
        names = report.species[new].name, report.species[other].name
        message = (
            f"{len(particles)} new particles of {names[0]} stand where particles of {names[1]} are, "
            f"in {len(series)} tilt series (first: {min(series)})"
        )
        yield Violation(RULE, SPECIES.path(new), message, ADVICE, severity)
