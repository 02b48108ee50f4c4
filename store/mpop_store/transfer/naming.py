"""From records to the objects that they name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mpop_store.arrays.manifests import group_objects
from mpop_store.errors import DamagedObjectError
from mpop_store.git.history import History
from mpop_store.objects.loose import NAME
from mpop_store.objects.store import ObjectStore
from mpop_store.references import References, ReferencesOf
from mpop_store.transfer.walking import FileChange, NewCommit

Select = Callable[[str, Mapping[str, Any]], References]
"""What is wanted of a record: its path, the record -> what to bring."""


@dataclass
class Named:
    """Objects that records name, each once, in the order in which they were met."""

    groups: dict[str, None] = field(default_factory=dict)
    files: dict[str, None] = field(default_factory=dict)
    derived: dict[str, None] = field(default_factory=dict)

    def add(self, references: References) -> None:
        """Take in what one more record names."""
        self.groups.update(dict.fromkeys(references.groups))
        self.files.update(dict.fromkeys(references.files))
        self.derived.update(dict.fromkeys(references.derived))

    def join(self, other: Named) -> None:
        """Take in all that another one holds."""
        self.groups |= other.groups
        self.files |= other.files
        self.derived |= other.derived


def is_record(path: str) -> bool:
    """Whether a file of this path holds a record."""
    return path.endswith(".json")


def everything(references_of: ReferencesOf) -> Select:
    """All that a record names."""
    return lambda path, record: references_of(record)


def named_in(history: History, changes: Iterable[FileChange], select: Select) -> Named:
    """What the new records of some changes name. Raises DamagedObjectError for what is not a record."""
    found = Named()
    seen: set[str] = set()
    for change in changes:
        if change.new is not None and change.new not in seen and is_record(change.path):
            seen.add(change.new)
            found.add(references_in(history.load(change.new), change.path, select))
    return found


def references_in(record: Mapping[str, Any], path: str, select: Select) -> References:
    """What a record names, by its path. Raises DamagedObjectError when it is not what a record should be."""
    try:
        found = select(path, record)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DamagedObjectError(f"{path} is not a record that this mpop reads") from error
    for name in (*found.groups, *found.files, *found.derived):
        if not isinstance(name, str) or NAME.fullmatch(name) is None:
            raise DamagedObjectError(f"{path} names {name!r:.80}, which is not an object")
    return found


def objects_named_by(history: History, commits: Sequence[NewCommit], references_of: ReferencesOf) -> list[str]:
    """Every object, parts of groups too, that commits name and the commits before did not name."""
    select = everything(references_of)
    changes = [change for commit in commits for change in commit.changes]
    new = named_in(history, changes, select)
    before = (FileChange(one.path, one.mode, None, one.old) for one in changes if one.old is not None)
    old = named_in(history, before, select)
    names = [name for name in new.files if name not in old.files]
    for group in new.groups:
        if group not in old.groups:
            names += group_parts(history.objects, group)
    return names


def group_parts(objects: ObjectStore, group: str) -> list[str]:
    """A group and the objects that it consists of, its manifest last. Raises DamagedObjectError."""
    manifest, *parts = group_objects(objects, group)
    return [*parts, manifest]
