"""A population made by hand in milliseconds: one source of two series, one species, an import and a refinement."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np

from mpop.population import Population, versioned
from mpop.records import (
    FailedSeries,
    ItemRecord,
    JobRecord,
    ParticleSet,
    RawImage,
    SourceRecord,
    SpeciesRecord,
    TiltSeriesModel,
)
from mpop_store import hash_file

TILTS = 3
SHAPE = (12, 16)


def model(bend_A: float = 0.0) -> TiltSeriesModel:
    """A series of three tilts; bend_A: some number that differs between versions."""
    return TiltSeriesModel(
        angles_deg=np.array([-30.0, 0.0, 30.0]),
        exposure=np.array([3.0, 0.0, 6.0]),
        use=np.ones(TILTS, bool),
        axis_angle_deg=np.full(TILTS, 85.0),
        axis_offset_x_A=np.full(TILTS, bend_A),
        axis_offset_y_A=np.zeros(TILTS),
        image_dims_A=(160.0, 120.0),
        volume_dims_A=(160.0, 120.0, 100.0),
    )


def particle_set(seed: int, n: int = 4) -> ParticleSet:
    """Particles of alternating halves at random places."""
    random = np.random.default_rng(seed)
    return ParticleSet(
        id=random.integers(0, 2**63, n, dtype=np.uint64) * 2 + 1,
        half=np.resize(np.array([1, 2], np.uint8), n),
        position_A=random.uniform(0, 100, (n, 1, 3)),
        angles_deg=random.uniform(0, 180, (n, 1, 3)),
        extra={"rlnClassNumber": list(range(n)), "rlnMicrographName": ["a b"] * n},
    )


def maps(seed: int, resolution_A: float = 25.0) -> dict[str, np.ndarray]:
    """Volumes of 20^3 voxels, large enough not to be kept inside the manifest, and an FSC of some resolution."""
    random = np.random.default_rng(seed)
    volumes = {name: random.normal(size=(20, 20, 20)).astype(np.float32) for name in ("half1", "half2", "mask")}
    return volumes | {"fsc": fsc_rows(resolution_A)}


def fsc_rows(resolution_A: float) -> np.ndarray:
    """FSC curves (5, 11), straight lines that cross 0.143 at a resolution."""
    frequency = np.linspace(0.0, 2 / resolution_A, 11)
    return np.stack([frequency, *[1 - 0.857 * resolution_A * frequency] * 4])


def make_population(folder: Path) -> Population:
    """The population in folder/population, its images in folder/images; one commit, `Import`."""
    population = Population.init(folder / "population", "example")
    items = [_item(population, folder / "images", number) for number in (1, 2)]
    source = SourceRecord(
        id="5" * 16,
        name="grid1",
        pixel_size_A=10.0,
        image_shape=SHAPE,
        volume_dims_A=(160.0, 120.0, 100.0),
        items=[item.id for item in items],
    )
    species = SpeciesRecord(
        id="a" * 16,
        name="ribosome",
        symmetry="C1",
        diameter_A=100.0,
        pixel_size_A=10.0,
        box=20,
        maps_object=population.write_group(maps(0)),
        resolution_A=25.0,
        particles={item.id: population.write_particles(particle_set(n)) for n, item in enumerate(items)},
        n_particles=8,
    )
    population.stage([source, *items, species])
    population.commit("Import")
    return population


def _item(population: Population, folder: Path, number: int) -> ItemRecord:
    folder.mkdir(exist_ok=True)
    raw = []
    for tilt in range(TILTS):
        path = folder / f"TS_{number}_{tilt}.mrc"
        image = np.random.default_rng([number, tilt]).normal(size=SHAPE).astype(np.float32)
        with mrcfile.new(path) as file:
            file.set_data(image)
            file.header.label[:] = b""  # holds the time
        raw.append(RawImage(path=f"../images/{path.name}", hash=hash_file(path), size=path.stat().st_size))
    return ItemRecord(
        id=f"{number}" * 16,
        name=f"TS_{number}",
        source="5" * 16,
        raw=raw,
        model_object=population.write_tilt_series(model()),
        attachments={"warp.xml": population.objects.put(b"<TiltSeries />" + bytes([number]))},
    )


def refine(population: Population) -> str:
    """Commit what a refinement would: a job, new series, a new species, and the edges between them."""
    head = population.repository.head
    assert head is not None
    (species,) = population.species().values()
    failed = population.item("TS_2")
    job = versioned(
        JobRecord(
            id="b" * 16,
            verb="refine",
            parameters={"image_warp": [4, 4]},
            seed=7,
            inputs={},
            software={"mpop": "0.1.0"},
            device="cpu",
            threads=2,
            wall_s=12.0,
            peak_GiB=1.5,
            score_before=1.0,
            score_after=2.0,
            resolution_before_A={"ribosome": 25.0},
            resolution_after_A={"ribosome": 12.5},
            failed=[FailedSeries(item=failed.id, name=failed.name, reason="NaN in tilt 2")],
        )
    )
    item = population.item("TS_1")
    item = versioned(
        item.model_copy(
            update={
                "model_object": population.write_tilt_series(model(2.5)),
                "species_versions": {species.id: species.version},
                "parent": item.version,
                "job": job.id,
            }
        )
    )
    new = species.model_copy(
        update={
            "maps_object": population.write_group(maps(1, 12.5)),
            "resolution_A": 12.5,
            "item_versions": {item.id: item.version},
            "parent": species.version,
            "job": job.id,
            "derived": {"sums": {"5" * 16: {"key": "k", "group": population.write_group(maps(2))}}},
        }
    )
    return population.commit_records([item, new, job], "Refine", since=head)
