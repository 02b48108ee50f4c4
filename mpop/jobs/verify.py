"""`mpop verify`: re-hash every object, re-derive every version of the graph, and say what any damage touches."""

from __future__ import annotations

import time
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field, replace

from blake3 import blake3

from mpop.errors import InputError, StateError
from mpop.exchange.elsewhere import Elsewhere, fetch_lost
from mpop.jobs.record_graph import RecordGraph, RecordReader, Target
from mpop.population import Population
from mpop.run import Progress, silent
from mpop_hooks.schema import SCHEMA
from mpop_store import MpopError, ObjectStore
from mpop_store.git.refs import HEAD, about_no_text
from mpop_store.git.repository import Repository
from mpop_store.git.signatures import unsigned
from mpop_store.objects.packs import read_table
from mpop_store.paths import inside
from mpop_store.upkeep.scrub import Looked, scrub


@dataclass(frozen=True)
class Problem:
    """Something that is not as it should be. dependents: what relies on it, in words."""

    kind: str
    name: str
    message: str
    dependents: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class VerifyReport:
    """What was looked at and what was found. Bytes are those on disk."""

    objects: int
    bytes: int
    read_objects: int
    """Objects whose content was read."""
    read_bytes: int
    elsewhere: int
    """Objects that are needed and not here, and that another store has, as was noted when they were left there."""
    git_files: int
    commits: int
    records: int
    shallow: bool
    """Whether the history was cut short: what leads to older versions was not followed."""
    problems: list[Problem]
    repaired: list[str]
    """Objects and packs that were damaged or missing, and of which all is sound here now."""
    notes: list[str]
    """What else should be known: why something could not be repaired, of promises that have run out."""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(
    population: Population,
    progress: Progress = silent,
    *,
    sample: float = 1.0,
    seed: int = 0,
    repair: bool = False,
    signatures: bool = False,
) -> VerifyReport:
    """Check everything that is here. Derived objects may be missing, but not damaged.

    sample: part of the objects whose content is read, from 0 to 1, chosen by the seed; of the others only the
    existence is checked. Damaged objects are put into quarantine; with repair they are fetched, if they are
    anywhere else. signatures: every commit must be signed by a known key.
    """
    if not 0.0 <= sample <= 1.0:
        raise InputError(f"a sample must be between 0 and 100 %, not {100 * sample:g} %")
    with population.repository.as_it_is():
        report = _verify(population, progress, sample, seed, repair, signatures)
    return replace(report, problems=[*report.problems, *_unusable(population.repository)])


def _verify(
    population: Population, progress: Progress, sample: float, seed: int, repair: bool, signatures: bool
) -> VerifyReport:
    repository, objects = population.repository, population.objects.offline()
    git = repository.survey()
    looked = _look(objects, sample, seed, progress)
    here = {name: found.bytes for name, found in looked.items() if found.damage is None}
    damaged = {name: found.damage for name, found in looked.items() if found.damage is not None}
    others = Elsewhere(repository)
    notes = others.notes(time.time())
    repaired: list[str] = []
    while True:  # of what has been repaired, the parts are looked at too
        reader = RecordReader(repository, objects, git)
        graph = reader.read()
        missing = {name for name in graph.needed if not (name in here or name in damaged or objects.has(name))}
        there = others.among(missing) | (reader.parts_of(others.groups(graph.groups)) if missing else set())
        elsewhere = {name for name in missing & there if not objects.quarantine.has(name)}
        bad = damaged | {
            name: _missing(objects, name) + others.about_missing(name) for name in missing - elsewhere
        }
        reasons = (
            fetch_lost(repository, [name for name in bad if _kind(name) == "object"]) if repair and bad else []
        )
        sound = [name for name in bad if _is_sound(objects, name)]
        for name in sound:
            damaged.pop(name, None)
            if _kind(name) == "object":
                here[name] = objects.size(name)
        repaired += sound
        if not sound:
            break
    notes += [f"could not be repaired: {reason}" for reason in reasons]
    shallow = (repository.git_directory / "shallow").exists()
    problems = [
        Problem("git", name, f"Git: {name} is damaged or missing", needed_by)
        for name, needed_by in git.broken.items()
    ]
    problems += [Problem("reference", repr(name), about_no_text(name)) for name in git.no_text]
    problems += [
        Problem("record", version.path, message, [version.commit[:10]] if version.commit else [])
        for version, message in graph.unreadable
    ]
    problems += _problems(reader, graph, bad, set() if shallow else graph.targets - graph.known)
    if signatures:
        sound = (commit for commit in git.commits if commit not in git.broken)
        problems += [Problem("signature", name, message) for name, message in unsigned(repository, sound)]
    read = [found for found in looked.values() if found.read]
    return VerifyReport(
        len(here),
        sum(here.values()),
        len(read),
        sum(found.bytes for found in read),
        len(elsewhere),
        git.files,
        len(git.commits),
        len(graph.versions),
        shallow,
        problems,
        sorted(repaired),
        notes,
    )


def _unusable(repository: Repository) -> list[Problem]:
    """What came here past all checks and must not be used; whatever cannot be read is another problem."""
    vetting, found = repository.vetting, []
    assert vetting is not None
    with suppress(MpopError):
        tips = {HEAD: repository.head, **repository.refs.all()}
        refused = vetting.refusals(oid for oid in tips.values() if oid is not None)
        found += [Problem("history", commit, message) for commit, message in refused]
    with suppress(MpopError):
        for path, record in repository.staged_records().items():
            try:
                vetting.staged({path: record})
            except StateError as error:
                found.append(Problem("record", path, str(error)))
    return found


def _look(objects: ObjectStore, sample: float, seed: int, progress: Progress) -> dict[str, Looked]:
    """What was found of every object and, where damaged, pack; of an object that is here twice, the damage."""

    def chosen(name: str) -> bool:
        return sample == 1.0 or int(blake3(f"{seed} {name}".encode()).hexdigest()[:13], 16) < sample * 16**13

    total = sum(1 for _ in objects.names())
    looked: dict[str, Looked] = {}
    for found in scrub(objects, chosen):
        if found.name not in looked or found.damage is not None:
            looked[found.name] = found
        progress("objects", min(len(looked), total), total)
    return looked


def _kind(name: str) -> str:
    return "pack" if name.endswith(".mpack") else "object"


def _missing(objects: ObjectStore, name: str) -> str:
    hint = " (a damaged copy is in quarantine)" if objects.quarantine.has(name) else ""
    return f"object {name} is missing{hint}"


def _is_sound(objects: ObjectStore, name: str) -> bool:
    try:
        if _kind(name) == "object":
            objects.get(name)
        elif (pack := inside(objects.packed.folder, name)).exists():
            read_table(pack)
    except MpopError:
        return False
    return True


def _problems(
    reader: RecordReader, graph: RecordGraph, bad: dict[str, str], dangling: set[Target]
) -> list[Problem]:
    """Everything that is wrong, with the records that need it."""
    if not (bad or dangling or graph.underived):
        return []
    dependents: dict[str, list[str]] = defaultdict(list)
    found: list[Problem] = []
    underived = set(graph.underived)
    for version, record in reader.records(graph):
        needed, derived = reader.objects_of(record)
        touched = (needed | derived) & bad.keys()
        leads_nowhere = [edge for edge in SCHEMA.edges(record) if (edge[1], edge[2]) in dangling]
        if not (touched or leads_nowhere or version in underived):
            continue
        words = reader.describe(version, record, graph)
        for name in touched:
            dependents[name].append(words)
        if version in underived:
            message = f"the version of {version.path} does not follow from its content"
            found.append(Problem("record", version.path, message, [words]))
        for edge, target, wanted in leads_nowhere:
            message = f"{version.path} names a {edge}, {target} {wanted[:10]}, that is nowhere in the history"
            found.append(Problem("edge", version.path, message, [words]))
    return [
        *(Problem(_kind(name), name, message, dependents[name]) for name, message in sorted(bad.items())),
        *found,
    ]
