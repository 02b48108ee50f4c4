"""The programs of the benchmark of stores, and the commands with which each does the same work.

A program works in a folder of its own: `wc/data` holds the files to keep, `remote` is where they are pushed to,
`clone` and `lazy` are copies of that. Commands are lines for `sh`, run in that folder.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import console
from benchmarks.peers.steps.store_workload import CHANGED

FIRST = "first commit"
SECOND = "second commit"
NOTHING = "commit, nothing has changed"
AGAIN = "save the same arrays again"
BOX_READ = "read a box"
PUSH = "push both versions"
CLONE = "clone the newest"
READ = "read a map in the clone"
LAZY = "clone without data, read a map"
VERIFY = "verify everything"
STEPS = (FIRST, SECOND, NOTHING, PUSH, CLONE, READ, LAZY, VERIFY, AGAIN)

ROOT = Path(__file__).resolve().parents[3]

ENVIRONMENT = {
    "DVC_NO_ANALYTICS": "1",
    "RESTIC_PASSWORD": "x",
    "RESTIC_FROM_PASSWORD": "x",
    "RESTIC_PASSWORD2": "x",
    "GIT_AUTHOR_NAME": "b",
    "GIT_AUTHOR_EMAIL": "b@example.org",
    "GIT_COMMITTER_NAME": "b",
    "GIT_COMMITTER_EMAIL": "b@example.org",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
}
GIT_SETTINGS = {
    "init.defaultBranch": "main",
    "protocol.file.allow": "always",
    "filter.lfs.clean": "git-lfs clean -- %f",
    "filter.lfs.smudge": "git-lfs smudge -- %f",
    "filter.lfs.process": "git-lfs filter-process",
    "filter.lfs.required": "true",
}


def environment() -> dict[str, str]:
    """Variables under which all programs run: no question is asked, and nobody's configuration is read."""
    found = ENVIRONMENT | {"GIT_CONFIG_COUNT": str(len(GIT_SETTINGS))}
    for number, (key, value) in enumerate(GIT_SETTINGS.items()):
        found |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return found


@dataclass(frozen=True)
class Tool:
    """A program. setup: what comes before the first step; steps: row -> command, for what it can do.

    stored: where, in its folder, it keeps versions; pushed ones are in `remote`. box: a command that prints how
    many ms it takes to read 40^3 voxels of a map in the clone.
    """

    name: str
    setup: str
    steps: dict[str, str]
    stored: tuple[str, ...]
    box: str = ""


def mpop() -> Tool:
    """The mpop of this checkout, through the Python interface of its store."""
    here = f"{ROOT}:{ROOT / 'store'}:{ROOT / 'hooks'}"
    step = f"PYTHONPATH={here} {sys.executable} -m benchmarks.peers.steps.store_mpop"
    commit = f"{step} commit wc wc/data"
    return Tool(
        "mpop",
        f"{step} init wc remote",
        {
            FIRST: commit,
            SECOND: commit,
            NOTHING: commit,
            AGAIN: f"{step} save_again wc wc/data",
            PUSH: f"{step} push wc",
            CLONE: f"{step} clone remote clone",
            READ: f"{step} read clone",
            LAZY: f"{step} lazy remote lazy",
            VERIFY: f"{step} verify wc",
        },
        ("wc/.git",),
        f"{step} box clone",
    )


def icechunk(python: Path) -> Tool:
    """Icechunk has no remotes: a repository is copied as a whole."""
    step = f"{python} {Path(__file__).with_name('store_icechunk.py')}"
    return Tool(
        "Icechunk",
        f"{step} init repository",
        {
            FIRST: f"{step} commit repository wc/data",
            SECOND: f"{step} commit repository wc/data {' '.join(CHANGED)}",
            AGAIN: f"{step} commit repository wc/data",
            PUSH: "cp -r repository remote",
            CLONE: "cp -r remote clone",
            READ: f"{step} read clone",
        },
        ("repository",),
        f"{step} box clone",
    )


GIT = "git init -q wc && git init -q --bare remote && cd wc && git remote add origin file://$PWD/../remote"


def _file_tool(
    name: str, setup: str, add: str, steps: dict[str, str], stored: tuple[str, ...] = ("wc/.git",)
) -> Tool:
    """A program around a Git work tree. add: what comes before `git commit`."""
    commit = f"cd wc && {add} && git commit -q -m version"
    again = f"cd wc && {add}; git commit -q -m version || true"
    common = {FIRST: commit, SECOND: commit, NOTHING: again, AGAIN: again, READ: _load("clone/data/half1.npy")}
    return Tool(name, f"{GIT} && {setup}", common | steps, stored)


def _load(path: str) -> str:
    """A command that reads a map out of a plain file."""
    return f"{sys.executable} -c 'import numpy; print(float(numpy.load(\"{path}\").sum()))'"


def _clone_one(get: str, variables: str = "") -> str:
    """A command that clones without data, gets one map, and reads it."""
    cloned = f"{variables} git clone -q file://$PWD/remote lazy && cd lazy"
    return f"{cloned} && {get} data/half1.npy && {_load('data/half1.npy')}"


def git_lfs() -> Tool:
    """git-lfs makes hard links to its objects in a remote that is a folder: no bytes are copied."""
    return _file_tool(
        "git-lfs",
        "git lfs track '*.npy' && git add .gitattributes && git commit -q -m init",
        "git add -A",
        {
            PUSH: "cd wc && git push -q origin main",
            CLONE: "git clone -q file://$PWD/remote clone",
            LAZY: _clone_one("git lfs pull -I", "GIT_LFS_SKIP_SMUDGE=1"),
            VERIFY: "cd wc && git lfs fsck && git fsck --full",
        },
    )


def git_annex() -> Tool:
    """git-annex."""
    return _file_tool(
        "git-annex",
        "git annex init -q wc && git commit -q --allow-empty -m init && cd ../remote && git annex init -q remote",
        "git annex add -q .",
        {
            PUSH: "cd wc && git push -q origin main && git annex copy -q --all --to origin"
            " && git annex sync -q --no-content --no-commit origin; git push -q origin git-annex || true",
            CLONE: "git clone -q file://$PWD/remote clone && cd clone"
            " && git annex init -q clone && git annex get -q .",
            LAZY: _clone_one("git annex init -q lazy && git annex get -q"),
            VERIFY: "cd wc && git annex fsck -q --all && git fsck --full",
        },
    )


def dvc(python: Path) -> Tool:
    """DVC has no command that verifies."""
    dvc = python.with_name("dvc")
    return _file_tool(
        "DVC",
        f"{dvc} init -q && {dvc} config core.analytics false && {dvc} remote add -q -d r $PWD/../remote/dvc"
        " && git add -A && git commit -q -m init",
        f"{dvc} add -q data && git add -A",
        {
            PUSH: f"cd wc && git push -q origin main && {dvc} push -q --all-commits",
            CLONE: f"git clone -q file://$PWD/remote clone && cd clone && {dvc} pull -q",
            LAZY: _clone_one(f"{dvc} pull -q"),
        },
        ("wc/.git", "wc/.dvc"),
    )


def restic() -> Tool:
    """restic: a clone is what `restore` writes."""
    backup = "cd wc && restic -q -r ../repository backup data"
    get = "restic -q -r remote restore latest --target"
    return Tool(
        "restic",
        "restic init -q -r repository && restic init -q -r remote --from-repo repository --copy-chunker-params",
        {
            FIRST: backup,
            SECOND: backup,
            NOTHING: backup,
            AGAIN: backup,
            PUSH: "restic -q -r remote copy --from-repo repository",
            CLONE: f"{get} clone",
            READ: _load("clone/data/half1.npy"),
            LAZY: f"{get} lazy --include half1.npy && {_load('lazy/data/half1.npy')}",
            VERIFY: "restic -q -r repository check --read-data",
        },
        ("repository",),
    )


def available(peers: Path | None) -> Iterator[Tool]:
    """mpop, and every other program that is there. peers: a Python that has Icechunk, and DVC beside it."""
    yield mpop()
    if peers is not None:
        yield icechunk(peers)
        yield dvc(peers)
    else:
        console.print("without --peers-python: no Icechunk and no DVC")
    for name, make in {"git-lfs": git_lfs, "git-annex": git_annex, "restic": restic}.items():
        if shutil.which(name):
            yield make()
        else:
            console.print(f"{name} is not installed")
