"""One species refined by two labs: their particles united, their Fourier sums added half by half.

Sums add. What a source contributed to a side's half-maps is a sum over its tilt series, each seen through one
model with the particles at one set of poses: a *contribution*. The pooled half-maps are the sum over the
contributions of the merged population. They are put together from the sums that are kept: ours, theirs, and those
of what both come from, in the combination that leaves least to do; a lab that refined half of the series holds the
other half as it was before, so ours + theirs - base is what both refined. Only what no combination gives is read
again from raw images.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import product

import numpy as np

from mpop.errors import InputError, MissingObjectError, StateError
from mpop.geometry.symmetry import symmetry_matrices
from mpop.jobs.halfmaps import divide, empty_target, stored_sums, sums_key
from mpop.maps.fsc import FSCReport
from mpop.merging.bases import VirtualSnapshot
from mpop.merging.map_alignment import MapAlignment, align_maps
from mpop.merging.snapshots import Snapshot
from mpop.merging.species import SCALE, SpeciesMerge
from mpop.merging.three_way import Side
from mpop.projection.insertion import FourierSums
from mpop.records.arrays import model_from_arrays, particles_from_arrays
from mpop.records.models import ItemRecord, SpeciesHead, SpeciesRecord
from mpop.refinement.reconstruction import add_series
from mpop.series.opening import views_of
from mpop_store.arrays.groups import read_group, read_manifest

Halves = tuple[FourierSums, FourierSums]
Contribution = tuple[str, str, str]
"""Item, the model through which it was seen, the particles at their poses."""

MOST_STATES = 8
"""Of so many states the kept sums are combined."""

ItemOf = Callable[[str], ItemRecord | None]
"""The merged record of a tilt series."""


@dataclass(frozen=True)
class Known:
    """Sums of one source that are kept: what they hold, the key that says so, and the species whose they are."""

    contributions: frozenset[Contribution]
    key: str
    species: SpeciesRecord


@dataclass(frozen=True)
class SourcePlan:
    """How the sums of one source come about: kept sums, times 1 or -1, and contributions to be read again, as many
    times (negative: to be taken away)."""

    wanted: dict[str, tuple[str, str]]
    combination: list[tuple[Known, int]]
    reread: Counter[Contribution] = field(default_factory=Counter)


@dataclass(frozen=True)
class PoolPlan:
    """How a species is pooled, before anything large is read."""

    merge: SpeciesMerge
    alignment: MapAlignment
    sources: dict[str, SourcePlan]
    item_versions: dict[str, str]

    @property
    def reread(self) -> set[str]:
        """Tilt series whose raw images are needed."""
        return {item for source in self.sources.values() for item, _, _ in source.reread}


@dataclass(frozen=True)
class Pooled:
    """Pooled half-maps: the arrays of the maps' group, the FSC, and by source the sums and their key."""

    maps: dict[str, np.ndarray]
    report: FSCReport
    sums: dict[str, tuple[str, Halves]]


def plan_pool(merge: SpeciesMerge, item_of: ItemOf, item_sides: Mapping[str, Side], write: bool) -> PoolPlan:
    """How to pool. Raises StateError when the two sides' maps or half-sets do not go together.

    write: store the particles that neither side has so; without, they are taken to need their raw images again.
    """
    ours, theirs = merge.three.ours.whole(merge.id), merge.three.theirs.whole(merge.id)
    assert ours is not None and theirs is not None
    _same_kind_of_maps(ours, theirs)
    swapped = sum(merge.rows(item).swapped for item in merge.changed_on_both)
    if swapped:
        raise StateError(
            f"{swapped} particles are in half-set 1 on one side and in 2 on the other; pooling would mix them"
        )
    alignment = _alignment(merge, ours, theirs)
    wanted, versions = _wanted(merge, ours, theirs, item_of, item_sides, write)
    states = _states(merge)
    known = [_known(merge, snapshot, states) for snapshot in states]
    sources = {
        source: _combine(one, [held[source] for held in known if source in held]) for source, one in wanted.items()
    }
    return PoolPlan(merge, alignment, sources, versions)


def _states(merge: SpeciesMerge) -> list[Snapshot]:
    """The states whose sums may serve, ours and theirs first.

    Two sides that merged each other pooled what both had in their bases when they did so: these merges are looked
    at too, and the bases of the bases. At most `MOST_STATES`.
    """
    three, repository = merge.three, merge.three.population.repository
    bases, found = three.base.commits, [*three.ours.commits, *three.theirs.commits]
    if len(bases) > 1:
        sides = {commit.id: commit for side in found for commit in repository.since(side, bases)}
        found += [commit.id for commit in sides.values() if sorted(commit.parents) == bases]
    found += bases
    below = three.base
    while isinstance(below, VirtualSnapshot) and len(found) < MOST_STATES:
        below = below.three.base
        found += below.commits
    return [Snapshot(three.population, commit) for commit in list(dict.fromkeys(found))[:MOST_STATES]]


def _same_kind_of_maps(ours: SpeciesHead, theirs: SpeciesHead) -> None:
    for name in SCALE:
        here, there = getattr(ours, name), getattr(theirs, name)
        if here != there:
            raise StateError(f"{name} is {here} here and {there} there; maps of different kinds cannot be pooled")


def _alignment(merge: SpeciesMerge, ours: SpeciesRecord, theirs: SpeciesRecord) -> MapAlignment:
    """How their map lies in ours; raises StateError when it lies elsewhere."""
    population = merge.three.population
    resolutions = [one.resolution_A for one in (ours, theirs) if one.resolution_A is not None]
    if len(resolutions) < 2:
        raise StateError("one side's half-maps agree at no resolution; there is nothing to align them by")
    maps = [population.maps(one) for one in (ours, theirs)]
    means = [((one["half1"] + one["half2"]) / 2).astype(np.float32) for one in maps]
    find = partial(
        align_maps, means[0], means[1], maps[0]["mask"], ours.pixel_size_A, max(resolutions), ours.diameter_A / 2
    )
    alignment = find()
    if not alignment.agrees(min(resolutions)):
        alignment = find(symmetry_matrices(ours.symmetry))
    if not alignment.agrees(min(resolutions)):
        raise StateError(
            f"their map lies {alignment.angle_deg:.2f} degrees and {alignment.distance_A:.2f} A from ours, up to "
            f"{alignment.displacement_A:.1f} A apart at the particle's edge, too far to add sums at "
            f"{min(resolutions):.1f} A; refine one side against the other's map first"
        )
    return alignment


def _wanted(
    merge: SpeciesMerge,
    ours: SpeciesRecord,
    theirs: SpeciesRecord,
    item_of: ItemOf,
    item_sides: Mapping[str, Side],
    write: bool,
) -> tuple[dict[str, dict[str, tuple[str, str]]], dict[str, str]]:
    """Source -> item -> model and particles of the pooled species; item -> its version."""
    wanted: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    versions: dict[str, str] = {}
    for item in sorted({*ours.item_versions, *theirs.item_versions}):
        record = item_of(item)
        particles = merge.merged_group(item, item_sides.get(item, "ours"), write)
        if record is not None and particles is not None:
            wanted[record.source][item] = (record.model_object, particles)
            versions[item] = record.version
    return dict(wanted), versions


def _known(merge: SpeciesMerge, snapshot: Snapshot, states: list[Snapshot]) -> dict[str, Known]:
    """Source -> what the sums that a commit keeps of it hold; only where that is certain."""
    species = snapshot.whole(merge.id)
    if species is None:
        return {}
    found: dict[str, dict[str, tuple[str, str]]] = defaultdict(dict)
    unknown: set[str] = set()
    for item, version in species.item_versions.items():
        candidates = (one.item(item) for one in (snapshot, *states))
        record = next((one for one in candidates if one is not None and one.version == version), None)
        if record is None or item not in species.particles:
            here = snapshot.item(item)
            unknown.add(here.source if here else "")
        else:
            found[record.source][item] = (record.model_object, species.particles[item])
    known: dict[str, Known] = {}
    for source, contributions in found.items():
        key = sums_key(species, contributions)
        kept = species.derived.get("sums", {}).get(source, {})
        if source not in unknown and kept.get("key") == key and _is_here(merge, kept["group"]):
            named = frozenset((item, *objects) for item, objects in contributions.items())
            known[source] = Known(named, key, species)
    return known


def _is_here(merge: SpeciesMerge, group: str) -> bool:
    try:
        read_manifest(merge.three.population.objects, group)
    except MissingObjectError:
        return False
    return True


def _combine(wanted: dict[str, tuple[str, str]], known: list[Known]) -> SourcePlan:
    """The combination of kept sums that leaves the fewest contributions to read again, of few sums.

    Each kept sum counts +1, -1 or not at all. What is then wanted and not there, or there and not wanted, is known
    exactly, contribution by contribution: none is ever counted twice. Contributions that are in the same sums are
    looked at as one.
    """
    asked = {(item, *objects) for item, objects in wanted.items()}
    alike: dict[tuple[int, ...], list[Contribution]] = defaultdict(list)
    for contribution in sorted(asked.union(*(one.contributions for one in known))):
        held = tuple(int(contribution in one.contributions) for one in known)
        alike[(int(contribution in asked), *held)].append(contribution)
    patterns = np.array(list(alike)).reshape(len(alike), 1 + len(known))
    counts = np.array([len(one) for one in alike.values()])
    signs = np.array(list(product((0, 1, -1), repeat=len(known)))).reshape(3 ** len(known), len(known))
    missing = patterns[:, :1] - patterns[:, 1:] @ signs.T  # (patterns, combinations)
    reread = (counts[:, None] * (missing != 0)).sum(axis=0)
    used = (signs != 0).sum(axis=1)
    best = int(np.lexsort((np.arange(len(signs))[::-1], used, reread))[0])
    return SourcePlan(
        wanted,
        [(one, int(sign)) for one, sign in zip(known, signs[best], strict=True) if sign],
        Counter(
            {
                one: int(count)
                for named, count in zip(alike.values(), missing[:, best], strict=True)
                for one in named
                if count
            }
        ),
    )


def pool(plan: PoolPlan) -> Pooled:
    """The pooled half-maps. Raises InputError when raw images that are needed are not here."""
    merge = plan.merge
    head = merge.head("ours")
    total = empty_target(head)
    sums: dict[str, tuple[str, Halves]] = {}
    for source, one in sorted(plan.sources.items()):
        halves = _source_sums(merge, head, source, one)
        sums[source] = (sums_key(head, one.wanted), halves)
        for whole, part in zip(total.halves, halves, strict=True):
            whole.add(part)
    maps, report = divide(head, total.halves, _mask(merge))
    return Pooled(maps, report, sums)


def _source_sums(merge: SpeciesMerge, head: SpeciesHead, source: str, plan: SourcePlan) -> Halves:
    halves = empty_target(head).halves
    for one, sign in plan.combination:
        kept = stored_sums(merge.three.population, one.species, source, one.key)
        if kept is None:
            raise StateError(f"kept sums of {head.name} are gone; run the command again")
        _add(halves, kept, sign)
    for contribution, count in sorted(plan.reread.items()):
        _add(halves, _read_again(merge, head, contribution), count)
    if len(plan.combination) > 1 or plan.reread:
        for half in halves:  # what was subtracted again may leave weights of rounding errors below 0
            np.maximum(half.values[..., 2], 0, out=half.values[..., 2])
    return halves


def _add(halves: Halves, part: Halves, times: int) -> None:
    for whole, one in zip(halves, part, strict=True):
        whole.add(FourierSums(one.values * np.float32(times)))


def _read_again(merge: SpeciesMerge, head: SpeciesHead, contribution: Contribution) -> Halves:
    """The sums of one tilt series from its raw images."""
    population, (item, model_object, group) = merge.three.population, contribution
    record = merge.three.ours.item(item) or merge.three.theirs.item(item)
    assert record is not None
    source = merge.three.ours.source(record.source) or merge.three.theirs.source(record.source)
    assert source is not None
    model = model_from_arrays(*read_group(population.objects, model_object))
    particles = particles_from_arrays(*read_group(population.objects, group))
    target = empty_target(head)
    try:
        add_series(
            [target],
            population.image_loader(record, model),
            model,
            [views_of(model, particles)],
            [particles.half],
            source.pixel_size_A,
        )
    except InputError as error:
        raise InputError(
            f"no kept sums give the part of {record.name}, and its images are needed: {error}"
        ) from error
    return target.halves


def _mask(merge: SpeciesMerge) -> np.ndarray:
    """Our mask, or theirs if only they changed it."""
    population = merge.three.population
    ours, theirs = (population.maps(merge.head(side))["mask"] for side in ("ours", "theirs"))
    heads = [Snapshot(population, commit).species(merge.id) for commit in merge.three.base.commits]
    before = [population.maps(head)["mask"] for head in heads if head is not None]
    return theirs if before and all(np.array_equal(mask, ours) for mask in before) else ours


def fsc_columns(merge: SpeciesMerge, pooled: FSCReport) -> dict[str, list[float]]:
    """Corrected FSC of ours, theirs and the pooled half-maps, by shell."""
    population = merge.three.population
    stored = {side: population.maps(merge.head(side))["fsc"] for side in ("ours", "theirs")}
    curves = {side: [float(value) for value in fsc[1]] for side, fsc in stored.items()}
    pooled_curve = [float(value) for value in pooled.corrected.correlation]
    return {"frequency": [float(value) for value in pooled.corrected.frequency], **curves, "pooled": pooled_curve}
