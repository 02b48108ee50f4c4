"""`mpop remote release`: the end of a promise, before its time."""

from __future__ import annotations

from mpop.errors import InputError, NotFoundError
from mpop.exchange.rules import RULES
from mpop_store.git.repository import Repository
from mpop_store.objects.promises import GivenPromises, HeldPromises
from mpop_store.transfer.promising import give_back, take_back
from mpop_store.transfer.remotes import Remotes


def release(repository: Repository, whom: str) -> int:
    """End the promise with an id, or its beginning, that was given, or those that a remote gave; returns how many
    objects are meant. Raises NotFoundError, InputError, or StateError where we still need what a remote keeps."""
    remotes = Remotes(repository)
    if whom in remotes.all():
        settings = remotes.get(whom)
        promises = [
            held
            for held in HeldPromises(repository.private).all()
            if held.until is not None and remotes.way_to(held.place) == settings
        ]
        if not promises:
            raise NotFoundError(f"{whom} has promised nothing; see `mpop remote promises`")
        with remotes.connect(settings, RULES) as remote:
            return sum(give_back(repository, remote, held) for held in promises)
    ids = [name for name in GivenPromises(repository.private).ids() if name.startswith(whom)]
    if not ids:
        raise NotFoundError(f"{whom!r} is no remote, and no promise that was given; see `mpop remote promises`")
    if len(ids) > 1:
        raise InputError(f"{len(ids)} promises begin with {whom}; give more digits")
    return take_back(repository, ids[0])
