"""Two states of a population compared, at a cost in proportion to what differs.

Git's trees say which records differ; only those are read, and of the arrays only those that the two do not share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import zip_longest
from typing import Any, TypeVar

from mpop.comparison.changes import (
    Difference,
    ItemDifference,
    JobDifference,
    Kind,
    SeriesParticles,
    Settings,
    SourceDifference,
    SpeciesDifference,
)
from mpop.comparison.models import compare_models
from mpop.comparison.particles import Displacements, compare_particles, summarise
from mpop.errors import MissingObjectError, NotFoundError
from mpop.population import Population, typed
from mpop.records.arrays import model_from_arrays, particles_from_arrays
from mpop.records.models import JobRecord, SourceType, SpeciesHead, model_of
from mpop.records.tilt_series import ParticleSet
from mpop_hooks.attachments import attachments_of
from mpop_hooks.record_types import RecordType
from mpop_hooks.schema import ITEM, JOB, PART, POPULATION, SOURCE, SPECIES
from mpop_store import ObjectStore
from mpop_store.arrays.groups import group_objects, read_group

T = TypeVar("T")

SAID_OTHERWISE: dict[str, tuple[str, ...]] = {
    SPECIES.kind: ("maps_object", "resolution_A", "n_particles", "n_items", "parts", "job", "derived"),
    SOURCE.kind: ("items",),
    ITEM.kind: ("model_object", "attachments", "raw", "species_versions", "job"),
}
"""Fields that a difference has a place of its own for; every other field, one added some day too, is a setting."""


def settings_of(of: RecordType) -> tuple[str, ...]:
    """The fields of a record that are shown as they are, before and after."""
    return of.content(*SAID_OTHERWISE.get(of.kind, ()))


def compare(
    population: Population,
    before: str,
    after: str | None = None,
    species: str | None = None,
    item: str | None = None,
) -> Difference:
    """What differs between a revision and another, or the working state.

    species, item: names or ids, to look at these alone. Raises NotFoundError for an unknown revision or name.
    """
    repository = population.repository
    first = repository.resolve(before)
    second = repository.resolve(after or "HEAD") if after is not None or repository.is_bare else None
    both = _Both(population, first, second)
    if species is None and item is None:
        both.fetch(None, None)
        return Difference(
            first,
            second,
            both.name(),
            sorted(both.species(None, None), key=_by_name),
            sorted(both.items(None), key=_by_name),
            sorted(both.sources(), key=_by_name),
            list(both.jobs()),
            both.missing,
        )
    only_item = None if item is None else both.in_either(lambda at: population.item(item, at)).id
    only_species = None if species is None else both.in_either(lambda at: population.one_species(species, at)).id
    both.fetch(only_species, only_item)
    series = list(both.items(only_item)) if species is None else []
    kinds = sorted(both.species(only_species, only_item), key=_by_name)
    return Difference(first, second, {}, kinds, series, missing=both.missing)


@dataclass
class _Both:
    """Two states: a commit, and another or (None) the working state. missing: fills up as arrays are read."""

    population: Population
    before: str
    after: str | None
    missing: list[str] = field(default_factory=list)

    @cached_property
    def objects(self) -> ObjectStore:
        """The store as it is here: nothing is asked for one by one."""
        return self.population.objects.offline()

    def fetch(self, species: str | None, item: str | None) -> None:
        """In a clone without all data: bring what is to be compared, in two requests."""
        online = self.population.objects
        if online.fetch_missing is not None:
            groups = list(self._groups(species, item))
            with suppress(MissingObjectError):
                online.prefetch(groups)
                here = (name for name in groups if self.objects.has(name))
                online.prefetch(part for name in here for part in group_objects(self.objects, name))

    def _groups(self, species: str | None, item: str | None) -> Iterator[str]:
        """The groups of arrays that differ."""
        for _, was, now in self.changed(ITEM):
            if was and now and species is None and item in (None, now["id"]):
                yield from (was["model_object"], now["model_object"])
        for path, (owner, _) in PART.keys(self.paths).items():
            if species in (None, owner):
                old, new = (record.get("particles", {}) for record in self.records(path))
                for one in set(old) | set(new):
                    if old.get(one) != new.get(one) and item in (None, one):
                        yield from (groups[one] for groups in (old, new) if one in groups)

    @cached_property
    def paths(self) -> list[str]:
        """The records in which the states differ."""
        repository = self.population.repository
        if self.after is not None:
            return sorted(repository.changes(self.before, self.after))
        touched = {path for _, path in repository.status()} | set(repository.changes(self.before, "HEAD"))
        return sorted(path for path in touched if repository.find(path, self.before) != repository.find(path))

    def in_either(self, read: Callable[[str | None], T]) -> T:
        """What one of the states knows, the later one first."""
        try:
            return read(self.after)
        except NotFoundError:
            return read(self.before)

    def records(self, path: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """A record in both states; {} where it is not."""
        found = []
        for at in (self.before, self.after):
            oid = self.population.repository.find(path, at)
            found.append({} if oid is None else self.population.repository.load(oid))
        return found[0], found[1]

    def changed(self, of: RecordType, *key: str) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
        """Path and both records of what differs, of a type and with a key that begins so."""
        for path, found in of.keys(self.paths).items():
            if found[: len(key)] == key:
                was, now = self.records(path)
                for record in (was, now):
                    if record:
                        typed(model_of(of.kind), path, record)  # or StateError
                yield path, was, now

    def name(self) -> Settings:
        """The settings of the population."""
        if POPULATION.path() not in self.paths:
            return {}
        return _settings(*self.records(POPULATION.path()), settings_of(POPULATION))

    def jobs(self) -> Iterator[JobDifference]:
        """The jobs that only one state knows, and those that it knows otherwise."""
        for path, was, now in self.changed(JOB):
            job = typed(JobRecord, path, now or was)
            earlier = None if was else self._job_before(job)
            changed = {} if earlier is None else _settings(earlier.parameters, job.parameters)
            again = _settings(was, now, settings_of(JOB))
            yield JobDifference(job.id, job.verb, job.parameters, job.seed, changed, _kind(was, now), again)

    def _job_before(self, job: JobRecord) -> JobRecord | None:
        """The job of the same verb that made a species of which this one made the next version."""
        for path in job.inputs:
            if SPECIES.key(path):
                was, now = self.records(path)
                made_by = str(was.get("job"))
                at = JOB.path(made_by)
                record, _ = self.records(at)
                if now.get("job") == job.id and record.get("verb") == job.verb:
                    return typed(JobRecord, at, record)
        return None

    def sources(self) -> Iterator[SourceDifference]:
        """Sources, and the series that came and went."""
        for _, was, now in self.changed(SOURCE):
            known = now or was
            old, new = set(was.get("items", ())), set(now.get("items", ()))
            yield SourceDifference(
                known["id"],
                known["name"],
                _kind(was, now),
                [self._item_name(one, self.after) for one in sorted(new - old)] if was else [],
                [self._item_name(one, self.before) for one in sorted(old - new)] if now else [],
                _settings(was, now, settings_of(SOURCE)),
                self._types[known["id"]],
            )

    @cached_property
    def _types(self) -> dict[str, SourceType]:
        """Of the sources in either state, by id."""
        return {
            source.id: source.type
            for at in (self.before, self.after)
            for source in self.population.sources(at).values()
        }

    def _item_name(self, item: str, at: str | None) -> str:
        return self.population.item(item, at).name

    def items(self, only: str | None) -> Iterator[ItemDifference]:
        """Tilt series and stacks, their models by what changed in them."""
        for _, was, now in self.changed(ITEM):
            known = now or was
            if only is None or known["id"] == only:
                settings = _settings(was, now, settings_of(ITEM)) | self._raw(was, now)
                settings |= _attached(was, now)
                settings |= _kept(was, now, "species_versions", "refined against")
                settings |= _made_by(was, now)
                quantities, more = self._models(was, now)
                yield ItemDifference(
                    known["id"],
                    known["name"],
                    _kind(was, now),
                    was.get("version"),
                    now.get("version"),
                    bool(was and now) and was["model_object"] != now["model_object"],
                    quantities,
                    settings | more,
                    self._types.get(known["source"], "tilt-series"),  # a damaged history may lack the source
                )

    @staticmethod
    def _raw(was: Mapping[str, Any], now: Mapping[str, Any]) -> Settings:
        """The raw images, if they are linked elsewhere or are others."""
        if not was or not now or was["raw"] == now["raw"]:
            return {}
        folders = _folder(was["raw"]), _folder(now["raw"])
        if folders[0] != folders[1]:
            return {"raw images": folders}
        differ = sum(one != other for one, other in zip_longest(was["raw"], now["raw"]))
        return {"raw images": (folders[0], f"{differ} of them otherwise")}

    def _models(self, was: dict[str, Any], now: dict[str, Any]) -> tuple[list[Any], Settings]:
        if not was or not now or was["model_object"] == now["model_object"]:
            return [], {}
        try:
            models = [model_from_arrays(*read_group(self.objects, one["model_object"])) for one in (was, now)]
        except MissingObjectError:
            self.missing.append(f"the model of {now['name']}")
            return [], {}
        change = compare_models(*models)
        return change.quantities, change.settings

    def species(self, only: str | None, item: str | None) -> Iterator[SpeciesDifference]:
        """Species; with an item, only what happened to their particles in it."""
        for path, was, now in self.changed(SPECIES):
            known = typed(SpeciesHead, path, now or was)
            if only is None or known.id == only:
                difference = self._one_species(known, was, now, item)
                if item is None or difference.series:
                    yield difference

    def _one_species(
        self, known: SpeciesHead, was: dict[str, Any], now: dict[str, Any], item: str | None
    ) -> SpeciesDifference:
        parts = self._parts(known, item) if item or (was and now) else {}
        series = [
            SeriesParticles(one, self.in_either(lambda at, one=one: self._item_name(one, at)), change)
            for one, part in parts.items()
            if not (change := summarise([part])).is_none
        ]
        counts = {"before": was.get("n_particles", 0), "after": now.get("n_particles", 0)}
        if not (was and now):
            counts |= {"added": counts["after"], "removed": counts["before"]}
        return SpeciesDifference(
            known.id,
            known.name,
            _kind(was, now),
            was.get("resolution_A"),
            now.get("resolution_A"),
            was.get("version"),
            now.get("version"),
            bool(was and now) and was["maps_object"] != now["maps_object"],
            self._species_settings(known.id, was, now),
            replace(summarise(list(parts.values())), **counts),
            sorted(series, key=lambda one: one.name),
        )

    def _species_settings(self, species: str, was: dict[str, Any], now: dict[str, Any]) -> Settings:
        settings = _settings(was, now, settings_of(SPECIES)) | _made_by(was, now)
        if not was or not now:
            return settings
        old, new = (record.get("derived", {}).get("sums", {}) for record in (was, now))
        if old != new:
            settings["kept sums"] = (_sources_of(old), _sources_of(new))
        if was["maps_object"] == now["maps_object"]:
            changed = [
                (was_part.get("item_versions", {}), now_part.get("item_versions", {}))
                for _, was_part, now_part in self.changed(PART, species)
            ]
            versions = [
                dict(item for part in side for item in part.items()) for side in zip(*changed, strict=True)
            ]
            if versions and versions[0] != versions[1]:
                settings["series that the half-maps are of"] = (_versions(versions[0]), _versions(versions[1]))
        return settings

    def _parts(self, species: SpeciesHead, item: str | None) -> dict[str, Displacements]:
        """By item id, of the series in which the particles are not the same group of arrays."""
        parts: dict[str, Displacements] = {}
        for _, was, now in self.changed(PART, species.id):
            old, new = was.get("particles", {}), now.get("particles", {})
            for one in sorted(set(old) | set(new)):
                if old.get(one) != new.get(one) and item in (None, one):
                    try:
                        before, after = (self._particle_set(groups.get(one)) for groups in (old, new))
                        parts[one] = compare_particles(before, after, species.symmetry)
                    except MissingObjectError:
                        name = self.in_either(lambda at, one=one: self._item_name(one, at))
                        self.missing.append(f"the particles of {species.name} in {name}")
        return parts

    def _particle_set(self, group: str | None) -> ParticleSet | None:
        return None if group is None else particles_from_arrays(*read_group(self.objects, group))


def _by_name(one: SpeciesDifference | ItemDifference | SourceDifference) -> tuple[str, str]:
    return one.name, one.id


def _kind(was: Mapping[str, Any], now: Mapping[str, Any]) -> Kind:
    return "added" if not was else "removed" if not now else "changed"


def _settings(was: Mapping[str, Any], now: Mapping[str, Any], names: tuple[str, ...] | None = None) -> Settings:
    """What differs where both states have the record."""
    if not was or not now:
        return {}
    return {
        name: (was.get(name), now.get(name))
        for name in (names if names is not None else sorted(set(was) | set(now)))
        if was.get(name) != now.get(name)
    }


def _attached(was: Mapping[str, Any], now: Mapping[str, Any]) -> Settings:
    """Attachments that are others, by name."""
    if not was or not now:
        return {}
    old, new = attachments_of(was), attachments_of(now)
    names = [name for name in sorted(old | new) if old.get(name) != new.get(name)]
    return {f"attached {name}": (old.get(name, "none")[:10], new.get(name, "none")[:10]) for name in names}


def _made_by(was: Mapping[str, Any], now: Mapping[str, Any]) -> Settings:
    """The job, where another one made the same."""
    content = ("maps_object", "model_object", "resolution_A")
    if any(was.get(name) != now.get(name) for name in content):
        return {}
    return {name: tuple(one and one[:10] for one in pair) for name, pair in _settings(was, now, ("job",)).items()}


def _kept(was: Mapping[str, Any], now: Mapping[str, Any], name: str, label: str) -> Settings:
    """Versions that a record names, where the model that they belong to is the same."""
    if was.get("model_object") != now.get("model_object") or was.get(name) == now.get(name):
        return {}
    return {label: (_versions(was.get(name, {})), _versions(now.get(name, {})))}


def _versions(named: Mapping[str, str]) -> str:
    """Some versions by what they are of, short."""
    shown = [f"{one[:4]} at {version[:8]}" for one, version in sorted(named.items())]
    more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
    return ", ".join(shown[:3]) + more or "none"


def _sources_of(sums: Mapping[str, Any]) -> str:
    """Of which sources Fourier sums are kept, and which."""
    return ", ".join(f"{one[:4]} as {str(held.get('group'))[:8]}" for one, held in sorted(sums.items())) or "none"


def _folder(raw: list[dict[str, Any]]) -> str:
    """Where raw images lie, from the first of them."""
    return raw[0]["path"].rpartition("/")[0] or "."
