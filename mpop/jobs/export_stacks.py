"""`mpop export relion`: the poses of stack particles as RELION 3.1 and later read them.

Optics groups come back as they were imported, with their numbers, names and all that mpop does not model; so do
the columns of particles that it does not use. Where two groups have one number, the later gets a free one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mpop.errors import StateError
from mpop.formats.stack_tables import OPTICS, SAME
from mpop.formats.star import write_star
from mpop.jobs.exporting import file_name, write_all
from mpop.population import Population
from mpop.records.models import ItemRecord, SourceRecord, SpeciesRecord
from mpop.records.stack import StackModel
from mpop.records.tilt_series import CTFModel, ParticleSet
from mpop.series.stack import images_of
from mpop_store import canonical_json
from mpop_store.paths import inside, refuse_same_files

Value = str | float | int

FROM_MODEL = ("rlnImageName", "rlnOpticsGroup")
"""Columns that are made from the stack, not copied from the imported table."""
NUMBER, NAME = "rlnOpticsGroup", "rlnOpticsGroupName"


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
    groups = _OpticsGroups()
    models = {item.id: population.model(item) for item in items}
    numbers: dict[str, list[int]] = {}
    for item in items:
        model, source = models[item.id], sources[item.source]
        assert isinstance(model, StackModel)
        rows = [_optics_row(model, group, source) for group in range(len(model.optics))]
        numbers[item.id] = [groups.number(row) for row in rows]
        for row in model.optics_columns[len(model.optics) :]:
            groups.number(row)
    tables = []
    for item in items:
        model = models[item.id]
        assert isinstance(model, StackModel)
        particles = population.particles(species, item.id)
        tables.append(_rows(model, particles, sources[item.source], np.array(numbers[item.id])))
    path = inside(folder, f"{file_name(species.name)}_particles.star")
    write_star(path, {"optics": groups.table(), "particles": _joined(tables)})


class _OpticsGroups:
    """The optics groups of a table, each once."""

    def __init__(self) -> None:
        self._rows: dict[int, dict[str, Value]] = {}
        self._known: dict[bytes, int] = {}

    def number(self, row: dict[str, Value]) -> int:
        """Of a group: its own, if it has one and no other group has taken it."""
        key = canonical_json(row)
        if key not in self._known:
            wanted = row.get(NUMBER)
            free = next(n for n in range(1, len(self._rows) + 2) if n not in self._rows)
            number = wanted if isinstance(wanted, int) and wanted not in self._rows else free
            self._known[key] = number
            self._rows[number] = {NUMBER: number, **row} | {NUMBER: number, NAME: self._name(row, number)}
        return self._known[key]

    def _name(self, row: dict[str, Value], number: int) -> str:
        """RELION joins groups of one name: the name of another group is not taken."""
        name = str(row.get(NAME, f"opticsGroup{number}"))
        taken = {str(other[NAME]) for other in self._rows.values()}
        while name in taken:
            name += f"_{number}"
        return name

    def table(self) -> pd.DataFrame:
        """By number; columns that only some groups have are 0 in the others, as RELION fills them."""
        rows = [self._rows[number] for number in sorted(self._rows)]
        names = list(dict.fromkeys(name for row in rows for name in row))
        return pd.DataFrame(
            {name: _written([row.get(name, _absent(rows, name)) for row in rows]) for name in names}
        )


def _absent(rows: list[dict[str, Value]], name: str) -> Value:
    """What a column is where a group does not have it."""
    return "None" if any(isinstance(row.get(name), str) for row in rows) else 0


def _optics_row(model: StackModel, group: int, source: SourceRecord) -> dict[str, Value]:
    """A group as it was imported, with what mpop uses of it."""
    row = dict(model.optics_columns[group]) if model.optics_columns else {}
    optics: CTFModel = model.optics[group]
    used = {
        **dict(zip(OPTICS, (optics.voltage_kV, optics.cs_mm, optics.amplitude_contrast), strict=True)),
        "rlnImagePixelSize": source.pixel_size_A,
        "rlnImageSize": source.image_shape[0],
        "rlnImageDimensionality": 2,
    }
    for name, value in used.items():
        there = row.get(name)
        if not isinstance(there, int | float) or abs(there - value) > SAME * abs(value):
            row[name] = value
    return row


def _joined(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """All rows; a column that only some stacks have is 0, or None in words, in the others."""
    joined = pd.concat(tables, ignore_index=True)
    for name in joined.columns[joined.isna().any()]:
        is_text = any(
            table[name].map(lambda value: isinstance(value, str)).any() for table in tables if name in table
        )
        joined[name] = joined[name].astype(object).where(joined[name].notna(), "None" if is_text else 0)
    return joined


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
    columns |= {name: _written(values) for name, values in particles.extra.items() if name not in FROM_MODEL}
    return pd.DataFrame(columns)


def _written(values: list[Value]) -> list[Value]:
    """Values that are read again as what they are: numbers with six decimals, or as many as they need."""
    if not any(isinstance(value, float) for value in values):
        return values
    return [_number(value) if isinstance(value, float) else value for value in values]


def _number(value: float) -> str:
    short = f"{value:.6f}"
    return short if float(short) == value else repr(value)
