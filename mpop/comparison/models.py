"""What differs between two models of one tilt series: what varies over it by RMS, single numbers as they are."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpop.geometry.splines import resample_grid
from mpop.records.stack import SeriesModel, StackModel
from mpop.records.tilt_series import LinearGrid4D, SplineGrid, TiltSeriesModel

Array = NDArray[np.float64]


ROUNDING = 1e-9
"""A smaller change, in any unit, is that of the arithmetic."""


@dataclass(frozen=True)
class Quantity:
    """How much something that varies over a series changed: RMS and largest change, in `unit`."""

    name: str
    unit: str
    rms: float
    largest: float


@dataclass(frozen=True)
class ModelChange:
    """quantities: those that changed. settings: name -> (before, after) of the single numbers that did."""

    quantities: list[Quantity]
    settings: dict[str, tuple[Any, Any]]


@dataclass(frozen=True)
class _Kind:
    """fields: the components of a vector. period: after which an angle is the same again."""

    name: str
    unit: str
    fields: tuple[str, ...]
    period: float | None = None


KINDS = (
    _Kind("image warp", "A", ("grid_movement_x", "grid_movement_y")),
    _Kind("volume warp", "A", ("grid_volume_warp_x", "grid_volume_warp_y", "grid_volume_warp_z")),
    _Kind("stage angles", "deg", ("grid_angle_x", "grid_angle_y", "grid_angle_z"), 360.0),
    _Kind("tilt angles", "deg", ("angles_deg",), 360.0),
    _Kind("tilt axis", "deg", ("axis_angle_deg",), 360.0),
    _Kind("image shifts", "A", ("axis_offset_x_A", "axis_offset_y_A")),
    _Kind("exposure", "e-/A^2", ("exposure",)),
    _Kind("defocus", "um", ("grid_ctf",)),
    _Kind("astigmatism", "um", ("grid_ctf_defocus_delta",)),
    _Kind("astigmatism angle", "deg", ("grid_ctf_defocus_angle",), 180.0),
    _Kind("phase shift", "pi", ("grid_ctf_phase",)),
    _Kind("B-factors per tilt", "A^2", ("grid_dose_bfacs",)),
    _Kind("B-factor anisotropy per tilt", "A^2", ("grid_dose_bfacs_delta",)),
    _Kind("B-factor angle per tilt", "deg", ("grid_dose_bfacs_angle",), 180.0),
    _Kind("weights per tilt", "", ("grid_dose_weights",)),
    _Kind("B-factors over the field", "A^2", ("grid_location_bfacs",)),
    _Kind("weights over the field", "", ("grid_location_weights",)),
)
SCALARS = {
    "image_dims_A": "image size, A",
    "volume_dims_A": "tomogram size, A",
    "level_angle_x_deg": "level angle x, deg",
    "level_angle_y_deg": "level angle y, deg",
    "are_angles_inverted": "angles inverted",
    "weight": "weight",
    "bfactor_A2": "B-factor, A^2",
}


STACK_KINDS = (
    _Kind("defocus", "um", ("defocus_um",)),
    _Kind("astigmatism", "um", ("defocus_delta_um",)),
    _Kind("astigmatism angle", "deg", ("defocus_angle_deg",), 180.0),
    _Kind("phase shift", "pi", ("phase_shift_pi",)),
    _Kind("B-factors", "A^2", ("bfactor_A2",)),
    _Kind("scales", "", ("scale",)),
)


def compare_models(before: SeriesModel, after: SeriesModel) -> ModelChange:
    """Everything that differs. Of series with different numbers of tilts only single numbers are compared."""
    if isinstance(before, StackModel) or isinstance(after, StackModel):
        return _compare_stacks(before, after)
    quantities: list[Quantity] = []
    if before.n_tilts == after.n_tilts:
        found = (_quantity(kind, before, after) for kind in KINDS)
        quantities = [one for one in found if one.largest > ROUNDING]
    settings = _settings(before, after)
    if before.n_tilts == after.n_tilts:
        named = {*SCALARS, "magnification", "ctf", *(["use"] if "tilts in use" in settings else [])}
        settings |= _others(before, after, named | _fields_of(KINDS, quantities))
    return ModelChange(quantities, settings)


def _fields_of(kinds: tuple[_Kind, ...], quantities: list[Quantity]) -> set[str]:
    """The fields of a model whose change is among the quantities."""
    named = {one.name for one in quantities}
    return {name for kind in kinds if kind.name in named for name in kind.fields}


def _others(before: SeriesModel, after: SeriesModel, named: set[str]) -> dict[str, tuple[str, str]]:
    """Every field that differs and is not named yet: where it is of another form, or other by rounding alone."""
    found: dict[str, tuple[str, str]] = {}
    for one in fields(before):
        was, now = getattr(before, one.name), getattr(after, one.name)
        if one.name not in named and _parts(was) != _parts(now):
            words = _described(was), _described(now)
            found[one.name] = words if words[0] != words[1] else (words[0], "other numbers")
    return found


def _parts(value: Any) -> Any:
    """What makes two values of a field the same, to the last bit."""
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, value.tobytes()
    if isinstance(value, SplineGrid):
        return _parts(value.values), tuple(value.margin)
    return _parts(value.values) if isinstance(value, LinearGrid4D) else value


def _described(value: Any) -> str:
    """A field in few words."""
    if isinstance(value, SplineGrid | LinearGrid4D):
        nodes = " x ".join(map(str, value.values.shape))
        margin = f", margins {list(value.margin)}" if isinstance(value, SplineGrid) and any(value.margin) else ""
        return f"{nodes} nodes{margin}"
    if isinstance(value, np.ndarray) and value.dtype == bool:
        return f"all but {np.flatnonzero(~value).tolist()}"
    return f"{len(value)} values" if isinstance(value, np.ndarray) else str(value)


def _compare_stacks(before: SeriesModel, after: SeriesModel) -> ModelChange:
    """What differs between stacks, of the images that both list."""
    assert isinstance(before, StackModel)
    assert isinstance(after, StackModel)
    _, old, new = np.intersect1d(before.particle_id, after.particle_id, return_indices=True)
    quantities = []
    if len(old):
        first, second = before.of_images(old), after.of_images(new)
        quantities = [one for kind in STACK_KINDS if (one := _quantity(kind, first, second)).largest > ROUNDING]
    optics = [[asdict(group) for group in model.optics] for model in (before, after)]
    columns = (before.optics_columns, after.optics_columns)
    values = {
        "images": (len(before), len(after)),
        "file": (before.file, after.file),
        "optics": tuple(optics),
        "optics_columns": columns,
    }
    settings: dict[str, tuple[Any, Any]] = {n: (was, now) for n, (was, now) in values.items() if was != now}
    if len(before) == len(after):
        settings |= _others(
            before, after, {"file", "optics", "optics_columns"} | _fields_of(STACK_KINDS, quantities)
        )
    elif before.image_dims_A != after.image_dims_A:
        settings["image_dims_A"] = (before.image_dims_A, after.image_dims_A)
    return ModelChange(quantities, settings)


def _quantity(kind: _Kind, before: SeriesModel, after: SeriesModel) -> Quantity:
    parts = [_difference(getattr(before, name), getattr(after, name)) for name in kind.fields]
    if kind.period is not None:
        half = kind.period / 2
        parts = [(part + half) % kind.period - half for part in parts]
    squared = np.asarray(sum(part**2 for part in np.broadcast_arrays(*parts)))
    return Quantity(kind.name, kind.unit, float(np.sqrt(squared.mean())), float(np.sqrt(squared.max())))


def _difference(before: Any, after: Any) -> Array:
    if isinstance(before, SplineGrid):
        return _of_splines(before, after)
    if isinstance(before, LinearGrid4D):
        return _of_linear(before, after)
    return np.asarray(after, np.float64) - np.asarray(before, np.float64)


def _of_splines(before: SplineGrid, after: SplineGrid) -> Array:
    """At the nodes where both have the same, or one of them is constant; else where the finer of both has them."""
    if _share_nodes(before.values, after.values) and before.margin == after.margin:
        return after.values - before.values
    n_z, n_y, n_x = np.maximum(before.values.shape, after.values.shape)
    first, second = (resample_grid(grid, int(n_x), int(n_y), int(n_z)).values for grid in (before, after))
    return second - first


def _of_linear(before: LinearGrid4D, after: LinearGrid4D) -> Array:
    if _share_nodes(before.values, after.values):
        return after.values - before.values
    from scipy.interpolate import RegularGridInterpolator

    axes = [np.linspace(0, 1, max(n, 2)) for n in np.maximum(before.values.shape, after.values.shape)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)

    def sampled(values: Array) -> Array:
        # an axis of one node is constant
        doubled = np.broadcast_to(values, [max(n, 2) for n in values.shape])
        return RegularGridInterpolator([np.linspace(0, 1, n) for n in doubled.shape], doubled)(points)

    return sampled(after.values) - sampled(before.values)


def _share_nodes(before: Array, after: Array) -> bool:
    return all(m == n or 1 in (m, n) for m, n in zip(before.shape, after.shape, strict=True))


def _settings(before: TiltSeriesModel, after: TiltSeriesModel) -> dict[str, tuple[Any, Any]]:
    was, now = _scalars(before), _scalars(after)
    return {name: (was[name], now[name]) for name in now if was[name] != now[name]}


def _scalars(model: TiltSeriesModel) -> dict[str, Any]:
    values: dict[str, Any] = {"tilts": model.n_tilts, "tilts in use": int(model.use.sum())}
    values |= {label: getattr(model, name) for name, label in SCALARS.items()}
    values["magnification"] = np.asarray(model.magnification).tolist()
    return values | {f"CTF {name}": value for name, value in asdict(model.ctf).items()}
