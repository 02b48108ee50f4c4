"""`mpop export relion`: the poses of stack particles as RELION 3.1 and later read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mpop.errors import StateError
from mpop.formats.star import write_star
from mpop.jobs.exporting import file_name, write_all
from mpop.population import Population
from mpop.records.models import ItemRecord, SourceRecord, SpeciesRecord
from mpop.records.stack import StackModel
from mpop.records.tilt_series import CTFModel, ParticleSet
from mpop.refinement.views import images_of
from mpop_store.paths import inside, refuse_same_files

FROM_MODEL = ("rlnImageName", "rlnOpticsGroup")
"""Columns that are made from the stack, not copied from the imported table."""


def export_relion(
    population: Population, directory: str | Path, at: str | None = None, force: bool = False
) -> list[Path]:
    """`<species>_particles.star` of every species that has particles in stacks.

    Names of images are those of the imported table: they count from where that did. Raises StateError when there
    are no such particles.
    """
    species, items, sources = population.species(at), population.items(at), population.sources(at)
    stacks = {item.id: item for item in items.values() if sources[item.source].type == "particle-stack"}
    chosen = [one for one in species.values() if stacks.keys() & one.particles.keys()]
    if not chosen:
        raise StateError("no species has particles in a stack; `mpop export warp` writes those of tilt series")
    refuse_same_files("species", [file_name(one.name) for one in chosen])

    def write(folder: Path) -> None:
        for one in chosen:
            held = [stacks[item] for item in one.particles if item in stacks]
            _write(population, one, sorted(held, key=lambda item: (item.name, item.id)), sources, folder)

    return write_all(Path(directory), force, write)


def _write(
    population: Population,
    species: SpeciesRecord,
    items: list[ItemRecord],
    sources: dict[str, SourceRecord],
    folder: Path,
) -> None:
    groups: dict[tuple[CTFModel, float, int], int] = {}
    tables = []
    for item in items:
        model, source = population.model(item), sources[item.source]
        assert isinstance(model, StackModel)
        numbers = [
            groups.setdefault((optics, source.pixel_size_A, source.image_shape[0]), len(groups) + 1)
            for optics in model.optics
        ]
        tables.append(_rows(model, population.particles(species, item.id), source, np.array(numbers)))
    particles = pd.concat(tables, ignore_index=True)
    path = inside(folder, f"{file_name(species.name)}_particles.star")
    write_star(path, {"optics": _optics(groups), "particles": particles})


def _optics(groups: dict[tuple[CTFModel, float, int], int]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "rlnOpticsGroup": number,
                "rlnOpticsGroupName": f"opticsGroup{number}",
                "rlnImagePixelSize": pixel,
                "rlnVoltage": optics.voltage_kV,
                "rlnSphericalAberration": optics.cs_mm,
                "rlnAmplitudeContrast": optics.amplitude_contrast,
                "rlnImageSize": size,
                "rlnImageDimensionality": 2,
            }
            for (optics, pixel, size), number in groups.items()
        ]
    )


def _rows(model: StackModel, particles: ParticleSet, source: SourceRecord, groups: np.ndarray) -> pd.DataFrame:
    """The rows of the particles of one stack; groups: numbers of its optics groups in the table."""
    image = images_of(model, particles)
    pixel, size = source.pixel_size_A, source.image_shape[0]
    origin = size // 2 * pixel - particles.position_A[:, 0, :2]
    rot, tilt, psi = particles.angles_deg[:, 0].T
    defocus, half_delta = 1e4 * model.defocus_um[image], 0.5e4 * model.defocus_delta_um[image]
    columns: dict[str, object] = {
        "rlnImageName": [f"{number + 1:06d}@{model.file}" for number in model.image[image].tolist()],
        "rlnAngleRot": rot,
        "rlnAngleTilt": tilt,
        "rlnAnglePsi": psi,
        "rlnOriginXAngst": origin[:, 0],
        "rlnOriginYAngst": origin[:, 1],
        "rlnDefocusU": defocus + half_delta,
        "rlnDefocusV": defocus - half_delta,
        "rlnDefocusAngle": model.defocus_angle_deg[image],
        "rlnPhaseShift": 180 * model.phase_shift_pi[image],
        "rlnCtfBfactor": -model.bfactor_A2[image],
        "rlnCtfScalefactor": model.scale[image],
        "rlnRandomSubset": particles.half,
        "rlnOpticsGroup": groups[model.optics_group[image]],
    }
    columns |= {name: values for name, values in particles.extra.items() if name not in FROM_MODEL}
    return pd.DataFrame(columns)
