"""Jobs at work: while one runs, garbage collection keeps what it has written and not committed yet."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from mpop.population import Population

P = ParamSpec("P")
R = TypeVar("R")
Job = Callable[Concatenate[Population, P], R]


def leased(purpose: str) -> Callable[[Job[P, R]], Job[P, R]]:
    """Let a job hold a lease on its population. purpose: a word for people, shown by `mpop gc`."""

    def decorate(job: Job[P, R]) -> Job[P, R]:
        @wraps(job)
        def run(population: Population, *words: P.args, **options: P.kwargs) -> R:
            with population.objects.leases.hold(purpose):
                return job(population, *words, **options)

        return run

    return decorate
