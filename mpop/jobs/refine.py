"""The `refine` job: multi-particle refinement of chosen series against their species, one commit per iteration.

Each iteration (`mpop.jobs.refine_iteration`) is a job of its own, and takes what the one before handed on from the
store. An interrupt loses at most the iteration that was running.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mpop.doubts import Doubt
from mpop.errors import InputError, RefinementError
from mpop.jobs.half_sets import Say, say_nothing
from mpop.jobs.leasing import leased
from mpop.jobs.refine_iteration import iterate
from mpop.jobs.refine_parameters import IterationParameters, RefineParameters
from mpop.jobs.refine_state import RefineState
from mpop.jobs.selection import names_to_write, select
from mpop.jobs.spec import JobSpec
from mpop.population import Population
from mpop.records.models import JobRecord, SpeciesRecord
from mpop.run import Run, limited
from mpop_hooks.schema import STATE


@dataclass(frozen=True)
class RefineResult:
    """The commits, oldest first, with the job record of each, the species as they are now, and all doubts."""

    commits: list[str]
    jobs: list[JobRecord]
    species: list[SpeciesRecord]
    doubts: list[Doubt]


@dataclass
class _Once:
    """Says each doubt once, however many iterations find it."""

    say: Say
    doubts: list[Doubt] = field(default_factory=list)

    def __call__(self, doubts: Sequence[Doubt]) -> None:
        known = {(doubt.kind, doubt.where) for doubt in self.doubts}
        new = [doubt for doubt in doubts if (doubt.kind, doubt.where) not in known]
        self.say(new)
        self.doubts.extend(new)


def _writes(population: Population, parameters: RefineParameters, *_: object, **__: object) -> list[str]:
    return names_to_write(select(population, parameters.species, parameters.sources))


@limited
@leased("refine", _writes)
def refine(
    population: Population,
    parameters: RefineParameters,
    run: Run = Run(),
    say: Say = say_nothing,
    force: bool = False,
) -> RefineResult:
    """Refine and commit, `parameters.iterations` times.

    say: what to do with doubts as they are found; they are in the records, too. A series whose images cannot be
    read or scored is left as it is and named in the job's record, and so is a species that no series shows. Raises
    RefinementError when no series is left, or when half-maps stop making sense; and DoubtfulInputError, unless
    forced, in place of a commit whose half-maps are certainly worse than those before.
    """
    if not parameters.chosen_groups:
        raise InputError("nothing to refine: image warp, stage angles and poses are all switched off")
    once = _Once(say)
    result = RefineResult([], [], [], once.doubts)
    state: str | None = None
    for number in range(1, parameters.iterations + 1):
        before = None if state is None else RefineState.read(population, state)
        wanted = parameters.of_iteration(number)
        done = iterate(population, wanted, before, run, once, force)
        if done is None:
            break
        result.commits.append(done.commit)
        result.jobs.append(done.job)
        result.species[:] = done.species
        state = done.state.name
    return result


@limited
def run(population: Population, spec: JobSpec, run: Run) -> str:
    """Run a recorded iteration; its commit.

    Records of the first versions do not name what the iteration before handed on. These iterations are run after
    all those before them, from where the first one began.
    """
    assert isinstance(spec.parameters, IterationParameters)
    last, commit = spec.parameters.iteration, None
    name = spec.inputs.get(STATE)
    before = None if name is None else RefineState.read(population, name)
    for number in range(1 if before is None else last, last + 1):
        wanted = spec.parameters.of_iteration(number)
        done = iterate(population, wanted, before, run, say_nothing, force=True)
        if done is None:
            raise RefinementError(f"iteration {number} finds no half-maps that agree at any resolution")
        commit, before = done.commit, replace(done.state, name=None)
    assert commit is not None
    return commit
