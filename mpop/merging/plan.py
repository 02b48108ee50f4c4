"""What a merge would do, from three commits and nothing else: nothing is written, no working state is read.

Only what differs between the commits is looked at. `plan` is the whole interface for those who want to know
(`mpop merge --dry-run`, the check of a merge request); `mpop.merging.merge` carries a plan out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from mpop.errors import StateError
from mpop.merging.bases import base_of
from mpop.merging.conflicts import Conflict
from mpop.merging.disputes import find_conflicts
from mpop.merging.parts import Parts, compare, species_of
from mpop.merging.snapshots import Snapshot
from mpop.merging.species import Three
from mpop.population import Population
from mpop.words import item_noun
from mpop_hooks.schema import ITEM, JOB, SOURCE, SPECIES

Relation = Literal["up to date", "fast-forward", "diverged", "unrelated"]
NAMED = (ITEM, SPECIES, SOURCE, JOB)
"""The types of records that people know by name."""


@dataclass(frozen=True)
class Incoming:
    """What the merge takes from the other side as it is, by name, sorted."""

    new: dict[str, list[str]] = field(default_factory=dict)
    changed: dict[str, list[str]] = field(default_factory=dict)
    removed: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class MergePlan:
    """A merge before it is made. ours, theirs, bases: commit ids; notes: what a person should know, in words.

    bases: the best common ancestors, sorted; none if the two are unrelated.
    """

    ours: str
    theirs: str
    bases: list[str]
    relation: Relation
    incoming: Incoming
    conflicts: list[Conflict]
    notes: list[str]
    parts: Parts

    @property
    def species_offered(self) -> list[str]:
        """Ids of the species that the other side adds or changes, sorted."""
        three = self.parts.three
        heads = [path for path, kind in three.base.changes_to(three.theirs).items() if kind != "D"]
        return sorted(species for path in heads if path.count("/") == 1 and (species := species_of(path)))

    def summary(self) -> dict[str, Any]:
        """The plan as JSON knows it."""
        return {
            "ours": self.ours,
            "theirs": self.theirs,
            "bases": self.bases,
            "relation": self.relation,
            "incoming": asdict(self.incoming),
            "conflicts": [asdict(conflict) for conflict in self.conflicts],
            "notes": self.notes,
        }


def plan(
    population: Population,
    theirs: str,
    bases: Sequence[str] | None = None,
    ours: str = "HEAD",
    unrelated: bool = False,
    preview: bool = True,
) -> MergePlan:
    """What merging the revision `theirs` into `ours` would do.

    bases: the commits to merge from; their best common ancestors if not given. unrelated: allow two populations
    without a common commit; items meet by the content of their raw images. preview: compute what pooling
    each species in conflict would give, and whether it can be done. Raises NotFoundError or StateError.
    """
    repository = population.repository
    if population.repository.head is None and ours == "HEAD":
        raise StateError("there is no commit yet to merge into; run `mpop commit -m MESSAGE` first")
    here, there = repository.resolve(ours), repository.resolve(theirs)
    starts = repository.merge_bases([here], there) if bases is None else sorted(map(repository.resolve, bases))
    if not starts and not unrelated:
        raise StateError(
            f"{theirs} shares no commit with this population; if both are about the same samples, "
            "`--allow-unrelated` merges them by ids: items meet by the content of their raw images"
        )
    relation: Relation = "diverged" if starts else "unrelated"
    if starts == [there]:
        relation = "up to date"
    elif starts == [here]:
        relation = "fast-forward"
    three = Three(population, base_of(population, starts), Snapshot(population, here), Snapshot(population, there))
    notes = []
    if len(starts) > 1:
        notes.append(
            f"the two sides have merged each other before: their {len(starts)} best common ancestors, merged, are "
            "the base"
        )
    if relation == "up to date":
        return MergePlan(here, there, starts, relation, Incoming(), [], notes, Parts(three))
    parts = compare(three)
    notes += _renamed(parts) + _clashing_names(three, parts)
    conflicts = [] if relation == "fast-forward" else find_conflicts(parts, preview)
    return MergePlan(here, there, starts, relation, _incoming(three, parts), conflicts, notes, parts)


def _incoming(three: Three, parts: Parts) -> Incoming:
    """The names of what is taken as it is."""
    found: dict[str, dict[str, set[str]]] = {"new": {}, "changed": {}, "removed": {}}
    for path in sorted(parts.taken):
        of = next((one for one in NAMED if one.key(path)), None)
        if of is None:
            continue
        before, after = three.ours.raw(path), three.theirs.raw(path)
        how = "new" if before is None else "removed" if after is None else "changed"
        record = after or before or {}
        name = str(record.get("name") or record.get("verb") or record.get("id"))
        kind = _item_noun(three, str(record["source"])) if of is ITEM else of.kind
        found[how].setdefault(kind, set()).add(name)
    return Incoming(
        **{how: {kind: sorted(names) for kind, names in kinds.items()} for how, kinds in found.items()}
    )


def _item_noun(three: Three, source: str) -> str:
    found = three.theirs.source(source) or three.ours.source(source)
    return item_noun([found.type] if found else [])


def _renamed(parts: Parts) -> list[str]:
    """What both sides gave a new name."""
    merges = [*parts.items.values(), *parts.sources.values(), *parts.species.values()]
    notes = []
    for merge in [*merges, *([parts.root] if parts.root else [])]:
        ours, theirs = (record and record.name for record in (merge.ours, merge.theirs))
        if ours and theirs and merge.name_side is None:
            notes.append(f"{ours} is called {theirs} on the other side; {ours} is kept")
    return notes


def _clashing_names(three: Three, parts: Parts) -> list[str]:
    """Names that two different things would share afterwards: nothing is wrong, but commands will ask for ids."""
    notes = []
    new = {species for path in parts.taken if (species := species_of(path)) is not None}
    ours = three.ours.all_species
    heads = [head for head in map(three.theirs.species, sorted(new)) if head is not None]
    kept = [head for head in ours if head.id not in {one.id for one in heads}]
    for name, count in sorted(Counter(head.name for head in [*kept, *heads]).items()):
        if count > 1:
            ids = ", ".join(sorted(head.id for head in [*kept, *heads] if head.name == name))
            notes.append(f"{count} species will be called {name}; commands will ask for an id: {ids}")
    return notes + _clashing_series(three, parts)


def _clashing_series(three: Three, parts: Parts) -> list[str]:
    """New items under the name of another one in a source of the same name."""
    repository = three.population.repository
    new = [
        path
        for path in sorted(parts.taken)
        if (ITEM.key(path) or SOURCE.key(path)) and three.ours.raw(path) is None
    ]
    notes = []
    for of, noun in ((SOURCE, "sources"), (ITEM, item_noun(three.source_types, True))):
        incoming = [three.theirs.raw(path) for path in of.keys(new)]
        names = {str(record["name"]) for record in incoming if record is not None}
        if not names:
            continue
        known = {str(record.get("name")) for record in repository.records(of.prefix(), three.ours.under).values()}
        shared = sorted(names & known)
        if shared:
            more = f" and {len(shared) - 3} more" if len(shared) > 3 else ""
            notes.append(
                f"different {noun} share a name: {', '.join(shared[:3])}{more}; commands will ask for an id"
            )
    return notes
