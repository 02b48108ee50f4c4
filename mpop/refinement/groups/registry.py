"""All parameter groups, by the option of a refinement that chooses them.

A group is refined when its option says so. Offsets are applied in the order of this table. To add a group, write
its module and its line here (docs/how-to/add-a-parameter-group.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mpop.errors import InputError
from mpop.refinement.groups.global_warp import GlobalWarp
from mpop.refinement.groups.group import ParameterGroup
from mpop.refinement.groups.local_warp import LocalWarp
from mpop.refinement.groups.positions import Positions
from mpop.refinement.groups.rotations import Rotations
from mpop.refinement.groups.stage_angles import StageAngles


@dataclass(frozen=True)
class Choice:
    """An option of a refinement. default: its value where none is given. groups: what a value chooses."""

    default: Any
    groups: Callable[[Any], Sequence[ParameterGroup]]


def _image_warp(nodes: tuple[int, int] | None) -> Sequence[ParameterGroup]:
    """nodes: of the local warp along x and y; None: no warp at all."""
    return () if nodes is None else (GlobalWarp(), LocalWarp(*nodes))


REGISTRY: dict[str, Choice] = {
    "image_warp": Choice((4, 4), _image_warp),
    "stage_angles": Choice(True, lambda on: (StageAngles(),) if on else ()),
    "poses": Choice(True, lambda on: (Positions(), Rotations()) if on else ()),
}


def defaults() -> dict[str, Any]:
    """The value of every option where none is given."""
    return {name: choice.default for name, choice in REGISTRY.items()}


def chosen_groups(values: Mapping[str, Any]) -> tuple[ParameterGroup, ...]:
    """The groups that values of options choose; those of options that are not named are left out.

    Raises InputError for an option that is not in the table.
    """
    unknown = values.keys() - REGISTRY.keys()
    if unknown:
        raise InputError(f"no parameter group is called {sorted(unknown)[0]}; there are {', '.join(REGISTRY)}")
    return tuple(
        group for name, choice in REGISTRY.items() if name in values for group in choice.groups(values[name])
    )
