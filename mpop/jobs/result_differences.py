"""How far the result of a job that was run again is from the recorded one: its figures, sentences and arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class ResultDifference:
    """A figure, sentence or array that came out otherwise.

    name: with dots, of what lies deeper. recorded, again: plain values; None for arrays and lists, and for what is
    not there. relative: RMS of the difference over the RMS of the recorded; None for sentences, and where shapes
    or kinds differ.
    """

    name: str
    recorded: Any
    again: Any
    relative: float | None


def result_differences(
    recorded: Mapping[str, Any], again: Mapping[str, Any], arrays: Arrays, arrays_again: Arrays
) -> list[ResultDifference]:
    """Of plain JSON values first, then of arrays; both in the order of their names."""
    values, values_again = dict(_flat(recorded)), dict(_flat(again))
    return [*_between(values, values_again), *_between(arrays, arrays_again)]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _between(recorded: Mapping[str, Any], again: Mapping[str, Any]) -> Iterator[ResultDifference]:
    for name in sorted(recorded.keys() | again.keys()):
        one, other = recorded.get(name), again.get(name)
        if not _same(one, other):
            yield ResultDifference(name, _shown(one), _shown(other), _relative(one, other))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    return _kind(one) is _kind(other) and one == other


def _kind(value: Any) -> type:
    """JSON knows one kind of number: a record holds 0.0 as 0."""
    return float if type(value) is int else type(value)


def _shown(value: Any) -> Any:
    return None if isinstance(value, np.ndarray | list) else value


def _relative(one: Any, other: Any) -> float | None:
    try:
        first, second = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    except (TypeError, ValueError):
        return None
    apart = first - second if first.shape == second.shape else np.array(np.nan)
    size = np.sqrt(np.mean(np.square(first))) if first.size else 0.0
    found = float(np.sqrt(np.mean(np.square(apart))) / size) if apart.size and size > 0 else np.nan
    return found if np.isfinite(found) else None
