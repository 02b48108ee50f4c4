"""The in-memory models as named arrays, the form in which they are stored, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpop.errors import InputError, StateError
from mpop.records.stack import SHARED, SeriesModel, StackModel
from mpop.records.tilt_series import CTFModel, LinearGrid4D, ParticleSet, SplineGrid, TiltSeriesModel
from mpop_hooks.columns import EXTRA, problem_with_columns

Arrays = dict[str, NDArray[Any]]


def tilt_series_to_arrays(model: TiltSeriesModel) -> tuple[Arrays, dict[str, Any]]:
    """Arrays and attributes of a model: arrays and grids by field name, scalars as attributes."""
    arrays: Arrays = {}
    attributes: dict[str, Any] = {"ctf": asdict(model.ctf), "margins": {}}
    for field in fields(model):
        value = getattr(model, field.name)
        if isinstance(value, SplineGrid | LinearGrid4D):
            arrays[field.name] = value.values
            if isinstance(value, SplineGrid) and any(value.margin):
                attributes["margins"][field.name] = list(value.margin)
        elif isinstance(value, np.ndarray):
            arrays[field.name] = value
        elif not isinstance(value, CTFModel):
            attributes[field.name] = value
    return arrays, json.loads(json.dumps(attributes))


def tilt_series_from_arrays(arrays: Mapping[str, NDArray[Any]], attributes: Mapping[str, Any]) -> TiltSeriesModel:
    """Inverse of `tilt_series_to_arrays`."""
    values: dict[str, Any] = {}
    for field in fields(TiltSeriesModel):
        if field.name == "ctf":
            values["ctf"] = _ctf(attributes["ctf"])
        elif field.name.startswith("grid_volume_warp"):
            values[field.name] = LinearGrid4D(arrays[field.name])
        elif field.name.startswith("grid_"):
            margin = attributes["margins"].get(field.name, (0.0, 0.0, 0.0))
            values[field.name] = SplineGrid(arrays[field.name], tuple(margin))
        elif field.name in arrays:
            values[field.name] = arrays[field.name]
        else:
            value = attributes[field.name]
            values[field.name] = tuple(value) if isinstance(value, list) else value
    return TiltSeriesModel(**values)


def stack_to_arrays(model: StackModel) -> tuple[Arrays, dict[str, Any]]:
    """Arrays and attributes of a stack: what there is one of per image as arrays, the rest as attributes."""
    arrays = {name: getattr(model, name) for name in _per_image()}
    attributes = {
        "file": model.file,
        "optics": [asdict(group) for group in model.optics],
        "image_dims_A": list(model.image_dims_A),
    }
    if model.optics_columns:
        attributes["optics_columns"] = list(model.optics_columns)
    return arrays, json.loads(json.dumps(attributes))


def stack_from_arrays(arrays: Mapping[str, NDArray[Any]], attributes: Mapping[str, Any]) -> StackModel:
    """Inverse of `stack_to_arrays`."""
    width, height = attributes["image_dims_A"]
    return StackModel(
        **{name: arrays[name] for name in _per_image()},
        file=_plain_text(attributes["file"]),
        optics=tuple(_ctf(group) for group in attributes["optics"]),
        image_dims_A=(width, height),
        optics_columns=tuple(_plain_row(row) for row in attributes.get("optics_columns", ())),
    )


def _plain_text(text: Any) -> str:
    """Text in one line. Raises ValueError."""
    if not isinstance(text, str) or not text.isprintable():
        raise ValueError(f"{text!r} is no name of a file")
    return text


def _plain_row(row: Any) -> dict[str, str | float | int]:
    """A row of a table by column. Raises ValueError for what could not be exported."""
    if problem := problem_with_columns({name: [value] for name, value in row.items()}, 1):
        raise ValueError(problem)
    return dict(row)


def _per_image() -> list[str]:
    return [field.name for field in fields(StackModel) if field.name not in SHARED]


def model_from_arrays(arrays: Mapping[str, NDArray[Any]], attributes: Mapping[str, Any]) -> SeriesModel:
    """The model of an item, of either kind. Raises StateError for what is neither."""
    with _refusing("no model of a tilt series or a stack"):
        if "optics" in attributes:
            return stack_from_arrays(arrays, attributes)
        return tilt_series_from_arrays(arrays, attributes)


def _ctf(attributes: Mapping[str, Any]) -> CTFModel:
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in attributes.items()
    }
    return CTFModel(**values)


def particles_to_arrays(particles: ParticleSet) -> tuple[Arrays, dict[str, Any]]:
    """Arrays and attributes of a particle set. Foreign columns of numbers are arrays, others are attributes.

    Raises InputError for columns that could not be exported.
    """
    if problem := problem_with_columns(particles.extra, len(particles)):
        raise InputError(f"particles cannot be kept: {problem}")
    arrays: Arrays = {
        "id": particles.id,
        "half": particles.half,
        "position_A": particles.position_A,
        "angles_deg": particles.angles_deg,
    }
    text: dict[str, Any] = {}
    for name, values in particles.extra.items():
        kinds = set(map(type, values))
        if kinds and kinds <= {int, float}:
            arrays[EXTRA + name] = np.array(values, dtype=np.int64 if kinds == {int} else np.float64)
        else:
            text[name] = values
    return arrays, {"extra": json.loads(json.dumps(text))}


def particles_from_arrays(arrays: Mapping[str, NDArray[Any]], attributes: Mapping[str, Any]) -> ParticleSet:
    """Inverse of `particles_to_arrays`. Raises StateError for what cannot be used, or exported."""
    with _refusing("no table of particles"):
        table = arrays["id"], arrays["half"], arrays["position_A"], arrays["angles_deg"]
        rows, text = len(arrays["id"]), attributes["extra"]
        numbers = {
            name.removeprefix(EXTRA): array.tolist() for name, array in arrays.items() if name.startswith(EXTRA)
        }
        if problem := problem_with_columns(text, rows) or problem_with_columns(numbers, rows):
            raise ValueError(problem)
        if twice := text.keys() & numbers.keys():
            raise ValueError(f"its column {min(twice)} is there twice")
    return ParticleSet(*table, {**text, **numbers})


def maps_of_species(arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """half1, half2, mask (z, y, x), and what else a species has. Raises StateError for what is no maps."""
    with _refusing("no maps of a species"):
        for name in ("half1", "half2", "mask"):
            if arrays[name].ndim != 3:
                raise ValueError(f"{name} is no map")
    return dict(arrays)


@contextmanager
def _refusing(what: str) -> Iterator[None]:
    """A group that somebody else wrote may hold anything."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StateError(f"a group holds {what} that this mpop can use ({error}); ask who made it") from error
