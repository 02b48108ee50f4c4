"""What a record type says of its records: where they live, what their fields must be, what they name.

A type is a class whose annotations are its fields, each with marks of what it must be and what it names
(`mpop_hooks.schema` holds them all). Nothing here builds such a class: the layer above makes models of them, and
this one looks at records as plain JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from string import Formatter
from typing import Any, Literal, dataclass_transform, get_type_hints

from mpop_hooks.fields import Condition, OrNone, WithFields, a_hash
from mpop_store.references import References

Record = Mapping[str, Any]

NamesOf = Callable[[Any], Iterable[str]]
"""The names in the value of a field."""


@dataclass_transform(kw_only_default=True, field_specifiers=(field,))
class Fields:
    """Base of classes whose annotations are the fields of a record."""


@dataclass(frozen=True)
class Must:
    """What a field must be, and what to say if it is not: "its box is not between 1 and 1024"."""

    check: Condition
    complaint: str


@dataclass(frozen=True)
class NamesObjects:
    """The field names objects in the store.

    sort: groups of arrays; files, kept byte for byte; or derived groups, which can be computed again.
    """

    sort: Literal["groups", "files", "derived"]
    names: NamesOf


@dataclass(frozen=True)
class NamesRecords:
    """The field names records. word: what it calls them; target: "item id", "species version"... where "version"
    alone is one of a record of the same kind."""

    word: str
    target: str
    names: NamesOf


@dataclass(frozen=True)
class Field:
    """A field of a record type. is_needed: no record can do without it."""

    is_needed: bool = False
    must: Must | None = None
    objects: NamesObjects | None = None
    records: tuple[NamesRecords, ...] = ()


def itself(value: str | None) -> tuple[str, ...]:
    """The one name that a field is; none if it is empty."""
    return () if value is None else (value,)


IDENTITY = ("kind", "id")
LINEAGE = ("version", "parent", "merged")
"""Fields that say which record this is, and how it came to be."""

FURTHER_OBJECT = Field(must=Must(OrNone(a_hash), "is not a hash"), objects=NamesObjects("groups", itself))
"""A field called `..._object` that no type has: a later mpop may write it, and what it names must not be lost."""


@dataclass(frozen=True)
class RecordType:
    """A kind of record.

    place: its path, with the fields that make up its key in braces: "items/{id:.2}/{id}.json".
    follows: name in the place -> function of a record, for what is no field. earlier: fields that only records of
    earlier versions have.
    """

    fields_of: type[Fields]
    place: str
    follows: Mapping[str, Callable[[Record], str]] = field(default_factory=dict)
    earlier: Mapping[str, Field] = field(default_factory=dict)

    @cached_property
    def kind(self) -> str:
        """What its records have in their field `kind`."""
        return getattr(self.fields_of, "kind")  # noqa: B009

    @cached_property
    def fields(self) -> Mapping[str, Field]:
        """Its fields by name."""
        hints = get_type_hints(self.fields_of, include_extras=True)
        today = {name: _field(hint, not hasattr(self.fields_of, name)) for name, hint in hints.items()}
        return {**self.earlier, **today}

    def content(self, *but: str) -> tuple[str, ...]:
        """The names of its fields of today, but identity, lineage and those that are named."""
        without = {*IDENTITY, *LINEAGE, *self.earlier, *but}
        return tuple(name for name in self.fields if name not in without)

    def path(self, *key: str) -> str:
        """Where the record of a key lives."""
        return self.place.format(**dict(zip(self._names, key, strict=True)))

    def key(self, path: str) -> tuple[str, ...] | None:
        """The key of the record that lives at a path; None where no record of this type can live."""
        found = self._pattern.fullmatch(path)
        if found is None or path != self.path(*found.groups()):
            return None
        return found.groups()

    def prefix(self, *key: str) -> str:
        """What all paths begin with, of records whose key begins so."""
        words: dict[str, str] = dict(zip(self._names, key, strict=False))
        start = ""
        for literal, name, spec, _ in Formatter().parse(self.place):
            start += literal
            if name not in words:
                break
            start += format(words[name], spec or "")
        return start

    def keys(self, paths: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """Path -> key, of those paths at which records of this type live."""
        found = ((path, self.key(path)) for path in paths)
        return {path: key for path, key in found if key is not None}

    def path_of(self, record: Record) -> str:
        """Where a record of this type lives."""
        return self.path(
            *(self.follows.get(name, lambda one, name=name: one[name])(record) for name in self._names)
        )

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for _, name, _, _ in Formatter().parse(self.place) if name))

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        pattern = ""
        for literal, name, spec, _ in Formatter().parse(self.place):
            pattern += re.escape(literal)
            if name:
                pattern += "[^/]*" if spec else "([^/]+)"
        return re.compile(pattern)


def described_by(fields: type) -> WithFields:
    """A dictionary in a record must have these fields, each as it must be."""
    hints = get_type_hints(fields, include_extras=True)
    musts = {name: _field(hint, False).must for name, hint in hints.items()}
    return WithFields(**{name: must.check for name, must in musts.items() if must is not None})


def _field(hint: Any, is_needed: bool) -> Field:
    marks = getattr(hint, "__metadata__", ())
    return Field(
        is_needed,
        next((one for one in marks if isinstance(one, Must)), None),
        next((one for one in marks if isinstance(one, NamesObjects)), None),
        tuple(one for one in marks if isinstance(one, NamesRecords)),
    )


class Schema:
    """All record types.

    A field that a type does not have is looked at as the type that has it says: a record of a later version, or of
    a stranger, may hold it.
    """

    def __init__(self, *types: RecordType) -> None:
        self.types = {one.kind: one for one in types}

    @cached_property
    def _anywhere(self) -> Mapping[str, Field]:
        """Every field that some type has, by its name; of the first type that has it."""
        return {name: one for kind in reversed(self.types.values()) for name, one in kind.fields.items()}

    @cached_property
    def _by_kind(self) -> Mapping[str, Mapping[str, Field]]:
        return {kind: {**self._anywhere, **one.fields} for kind, one in self.types.items()}

    def fields_in(self, record: Record) -> Iterator[tuple[Field, str, Any]]:
        """What the schema says of each field that a record holds, its name and its value."""
        known = self._by_kind.get(str(record.get("kind")), self._anywhere)
        for name, value in record.items():
            found = known.get(name)
            if found is None and name.endswith("_object"):
                found = FURTHER_OBJECT
            if found is not None:
                yield found, name, value

    def type_at(self, path: str) -> RecordType | None:
        """The type of the record that lives at a path."""
        return next((one for one in self.types.values() if one.key(path) is not None), None)

    def path_of(self, record: Record) -> str:
        """Where a record lives."""
        return self.types[record["kind"]].path_of(record)

    def references_of(self, record: Record) -> References:
        """What a record names in the object store; for `mpop_store`, which does not know records."""
        found: dict[str, list[str]] = {"groups": [], "files": [], "derived": []}
        for one, _, value in self.fields_in(record):
            if one.objects is not None:
                found[one.objects.sort] += one.objects.names(value)
        return References(*map(tuple, found.values()))

    def edges(self, record: Record) -> Iterator[tuple[str, str, str]]:
        """The records that a record names: what it calls them, what they must be ("item id"), and their name."""
        kind = str(record.get("kind"))
        known = self.types[kind].fields if kind in self.types else {}
        for field_name in filter(known.__contains__, record):
            for mark in known[field_name].records:
                target = f"{kind} version" if mark.target == "version" else mark.target
                yield from ((mark.word, target, name) for name in mark.names(record[field_name]))
