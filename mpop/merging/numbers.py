"""The numbers that a conflict is decided by: from records and the jobs that made them."""

from __future__ import annotations

from collections.abc import Collection

from mpop.merging.conflicts import Better, Numbers
from mpop.merging.joining import particle_count
from mpop.merging.snapshots import Snapshot
from mpop.merging.three_way import Side
from mpop.population import Population
from mpop.records.models import ItemRecord, JobRecord, SpeciesHead
from mpop_hooks.schema import ITEM, SPECIES

Makers = dict[str, tuple[str, str]]
"""Record path -> who made its newest version, and when (ISO 8601)."""


def makers(population: Population, side: Snapshot, base: Snapshot, paths: Collection[str]) -> Makers:
    """Who made the versions of a side, and when: the commits since the base that changed them last."""
    found: Makers = {}
    for tip in side.commits if paths else ():
        for commit in population.repository.since(tip, base.commits):
            for path in commit.changed.keys() & set(paths) - found.keys():
                found[path] = (commit.author, commit.time.isoformat())
            if len(found) == len(paths):
                break
    return found


def item_numbers(population: Population, side: Snapshot, item: str, known: Makers) -> Numbers:
    """The numbers of a tilt series or stack on one side."""
    record = side.item(item)
    if record is None:
        return Numbers(None)
    job = None if record.job is None else side.job(record.job)
    groups = [side.part(one.id, item[:2]).particles.get(item) for one in side.all_species]
    who, when = known.get(ITEM.path(item), (None, None))
    return Numbers(
        version=record.version,
        parent=record.parent,
        job=record.job,
        verb=job.verb if job else None,
        who=who,
        when=when,
        score=_score(job, record),
        against_A=dict(job.resolution_before_A) if job else {},
        particles=sum(particle_count(population, group) for group in groups if group is not None),
    )


def species_numbers(population: Population, side: Snapshot, species: str, known: Makers) -> Numbers:
    """The numbers of a species on one side."""
    record: SpeciesHead | None = side.species(species)
    if record is None:
        return Numbers(None)
    job = None if record.job is None else side.job(record.job)
    who, when = known.get(SPECIES.path(species), (None, None))
    return Numbers(
        version=record.version,
        parent=record.parent,
        job=record.job,
        verb=job.verb if job else None,
        who=who,
        when=when,
        resolution_A=record.resolution_A,
        particles=record.n_particles,
        series=record.n_items,
        types=sorted({kind for commit in side.commits for kind in population.source_types(commit)}),
    )


def _score(job: JobRecord | None, item: ItemRecord) -> float | None:
    for series in job.series if job else ():
        if series.get("item") == item.id and isinstance(series.get("score_after"), int | float):
            return float(series["score_after"])
    return None


def better_species(ours: Numbers, theirs: Numbers) -> Better:
    """The side whose half-maps agree to the finer resolution."""
    here, there = ours.resolution_A, theirs.resolution_A
    if ours.version is None or theirs.version is None:
        return Better(None, "one side removed it")
    if here is None and there is None:
        return Better(None, "neither side's half-maps agree at any resolution")
    if here == there:
        return Better(None, f"both sides reach {here:.2f} A")
    side: Side = "ours" if there is None or (here is not None and here < there) else "theirs"
    best, other = (here, there) if side == "ours" else (there, here)
    against = "no resolution" if other is None else f"{other:.2f} A"
    return Better(side, f"resolution {best:.2f} A against {against}")


def better_item(ours: Numbers, theirs: Numbers, same_references: bool) -> Better:
    """The side with the better score against the same references, else the one with the finer references."""
    if ours.version is None or theirs.version is None:
        return Better(None, "one side removed it")
    if same_references and ours.score is not None and theirs.score is not None:
        if ours.score == theirs.score:
            return Better(None, f"both sides score {ours.score:.4g}")
        side: Side = "ours" if ours.score > theirs.score else "theirs"
        best, other = max(ours.score, theirs.score), min(ours.score, theirs.score)
        return Better(side, f"score {best:.4g} against {other:.4g}, with the same references")
    return _finer_references(ours.against_A, theirs.against_A)


def _finer_references(ours: dict[str, float | None], theirs: dict[str, float | None]) -> Better:
    pairs = {name: (ours[name], theirs[name]) for name in sorted(ours.keys() & theirs.keys())}
    finite = {name: (a, b) for name, (a, b) in pairs.items() if a is not None and b is not None}
    if not finite:
        return Better(None, "neither scores nor references of the two sides can be compared")
    shown = ", ".join(f"{name} at {a:.2f} A here and {b:.2f} A there" for name, (a, b) in finite.items())
    if all(a <= b for a, b in finite.values()) and any(a < b for a, b in finite.values()):
        return Better("ours", f"refined against finer references: {shown}")
    if all(b <= a for a, b in finite.values()) and any(b < a for a, b in finite.values()):
        return Better("theirs", f"refined against finer references: {shown}")
    return Better(None, f"the references do not decide: {shown}")
