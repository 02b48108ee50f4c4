"""Arrays are as large as their record says, looked at before any is read into memory.

A chunk of zeros takes no place in the store, so a few bytes can claim to be a volume of any size. Maps are cubes
of their box, the columns of a particle table are equally long, everything else has a bound. Asked about what
comes from others; what is committed here was written by mpop.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mpop_hooks.columns import EXTRA, MAX_COLUMNS, problem_with_columns, problem_with_name
from mpop_hooks.proposal import Proposal, Record
from mpop_hooks.schema import particle_groups, references_of
from mpop_hooks.violations import Violation
from mpop_store import MpopError, ObjectStore
from mpop_store.arrays.layout import Layout
from mpop_store.arrays.manifests import METADATA, Entries, read_manifest, read_value
from mpop_store.hashing import parse_json

RULE = "arrays-bounded"
ADVICE = "do not accept this from anybody who cannot explain it"

VOLUMES = ("half1", "half2", "mask", "filtered")
MAX_GROUP_BYTES = 2**35
"""Of all arrays of a group in memory: four maps of 1024^3 voxels take half of it."""
MAX_SAMPLES = 1000
"""Along the trajectory of a particle."""


def check(proposal: Proposal) -> Iterator[Violation]:
    """Findings for new groups of arrays that cannot be what they are named as."""
    if proposal.event == "commit":
        return
    for path, record in proposal.records.items():
        old = proposal.before.get(path, {})
        before = set(references_of(old).groups) if old.get("box") == record.get("box") else set()
        particles = set(particle_groups(record).values())
        for name in sorted(set(references_of(record).groups) - before):
            try:
                entries = read_manifest(proposal.objects, name)
                layouts = _layouts(proposal.objects, entries)
                columns = _columns(proposal.objects, entries) if name in particles else {}
            except MpopError:
                continue  # objects_complete says so
            except (LookupError, TypeError, ValueError) as error:
                yield Violation(RULE, path, f"group {name} holds something that is no array: {error}", ADVICE)
                continue
            problem = _problem(layouts, record, name in particles, name == record.get("maps_object"))
            if problem is None and name in particles:
                problem = problem_with_columns(columns, layouts["id"].shape[0])
            if problem is not None:
                yield Violation(RULE, path, f"group {name}: {problem}", ADVICE)


def _layouts(objects: ObjectStore, entries: Entries) -> dict[str, Layout]:
    """Array name -> its layout, of all arrays of a group."""
    documents = {key: entry for key, entry in entries.items() if key.endswith(f"/{METADATA}")}
    return {
        key.removesuffix(f"/{METADATA}"): Layout.parse(parse_json(read_value(objects, entry)))
        for key, entry in documents.items()
    }


def _columns(objects: ObjectStore, entries: Entries) -> Any:
    """What a table of particles keeps for export: columns by name, if it is what mpop writes."""
    document = parse_json(read_value(objects, entries[METADATA]))
    return document["attributes"]["extra"]


def _problem(layouts: dict[str, Layout], record: Record, is_particles: bool, is_maps: bool) -> str | None:
    if sum(layout.nbytes for layout in layouts.values()) > MAX_GROUP_BYTES:
        return f"its arrays would take more than {MAX_GROUP_BYTES // 2**30} GiB"
    shapes = {array: layout.shape for array, layout in layouts.items()}
    if is_maps and (box := record.get("box")):
        wrong = [array for array in VOLUMES if array in shapes and shapes[array] != (box,) * 3]
        return f"{wrong[0]} is not a cube of {box} voxels" if wrong else None
    return _table_problem(shapes) if is_particles else None


def _table_problem(shapes: dict[str, tuple[int, ...]]) -> str | None:
    """What is wrong with a table of particles."""
    missing = [column for column in ("id", "half", "position_A", "angles_deg") if column not in shapes]
    if missing:
        return f"a table of particles without {missing[0]}"
    rows = shapes["id"]
    poses = {shapes["position_A"], shapes["angles_deg"]}
    if len(rows) != 1 or shapes["half"] != rows or len(poses) != 1:
        return "the columns of this table of particles are not equally long"
    (pose,) = poses
    if len(pose) != 3 or pose[::2] != (*rows, 3) or not 1 <= pose[1] <= MAX_SAMPLES:
        return "particles need positions and angles as x, y, z and rot, tilt, psi"
    return _columns_problem(shapes, rows)


def _columns_problem(shapes: dict[str, tuple[int, ...]], rows: tuple[int, ...]) -> str | None:
    """What is wrong with columns of numbers that are kept for export."""
    columns = {name.removeprefix(EXTRA): shape for name, shape in shapes.items() if name.startswith(EXTRA)}
    if len(columns) > MAX_COLUMNS:
        return f"it has more than {MAX_COLUMNS} further columns"
    for name, shape in columns.items():
        if problem := problem_with_name(name):
            return problem
        if shape != rows:
            return f"its column {name} does not have {rows[0]} values"
    return None
