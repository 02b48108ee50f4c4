"""The populations that fault tests break, and what must hold of them afterwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mpop.jobs.verify import verify
from mpop.population import Population

AUTHOR = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in (("NAME", "A. Biologist"), ("EMAIL", "a@example.org"), ("DATE", "1700000000 +0100"))
}

State = tuple[dict[str, list[str]], str, list[tuple[str, str]]]
"""Reference -> the files of its commit; where HEAD is; what the working state changes. All as mpop shows it."""


@dataclass(frozen=True)
class World:
    """A folder with `population`, its raw images, and what else a test puts beside it."""

    folder: Path
    unfinished: str | None = None
    """Name of a population that is being made, of which nothing is expected."""

    @property
    def root(self) -> Path:
        """The population's folder."""
        return self.folder / "population"

    @property
    def population(self) -> Population:
        """The population, opened anew."""
        return Population.open(self.root)

    def copy(self, folder: Path) -> World:
        """The same world in another folder."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return World(folder)

    def without(self, unfinished: str | None) -> World:
        """The same world, with one population left out."""
        return World(self.folder, unfinished)

    def populations(self) -> list[Path]:
        """Every population in this world, bare ones too."""
        folders = [path for path in sorted(self.folder.iterdir()) if path.name not in ("images", self.unfinished)]
        return [path for path in folders if path.is_dir()]

    def state(self) -> dict[str, State]:
        """State of every population, by its folder's name."""
        return {path.name: _state(path) for path in self.populations()}

    def check(self, torn: bool = False) -> None:
        """Everything committed anywhere is here and whole, for mpop and for Git.

        torn: after a power cut there may be damaged files that nothing needs.
        """
        for path in self.populations():
            population = Population.open(path)
            if population.repository.head is not None:
                problems = verify(population).problems
                assert [one for one in problems if one.dependents or not torn] == [], path
            git(path, *(["log", "--all", "--patch"] if torn else ["fsck", "--strict", "--no-dangling"]))


def _state(path: Path) -> State:
    repository = Population.open(path).repository
    refs = repository.refs.all("refs/heads/") | repository.refs.all("refs/mpop/")
    files = {
        ref: [_content(path, line) for line in git(path, "ls-tree", "-r", oid).splitlines()]
        for ref, oid in refs.items()
    }
    return files, str(repository.refs.branch), repository.status()


def _content(path: Path, line: str) -> str:
    """A file and its Git object; of a job only that it is there, since it records how long it took, and of a
    request what happened to it, but not to which commit, since that may hold a job."""
    _, oid, name = line.split(maxsplit=3)[1:]
    if name == "request.json":
        record = json.loads(git(path, "cat-file", "blob", oid))
        return f"{record['state']} {name}: {[event['kind'] for event in record['events']]}"
    return name if name.startswith("jobs/") else f"{oid} {name}"


def git(root: Path, *words: str) -> str:
    """Run Git; what it complains about fails the test."""
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True)
    assert done.returncode == 0, f"{root}: git {' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout


def points(default: int) -> int:
    """How many places to fail at: $MPOP_FAULT_POINTS, or the default, which is made for CI."""
    return int(os.environ.get("MPOP_FAULT_POINTS", default))
