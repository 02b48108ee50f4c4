"""Which data a clone or a fetch brings: of all versions, of every branch as it is now, of some species, or none.

What is not brought is read from the remote when it is asked for.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mpop.errors import InputError, NotFoundError
from mpop_hooks import schema
from mpop_hooks.schema import references_of
from mpop_store.git.history import History
from mpop_store.git.repository import Repository
from mpop_store.references import References
from mpop_store.transfer.fetching import SelectAt
from mpop_store.transfer.naming import Select, everything
from mpop_store.transfer.remotes import Remotes, RemoteSettings

ALL, CURRENT, NONE, SPECIES = "all", "current", "none", "species"


@dataclass(frozen=True)
class Data:
    """Which data.

    kind: `all` versions; `current`, what the branches hold now; `none`; or `species`, what the branches hold now
    of these species, by name or id, and of the tilt series that they are in.
    """

    kind: str = ALL
    species: tuple[str, ...] = ()

    def __str__(self) -> str:
        """As it is kept in Git's configuration."""
        return shlex.join([self.kind, *self.species])

    @classmethod
    def parse(cls, text: str | None) -> Data:
        """What `str` gave; the default for None. Raises InputError."""
        try:
            kind, *species = shlex.split(text or ALL)
        except ValueError:
            kind, species = "", []
        if kind not in (CURRENT, ALL, NONE, SPECIES) or bool(species) != (kind == SPECIES):
            raise InputError(
                f"{text!r} in Git's configuration (remote.<name>.mpopData) says not which data to fetch"
            )
        return cls(kind, tuple(species))

    @property
    def select(self) -> SelectAt | None:
        """What to bring of which record."""
        if self.kind == NONE:
            return None
        return self._of_species if self.kind == SPECIES else lambda history, at: everything(references_of)

    def _of_species(self, history: History, at: str) -> Select:
        ids = species_ids(history, at, self.species)
        return selected(history, at, ids)


def note_lack_of_data(repository: Repository, settings: RemoteSettings) -> None:
    """Remember that not all arrays of a remote are here any more."""
    if settings.data is None or Data.parse(settings.data).kind == ALL:
        Remotes(repository).set_data(settings.name, str(Data(CURRENT)))


def species_ids(history: History, at: str, wanted: tuple[str, ...]) -> frozenset[str]:
    """Ids of species given by name or id, as far as a commit holds them."""
    heads = [history.read(path, at) for path in schema.SPECIES.keys(history.entries(at, schema.SPECIES.prefix()))]
    return frozenset(str(head.get("id")) for head in heads if {head.get("id"), head.get("name")} & set(wanted))


def require_species(history: History, tips: Mapping[str, str], wanted: tuple[str, ...]) -> None:
    """Raise NotFoundError for a species that no branch holds."""
    for name in wanted:
        if not any(species_ids(history, tip, (name,)) for tip in tips.values()):
            raise NotFoundError(f"no species {name!r} on any branch there")


def selected(history: History, at: str, species: frozenset[str]) -> Select:
    """All of some species, and the models of the tilt series that they are in, at a commit."""
    items = {
        item
        for identity in species
        for part in history.records(schema.PART.prefix(identity), at).values()
        for item in part.get("particles", {})
    }

    def select(path: str, record: Mapping[str, Any]) -> References:
        if (key := schema.SPECIES.key(path) or schema.PART.key(path)) and key[0] in species:
            return references_of(record)
        if (key := schema.ITEM.key(path)) and key[0] in items:
            return references_of({**record, "raw": []})  # images are needed to refine only
        return References()

    return select
