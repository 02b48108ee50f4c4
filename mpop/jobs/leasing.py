"""Jobs at work: what they have written is kept from garbage collection, and packed when it is much."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from mpop.population import Population
from mpop_store import StoreError
from mpop_store.objects.packing import has_many_loose, pack

P = ParamSpec("P")
R = TypeVar("R")
Job = Callable[Concatenate[Population, P], R]


def leased(purpose: str) -> Callable[[Job[P, R]], Job[P, R]]:
    """Let a job hold a lease on its population while it runs, and leave a tidy store.

    purpose: a word for people, shown by `mpop gc`.
    """

    def decorate(job: Job[P, R]) -> Job[P, R]:
        @wraps(job)
        def run(population: Population, *words: P.args, **options: P.kwargs) -> R:
            with population.objects.leases.hold(purpose):
                result = job(population, *words, **options)
            if has_many_loose(population.objects):
                with suppress(StoreError):  # the job is done; `mpop pack` says what is wrong
                    pack(population.repository)
            return result

        return run

    return decorate
