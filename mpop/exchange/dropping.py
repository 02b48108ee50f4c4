"""`mpop drop`: free the space of data that another copy of the population holds."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mpop.errors import InputError, StateError
from mpop.exchange.elsewhere import renew_all
from mpop.exchange.rules import RULES
from mpop.exchange.selection import note_lack_of_data
from mpop.population import Population
from mpop_hooks.schema import ITEM, PART, SPECIES, references_of
from mpop_store.git.git_commands import environment
from mpop_store.references import References
from mpop_store.transfer.dropping import Dropped, drop
from mpop_store.transfer.lazily import read_lazily
from mpop_store.transfer.naming import Named, Select, everything, named_in, references_in
from mpop_store.transfer.promising import due
from mpop_store.transfer.remotes import Remotes, RemoteSettings, place_of
from mpop_store.transfer.walking import new_commits


@dataclass(frozen=True)
class DropOptions:
    """Which data to drop. species: maps and particles; items: models, particles in them, stored images; both by
    name or id, of the last commit; everything: all of the last commit; older: what only older commits need."""

    species: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    everything: bool = False
    older: bool = False
    dry_run: bool = False


def drop_data(population: Population, settings: RemoteSettings, options: DropOptions) -> Dropped:
    """Drop data that a remote is proven to hold now; they are fetched from there when they are asked for."""
    repository = population.repository
    head = repository.head
    if head is None:
        raise StateError("there is no commit yet, so nothing that could be dropped")
    if not (options.species or options.items or options.everything or options.older):
        raise InputError("say what to drop: --species NAME, --items NAME, --older, or --all")
    named, keep = _at_head(population, _selection(population, options), head)
    if options.older:
        named.join(_in_history(population, head))

    remotes = Remotes(repository)

    def note() -> None:
        note_lack_of_data(repository, settings)

    with remotes.connect(settings, RULES) as remote:
        remote.identify()
        place = place_of(settings, remote)
        renew_all(repository, remote, place, due(repository, place, settings.store, time.time()))
        remotes.meet(settings, place)
        dropped = drop(repository, remote, settings.name, named, keep, head, note, options.dry_run)
    if not options.dry_run:
        read_lazily(repository)
    return dropped


def _at_head(population: Population, select: Select, head: str) -> tuple[Named, Named]:
    """What the records of the last commit name: what is to go, and what is to stay."""
    named, keep = Named(), Named()
    for path, record in population.repository.records("", head).items():
        chosen, whole = references_in(record, path, select), references_in(record, path, everything(references_of))
        named.add(chosen)
        keep.add(
            References(
                *(
                    tuple(set(getattr(whole, kind)) - set(getattr(chosen, kind)))
                    for kind in ("groups", "files", "derived")
                )
            )
        )
    return named, keep


def _selection(population: Population, options: DropOptions) -> Select:
    if options.everything:
        return everything(references_of)
    species = {population.one_species(name, "HEAD").id for name in options.species}
    items = {population.item(name, "HEAD").id for name in options.items}

    def select(path: str, record: Mapping[str, Any]) -> References:
        if (key := SPECIES.key(path) or PART.key(path)) and key[0] in species:
            return references_of(record)
        if PART.key(path):
            inside = {item: group for item, group in record.get("particles", {}).items() if item in items}
            return References(tuple(inside.values()))
        if (key := ITEM.key(path)) and key[0] in items:
            return references_of(record)
        return References()

    return select


def _in_history(population: Population, head: str) -> Named:
    repository = population.repository
    commits = new_commits(environment(repository.git_directory), [head], [])
    changes = [change for commit in commits for change in commit.changes]
    return named_in(repository, changes, everything(references_of))
