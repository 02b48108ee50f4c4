"""A merge that waits for decisions: one small file, written in one step, so that it survives whatever happens."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mpop.errors import StateError, StoreError
from mpop.merging.conflicts import WAYS, Way
from mpop.merging.three_way import Side
from mpop.population import Population
from mpop_store.durable import TEMPORARY, fsync
from mpop_store.hashing import parse_json

FORMAT = 2


@dataclass(frozen=True)
class MergeState:
    """What a waiting merge needs to go on. conflicts: key -> what and why, as found; revision: as it was given."""

    ours: str
    theirs: str
    bases: list[str]
    revision: str
    unrelated: bool = False
    default: Side | None = None
    message: str | None = None
    resolutions: dict[str, Way] = field(default_factory=dict)
    conflicts: dict[str, str] = field(default_factory=dict)


def waiting_merge(population: Population) -> MergeState | None:
    """The merge that waits, if one does. One whose branch has moved on is over."""
    if not population.merging:
        return None
    return _parse(population.merge_file)


def keep(population: Population, state: MergeState) -> None:
    """Write the state; a crash leaves the old one or the new one."""
    target = population.merge_file
    temporary = target.with_name(f"{TEMPORARY}{target.name}")
    try:
        temporary.write_text(json.dumps({"format": FORMAT, **asdict(state)}, indent=1))
        fsync(temporary)
        os.replace(temporary, target)
        fsync(target.parent)
    except OSError as error:
        raise StoreError(f"cannot keep the state of the merge in {target}: {error.strerror or error}") from error


def forget(population: Population) -> None:
    """The merge is over."""
    population.merge_file.unlink(missing_ok=True)


def _parse(path: Path) -> MergeState:
    try:
        values = parse_json(path.read_bytes())
        if values.pop("format") != FORMAT:
            raise ValueError("format")
        state = MergeState(**values)
        if not set(state.resolutions.values()) <= set(WAYS):
            raise ValueError("resolutions")
        return state
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise StateError(f"{path} is not a merge that this mpop wrote; `mpop merge --abort` removes it") from error
