"""Edits of the example population, to be made on two sides of a fork and merged."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from example_population import maps, model, particle_set

from mpop.maps.masks import soft_sphere
from mpop.population import Population
from mpop.records.models import ItemRecord, JobRecord, PopulationRecord, SpeciesRecord
from mpop.records.tilt_series import ParticleSet

Edit = Callable[[Population], None]
SPECIES = "a" * 16


def _committed(population: Population, item: ItemRecord) -> str | None:
    """Version of a series in HEAD, the parent of what is committed next."""
    known = population.items("HEAD").get(item.id)
    return known.version if known else None


def _species(population: Population) -> SpeciesRecord:
    return population.one_species(SPECIES)


def refine_item(name: str, bend_A: float, against: str | None = None) -> Edit:
    """A new model of a series, by a job that says how good it is."""

    def edit(population: Population) -> None:
        item = population.item(name)
        job = JobRecord(
            id=f"{int(bend_A * 1000):064x}",
            verb="refine",
            parameters={},
            seed=0,
            inputs={},
            software={},
            device="cpu",
            threads=1,
            wall_s=1.0,
            peak_GiB=1.0,
            resolution_before_A={"ribosome": 25.0},
            series=[{"item": item.id, "name": name, "score_after": bend_A}],
        )
        new = item.model_copy(
            update={
                "model_object": population.write_tilt_series(model(bend_A)),
                "species_versions": {SPECIES: against or population.one_species(SPECIES, "HEAD").version},
                "parent": _committed(population, item),
                "merged": [],
                "job": job.id,
            }
        )
        population.stage([job, new])

    return edit


def edit_item(series: str, **changes: Any) -> Edit:
    """Change fields of a series."""

    def edit(population: Population) -> None:
        item = population.item(series)
        population.stage([item.model_copy(update={**changes, "parent": _committed(population, item)})])

    return edit


def store_raw(name: str) -> Edit:
    """Put the images of a series into the population."""

    def edit(population: Population) -> None:
        item = population.item(name)
        raw = [
            replace(one, stored_object=population.write_group({"image": population.tilt_image(item, i)}))
            for i, one in enumerate(item.raw)
        ]
        population.stage([item.model_copy(update={"raw": raw, "parent": _committed(population, item)})])

    return edit


def edit_species(**changes: Any) -> Edit:
    """Change fields of the species."""

    def edit(population: Population) -> None:
        one, committed = _species(population), population.one_species(SPECIES, "HEAD")
        population.stage([one.model_copy(update={**changes, "parent": committed.version, "merged": []})])

    return edit


def new_maps(seed: int, resolution_A: float | None) -> Edit:
    """New half-maps of the species, made from the series as they are."""

    def edit(population: Population) -> None:
        versions = {item.id: item.version for item in population.items().values()}
        random = np.random.default_rng(seed)
        arrays = maps(0, resolution_A or 25.0)
        arrays |= {half: arrays[half] + random.normal(scale=0.1, size=(20,) * 3) for half in ("half1", "half2")}
        arrays["mask"] = soft_sphere(20, 10.0, 60.0, 20.0)
        group = population.write_group({name: array.astype(np.float32) for name, array in arrays.items()})
        edit_species(maps_object=group, resolution_A=resolution_A, item_versions=versions)(population)

    return edit


def edit_rows(name: str, change: Callable[[ParticleSet], ParticleSet]) -> Edit:
    """Change the particles of the species in a series."""

    def edit(population: Population) -> None:
        one, item = _species(population), population.item(name).id
        old = population.particles(one, item)
        new = change(old)
        particles = one.particles | {item: population.write_particles(new)}
        edit_species(particles=particles, n_particles=one.n_particles + len(new) - len(old))(population)

    return edit


def move(row: int, by_A: float) -> Callable[[ParticleSet], ParticleSet]:
    """Move one particle."""

    def change(old: ParticleSet) -> ParticleSet:
        position = old.position_A.copy()
        position[row] += by_A
        return replace(old, position_A=position)

    return change


def remove(row: int) -> Callable[[ParticleSet], ParticleSet]:
    """Take one particle out."""

    def change(old: ParticleSet) -> ParticleSet:
        keep = np.arange(len(old)) != row
        extra = {
            name: [value for value, kept in zip(column, keep, strict=True) if kept]
            for name, column in old.extra.items()
        }
        return ParticleSet(old.id[keep], old.half[keep], old.position_A[keep], old.angles_deg[keep], extra)

    return change


def add(seed: int) -> Callable[[ParticleSet], ParticleSet]:
    """Add two particles."""

    def change(old: ParticleSet) -> ParticleSet:
        more = particle_set(seed, 2)
        extra = {name: [*column, *more.extra[name]] for name, column in old.extra.items()}
        fields = ("id", "half", "position_A", "angles_deg")
        return ParticleSet(*(np.concatenate([getattr(old, f), getattr(more, f)]) for f in fields), extra)

    return change


def add_species(identity: str, name: str, seed: int = 5) -> Edit:
    """A new species with particles in both series."""

    def edit(population: Population) -> None:
        items = population.items()
        sets = {item: population.write_particles(particle_set(seed + n)) for n, item in enumerate(sorted(items))}
        new = _species(population).model_copy(
            update={
                "id": identity,
                "name": name,
                "particles": sets,
                "item_versions": {},
                "n_particles": 4 * len(sets),
                "maps_object": population.write_group(maps(seed)),
                "resolution_A": 25.0,
                "parent": None,
                "merged": [],
                "job": None,
                "derived": {},
            }
        )
        population.stage([new])

    return edit


def remove_species(population: Population) -> None:
    """Take the species out."""
    population.stage([], remove=[_species(population)])


def remove_source(population: Population) -> None:
    """Take the source out, with its series, and the species that is in them."""
    source, items = population.source("5" * 16), population.items()
    gone = [items[item] for item in source.items]
    population.stage([], remove=[source, *gone, _species(population)])


def link_elsewhere(population: Population) -> None:
    """Link the images of a series at another place."""
    item = population.item("TS_1")
    folder = population.root.parent / "elsewhere"
    folder.mkdir(exist_ok=True)
    raw = []
    for one in item.raw:
        path = population.raw_path(one)
        shutil.copy(path, folder)
        raw.append(replace(one, path=f"../elsewhere/{path.name}"))
    population.stage([item.model_copy(update={"raw": raw, "parent": _committed(population, item)})])


def add_source(identity: str, name: str, item: str) -> Edit:
    """A new source of one series."""

    def edit(population: Population) -> None:
        old = population.item("1" * 16)
        new = old.model_copy(
            update={"id": item, "name": f"{name}_1", "source": identity, "parent": None, "merged": []}
        )
        source = population.source("5" * 16).model_copy(update={"id": identity, "name": name, "items": [item]})
        population.stage([source, new])

    return edit


def add_to_source(item: str, name: str) -> Edit:
    """One more series of the source."""

    def edit(population: Population) -> None:
        old, source = population.item("1" * 16), population.source("5" * 16)
        new = old.model_copy(update={"id": item, "name": name, "parent": None, "merged": []})
        population.stage([new, source.model_copy(update={"items": sorted([*source.items, item])})])

    return edit


def edit_source(**changes: Any) -> Edit:
    """Change fields of the source."""

    def edit(population: Population) -> None:
        population.stage([population.source("5" * 16).model_copy(update=changes)])

    return edit


def rename_population(name: str) -> Edit:
    """Give the population another name."""

    def edit(population: Population) -> None:
        population.stage([PopulationRecord(format=1, name=name)])

    return edit


def add_job(identity: str, seconds: float) -> Edit:
    """A job that ran for so long."""

    def edit(population: Population) -> None:
        population.stage(
            [
                JobRecord(
                    id=identity,
                    verb="reconstruct",
                    parameters={},
                    seed=0,
                    inputs={},
                    software={},
                    device="cpu",
                    threads=1,
                    wall_s=seconds,
                    peak_GiB=1.0,
                )
            ]
        )

    return edit


def fork(population: Population, ours: Iterable[Edit], theirs: Iterable[Edit]) -> str:
    """Commit edits on `main` and on the branch `theirs`; returns the commit where they part."""
    repository = population.repository
    base = repository.head
    assert base is not None
    repository.switch("refs/heads/theirs", "fork", base)
    commit_edits(population, theirs, "Theirs")
    repository.switch("refs/heads/main", "back")
    commit_edits(population, ours, "Ours")
    return base


def commit_edits(population: Population, edits: Iterable[Edit], message: str) -> None:
    """Make edits and commit them, if there are any."""
    for edit in edits:
        edit(population)
    if not population.repository.is_clean:
        population.commit(message)


def content(population: Population, at: str = "HEAD") -> dict[str, Any]:
    """What a commit holds, without what tells how it came to be: by kind and id."""
    how = {"version", "parent", "merged", "parts", "job"}
    found: dict[str, Any] = {"name": population.repository.read("population.json", at)["name"]}
    for kind in ("sources", "items", "species"):
        for identity, record in getattr(population, kind)(at).items():
            found[f"{kind}/{identity}"] = record.model_dump(mode="json", exclude=how)
    return found
