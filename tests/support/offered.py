"""Things to offer: a virus, a new grid of series, and another lab that receives requests."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
from example_population import maps, particle_set

from mpop.population import Population
from mpop.records import ItemRecord, ParticleSet, SourceRecord, SpeciesRecord
from mpop.requests.chains import PREFIX

VIRUS = "d" * 16


def branch(population: Population, name: str, at: str = "HEAD") -> None:
    """Make or move a branch."""
    ref = f"refs/heads/{name}"
    refs = population.repository.refs
    refs.update({ref: (refs.get(ref), population.repository.resolve(at))}, "test")


def spread(seed: int, n: int, at_A: float) -> ParticleSet:
    """Particles on a line along x at some y and z, 40 A apart."""
    particles = particle_set(seed, n)
    line = np.stack([20.0 + 40.0 * np.arange(n), np.full(n, at_A), np.full(n, at_A)], axis=-1)
    return ParticleSet(particles.id, particles.half, line[:, None], particles.angles_deg, particles.extra)


def ball_maps(seed: int) -> dict[str, np.ndarray]:
    """Half-maps of noise in a mask that is a ball of 20 A radius."""
    radius = np.linalg.norm(np.indices((20, 20, 20)) - 10, axis=0)
    return maps(seed) | {"mask": (radius <= 2).astype(np.float32)}


def add_virus(
    population: Population, items: list[ItemRecord], name: str = "virus", seed: int = 5, at_A: float = 50.0
) -> SpeciesRecord:
    """Stage a species with four particles, 40 A apart, in each of these series."""
    sets = {item.id: population.write_particles(spread(seed + n, 4, at_A)) for n, item in enumerate(items)}
    species = SpeciesRecord(
        id=VIRUS,
        name=name,
        symmetry="I",
        diameter_A=100.0,
        pixel_size_A=10.0,
        box=20,
        maps_object=population.write_group(ball_maps(seed)),
        resolution_A=None,
        particles=sets,
        n_particles=4 * len(sets),
    )
    population.stage([species])
    return population.one_species(VIRUS)


def add_series(
    population: Population, *numbers: int, source: str = "6" * 16, **changed: object
) -> list[ItemRecord]:
    """Stage a source `grid2` of series that have the images of TS_1, but for their order and hashes."""
    template = population.item("1" * 16)
    items = []
    for number in numbers:
        raw = [replace(one, hash=f"{number:x}{n}" * 32) for n, one in enumerate(template.raw)]
        new = {"id": f"{number:x}" * 16, "name": f"TS_{number}", "source": source, "raw": raw}
        new |= {"job": None, "parent": None, "species_versions": {}}
        items.append(template.model_copy(update=new | changed))
    record = SourceRecord(
        id=source,
        name="grid2",
        pixel_size_A=10.0,
        image_shape=(12, 16),
        volume_dims_A=(160.0, 120.0, 100.0),
        items=[item.id for item in items],
    )
    population.stage([record, *items])
    return items


def forged(population: Population, record: SpeciesRecord, at: str = "HEAD") -> str:
    """A commit with a record that no policy was asked about, as a stranger makes it."""
    head = population.repository.resolve(at)
    return population.repository.write_commit(head, population.changes([record], head), [head], "Forged")


def place_ribosome(population: Population, at_A: float = 20.0) -> SpeciesRecord:
    """Stage the ribosome as a ball with particles 40 A apart, and no claim of a resolution."""
    ribosome = population.one_species("ribosome")
    sets = {item: population.write_particles(spread(n, 4, at_A)) for n, item in enumerate(ribosome.particles)}
    new = {"maps_object": population.write_group(ball_maps(0)), "resolution_A": None, "particles": sets}
    population.stage([ribosome.model_copy(update=new | {"parent": ribosome.version})])
    return population.one_species("ribosome")


def other_lab(population: Population, folder: Path, request: str, main: str) -> Population:
    """A population that has `main` and one request, their history and nothing else of Git; all objects."""
    folder.mkdir()
    git = ["git", "-C", str(folder)]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    origin = f"{population.root}/.git"
    branch(population, "for-the-other-lab", main)
    specs = ["refs/heads/for-the-other-lab:refs/heads/main", f"{PREFIX}{request}:{PREFIX}{request}"]
    subprocess.run([*git, "fetch", "-q", "--update-head-ok", origin, *specs], check=True)
    subprocess.run([*git, "reset", "-q", "--hard"], check=True)
    shutil.copytree(population.repository.private / "objects", folder / ".git/mpop/objects")
    return Population.open(folder)
