"""A population of any size with a long history, made in a minute: the subject of `benchmarks.speed.scale`.

Every record and every object in it is what mpop itself would have written (`mpop verify` holds), only the way is
shorter: objects are variations of one that was stored the usual way, and history goes to Git as one stream.
"""

from __future__ import annotations

import base64
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from mpop.population import Population
from mpop.records import ItemRecord, JobRecord, ParticleSet, RawImage, SourceRecord, SpeciesRecord, TiltSeriesModel
from mpop.records.species import split
from mpop_hooks import schema
from mpop_store import canonical_json, version_of
from mpop_store.arrays.manifests import read_manifest, write_manifest
from mpop_store.upkeep.packing import pack

SPECIES = 5
PARTICLES = 20
"""Of one species in one series."""
TILTS = 41
SERIES_OF_A_SOURCE = 100
START = 1_700_000_000
"""Time of the first commit, in seconds; the others follow by the hour."""
BRANCHES = ("left", "right")

Json = dict[str, Any]
Records = dict[str, Json]
"""Path -> record."""


@dataclass
class Generator:
    """Records of the newest commit, and what is needed to make the next ones.

    items: item id -> record; heads: species id -> record; parts: species id -> first two digits of item ids ->
    record; templates: kind of group -> entries of its manifest.
    """

    population: Population
    random: np.random.Generator
    items: Records = field(default_factory=dict)
    heads: Records = field(default_factory=dict)
    parts: dict[str, Records] = field(default_factory=dict)
    templates: dict[str, Json] = field(default_factory=dict)

    def hash(self) -> str:
        """64 random hex digits."""
        return self.random.bytes(32).hex()

    def model(self) -> str:
        """A new model of a series."""
        return self._vary("model", "axis_offset_x_A/c/0")

    def particles(self) -> str:
        """A new set of particles."""
        return self._vary("particles", "position_A/c/0/0/0")

    def _vary(self, kind: str, key: str) -> str:
        """A group like the one stored as a template, with other numbers in one of its arrays."""
        entries = self.templates[kind]
        size = len(base64.b64decode(entries[key]["inline"]))
        numbers = self.random.uniform(0, 100, size // 8).astype("<f8").tobytes()
        entries = entries | {key: {"inline": base64.b64encode(numbers).decode()}}
        return write_manifest(self.population.objects, entries)


def generate(folder: Path, series: int, commits: int) -> None:
    """Make a population of that many tilt series and commits, with 20 particles of each of 5 species in a series.

    Each commit but the first refines one series and all species. The branches `left` and `right` go on from the
    last one and change 1 % of the series each, and two species each.
    """
    population = Population.init(folder, f"{series} series")
    made = Generator(population, np.random.default_rng(series))
    _store_templates(made)
    records = population.repository.records() | _import(made, series)
    command = ["git", "-C", str(folder), "fast-import", "--quiet", "--force"]
    history = subprocess.Popen(command, stdin=subprocess.PIPE)
    assert history.stdin is not None
    send_commit(history.stdin, "refs/heads/main", 1, "Import", records)
    items, species = sorted(made.items), sorted(made.heads)
    for number in range(2, commits + 1):
        changed = refine(made, [items[number % series]], species)
        send_commit(history.stdin, "refs/heads/main", number, f"Refine {number}", changed)
    share = max(1, series // 100)
    for side, name in enumerate(BRANCHES):
        parts = {name: dict(known) for name, known in made.parts.items()}
        one = replace(made, items=dict(made.items), heads=dict(made.heads), parts=parts)
        changed = refine(one, items[side * share : (side + 1) * share], species[2 * side : 2 * side + 2])
        ref, message = f"refs/heads/{name}", f"Refine on the {name}"
        send_commit(history.stdin, ref, commits + 1, message, changed, since="refs/heads/main")
    history.stdin.close()
    if history.wait():
        raise RuntimeError("git fast-import failed")
    subprocess.run(["git", "-C", str(folder), "reset", "--quiet", "--hard", "main"], check=True)
    pack(population.repository)  # as mpop does it by itself when there are so many objects


def send_commit(
    stream: IO[bytes],
    ref: str,
    number: int,
    message: str,
    records: Records,
    since: str | None = None,
    merged: str | None = None,
) -> None:
    """One commit on a reference, as `git fast-import` reads it; since: what a new reference begins at."""
    who = f"A. Biologist <a@example.org> {START + 3600 * number} +0000"
    stream.write(f"commit {ref}\ncommitter {who}\n".encode() + _data(message.encode()))
    for word, commit in (("from", since), ("merge", merged)):
        if commit is not None:
            stream.write(f"{word} {commit}\n".encode())
    for path, record in records.items():
        stream.write(f"M 100644 inline {path}\n".encode() + _data(canonical_json(record) + b"\n"))


def _data(content: bytes) -> bytes:
    return f"data {len(content)}\n".encode() + content + b"\n"


def _store_templates(made: Generator) -> None:
    """Store one group of each kind the usual way."""
    model = TiltSeriesModel(
        angles_deg=np.linspace(-60, 60, TILTS),
        exposure=np.arange(TILTS, dtype=float),
        use=np.ones(TILTS, bool),
        axis_angle_deg=np.full(TILTS, 85.0),
        axis_offset_x_A=np.ones(TILTS),
        axis_offset_y_A=np.ones(TILTS),
        image_dims_A=(4000.0, 4000.0),
        volume_dims_A=(4000.0, 4000.0, 2000.0),
    )
    particles = ParticleSet(
        id=np.arange(PARTICLES, dtype=np.uint64) + 1,
        half=np.resize(np.array([1, 2], np.uint8), PARTICLES),
        position_A=made.random.uniform(100, 3900, (PARTICLES, 1, 3)),
        angles_deg=made.random.uniform(0, 180, (PARTICLES, 1, 3)),
    )
    population = made.population
    made.templates["model"] = read_manifest(population.objects, population.write_tilt_series(model))
    made.templates["particles"] = read_manifest(population.objects, population.write_particles(particles))


def _import(made: Generator, series: int) -> Records:
    """Records of all series and species as imported."""
    sources: Records = {}
    for first in range(0, series, SERIES_OF_A_SOURCE):
        here = [_item(made, number) for number in range(first, min(series, first + SERIES_OF_A_SOURCE))]
        source = SourceRecord(
            id=made.hash()[:16],
            name=f"grid {len(sources) + 1}",
            pixel_size_A=2.0,
            image_shape=(2000, 2000),
            volume_dims_A=(4000.0, 4000.0, 2000.0),
            items=sorted(item["id"] for item in here),
        )
        made.items |= {item["id"]: versioned_record(item | {"source": source.id}) for item in here}
        sources[schema.SOURCE.path(source.id)] = versioned_record(source.model_dump(mode="json"))
    files = sources | {schema.ITEM.path(one): record for one, record in made.items.items()}
    for number in range(SPECIES):
        files |= _species(made, number)
    return files


def _item(made: Generator, number: int) -> Json:
    """A series that belongs to no source yet."""
    raw = [
        RawImage(path=f"../frames/TS_{number}_{tilt}.mrc", hash=made.hash(), size=8_001_024)
        for tilt in range(TILTS)
    ]
    item = ItemRecord(id=made.hash()[:16], name=f"TS_{number}", source="", raw=raw, model_object=made.model())
    return item.model_dump(mode="json")


def _species(made: Generator, number: int) -> Records:
    """The records of a species that has particles in every series."""
    box = made.random.normal(size=(32, 32, 32)).astype(np.float32)
    frequency = np.linspace(0.0, 0.1, 11)
    fsc = np.stack([frequency, *[1 - 17.14 * frequency] * 4])  # crosses 0.143 at 20 A
    volumes = {"half1": box, "half2": box + 1, "mask": box, "filtered": box}
    whole = SpeciesRecord(
        id=made.hash()[:16],
        name=f"species {number + 1}",
        symmetry="C1",
        diameter_A=200.0,
        pixel_size_A=4.0,
        box=32,
        maps_object=made.population.write_group({**volumes, "fsc": fsc}),
        resolution_A=20.0,
        particles={item: made.particles() for item in made.items},
        n_particles=len(made.items) * PARTICLES,
    )
    head, parts = split(whole)
    made.heads[whole.id], made.parts[whole.id] = head, parts
    return {schema.SPECIES.path(whole.id): head} | {
        schema.PART.path(whole.id, key): part for key, part in parts.items()
    }


def refinement_job(identity: str, items: list[Json]) -> JobRecord:
    """The record of a refinement of some series."""
    return JobRecord(
        id=identity,
        verb="refine",
        parameters={"image_warp": [4, 4], "iterations": 5},
        seed=1,
        inputs={schema.ITEM.path(item["id"]): item["version"] for item in items},
        software={"mpop": "0.1.0", "numpy": "2.0", "torch": "2.4"},
        device="cpu",
        threads=2,
        wall_s=600.0,
        peak_GiB=2.0,
        score_before=1.0,
        score_after=1.1,
        series=[{"item": item["id"], "name": item["name"], "before": 1.0, "after": 1.1} for item in items],
    )


def refine(made: Generator, items: list[str], species: list[str]) -> Records:
    """The records of a job that refines some series together with some species."""
    job = refinement_job(made.hash(), [made.items[item] for item in items])
    files: Records = {schema.JOB.path(job.id): versioned_record(job.model_dump(mode="json"))}
    against = {one: made.heads[one]["version"] for one in species}
    for item in items:
        old = made.items[item]
        new = {"model_object": made.model(), "species_versions": against, "parent": old["version"], "job": job.id}
        made.items[item] = files[schema.ITEM.path(item)] = versioned_record(old | new)
    for one in species:
        files |= _refine_species(made, one, items, job.id)
    return files


def _refine_species(made: Generator, species: str, items: list[str], job: str) -> Records:
    """The head of a species after a job, and the parts with the series that took part."""
    files: Records = {}
    parts = made.parts[species]
    for key in {item[:2] for item in items}:
        here = [item for item in items if item[:2] == key]
        particles = {item: made.particles() for item in here}
        versions = {item: made.items[item]["version"] for item in here}
        old = parts[key]
        parts[key] = files[schema.PART.path(species, key)] = versioned_record(
            old
            | {
                "particles": old["particles"] | particles,
                "item_versions": old["item_versions"] | versions,
            }
        )
    head = made.heads[species]
    known = {key: part["version"] for key, part in parts.items()}
    head = versioned_record(head | {"parts": known, "parent": head["version"], "job": job})
    made.heads[species] = files[schema.SPECIES.path(species)] = head
    return files


def versioned_record(record: Json) -> Json:
    """A record with the version of its content."""
    return record | {"version": version_of(record)}
