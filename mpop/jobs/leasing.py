"""Jobs at work: what they have written is kept from garbage collection, and packed when it is much.

A job that will change species or sources says so in its lease. Another one that would change the same on the same
branch is refused when it starts, or waits: at its end it could only be refused, after hours.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from mpop.errors import StateError
from mpop.population import Population
from mpop_store import StoreError
from mpop_store.objects.leases import Lease
from mpop_store.upkeep.packing import has_many_loose, pack

P = ParamSpec("P")
R = TypeVar("R")
Job = Callable[Concatenate[Population, P], R]

LOOK_AGAIN_S = 2.0


def leased(purpose: str, writes: Callable[..., Iterable[str]] | None = None) -> Callable[[Job[P, R]], Job[P, R]]:
    """Let a job hold a lease on its population while it runs, and leave a tidy store.

    purpose: a word for people, shown by `mpop gc`. writes: gives ids of the species and sources that the job will
    change, and gets the arguments of the job. Raises StateError when another job at work changes one of them,
    unless `population.waits`.
    """

    def decorate(job: Job[P, R]) -> Job[P, R]:
        @wraps(job)
        def run(population: Population, *words: P.args, **options: P.kwargs) -> R:
            will_write = () if writes is None else writes(population, *words, **options)
            branch = population.repository.refs.branch or ""
            with population.objects.leases.hold(purpose, branch, will_write) as lease:
                _take_turn(population, lease)
                result = job(population, *words, **options)
            if has_many_loose(population.objects):
                with suppress(StoreError):  # the job is done; `mpop pack` says what is wrong
                    pack(population.repository)
            return result

        return run

    return decorate


def _take_turn(population: Population, own: Lease) -> None:
    """Wait for jobs that began before and change the same, or raise StateError."""
    if not own.writes:
        return
    began, said = time.monotonic(), ""
    while others := _in_the_way(population, own, time.monotonic() - began):
        if not population.waits:
            raise StateError(
                f"at work on the same here: {others[0]}; wait for it with --wait, or work on a branch in a clone "
                f"(`mpop clone {population.root} {population.root}-2`) and merge"
            )
        if str(others[0]) != said:
            said = str(others[0])
            logging.getLogger(__name__).warning("waiting for %s", said)
        time.sleep(LOOK_AGAIN_S)


def _in_the_way(population: Population, own: Lease, passed_s: float) -> list[Lease]:
    live = population.objects.leases.live(own.started + passed_s)
    return sorted((lease for lease in live if lease.in_the_way_of(own)), key=lambda lease: lease.started)
