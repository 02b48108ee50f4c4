"""What everyday commands cost in a population of 100, 1,000 and 10,000 tilt series with 1,000 commits.

Each command runs in a process of its own, on a copy made for it where it changes something. Aims: the cost follows
what changed and not the whole, and no process takes more than 1 GiB. With `--history`: in a small population with
100,000 commits, 5,000 branches and 5,000 requests, and in a clone of it.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import Usage, console, machine, run_measured, show
from benchmarks.phantoms.generated import generate, refinement_job
from mpop.population import Population, versioned
from mpop_hooks.schema import ITEM

SIZES = (100, 1_000, 10_000)
COMMITS = 1_000
MPOP = str(Path(sys.executable).with_name("mpop"))
REFINE_ONE = "refine one series"

COMMANDS: dict[str, list[str]] = {
    "nothing (--version)": ["--version"],
    "status": ["status"],
    "log -n 20": ["log", "-n", "20"],
    "diff HEAD~1": ["diff", "HEAD~1"],
    REFINE_ONE: [],
    "merge of two branches, 1 % each": ["merge", "right"],
    "clone --no-data": ["clone", "--no-data", ".", "{scratch}/clone"],
}
HISTORIES = ((10_000, 500), (100_000, 5_000))
"""Commits, and branches, of each of which a request offers one."""
IN_HISTORY: dict[str, list[str]] = {
    "status, first after plain Git": ["-C", "{place}", "status"],
    "status": ["-C", "{place}", "status"],
    "log -n 20": ["-C", "{place}", "log", "-n", "20"],
    "diff HEAD~1": ["-C", "{place}", "diff", "HEAD~1"],
    "branch": ["-C", "{place}", "branch"],
    "tag NAME": ["-C", "{place}", "tag", "here"],
    "switch": ["-C", "{place}", "switch", "branch-7"],
    "request list": ["-C", "{place}", "request", "list"],
    "request check": ["-C", "{place}", "request", "check", "{request}"],
    "clone --no-data": ["clone", "--no-data", "{place}", "{clone}"],
    "fetch, nothing new": ["-C", "{clone}", "fetch"],
    "switch -c": ["-C", "{clone}", "switch", "-c", "work"],
    REFINE_ONE: [],
    "push of that commit": ["-C", "{clone}", "push"],
}
"""One after the other."""
CHANGING = (REFINE_ONE, "merge of two branches, 1 % each")


def refine_one(folder: Path) -> None:
    """Commit what a job that refined one series against all species would, with the arrays it had."""
    population = Population.open(folder)
    head = population.repository.head
    assert head is not None
    item = population.item(min(ITEM.keys(population.repository.entries(prefix=ITEM.prefix())).values())[0])
    job = refinement_job("f" * 64, [item.model_dump(mode="json")])
    refined = versioned(item.model_copy(update={"parent": item.version, "job": job.id}))
    species = [
        one.model_copy(
            update={
                "item_versions": one.item_versions | {item.id: refined.version},
                "parent": one.version,
                "job": job.id,
            }
        )
        for one in population.species().values()
    ]
    population.commit_records([refined, *species, job], "Refine one series", since=head)


def measure(folder: Path, name: str) -> Usage | str:
    """What a command costs, or why it failed."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        place = folder
        if name in CHANGING:
            place = Path(scratch) / "population"
            shutil.copytree(folder, place, copy_function=_link)
            if name != REFINE_ONE:
                subprocess.run(["git", "-C", str(place), "switch", "--quiet", "left"], check=True)
            have_checked(place)
        command = [MPOP, "-C", str(place), *(word.format(scratch=scratch) for word in COMMANDS[name])]
        if name == REFINE_ONE:
            command = [sys.executable, "-m", "benchmarks.speed.scale", "--refine-one", str(place)]
        try:
            return run_measured(command, Path(scratch))
        except RuntimeError as error:
            return str(error).splitlines()[-1]


def have_checked(folder: Path) -> None:
    """Have mpop check once what came by plain Git, or as a copy, as what mpop itself made never has to be."""
    subprocess.run([MPOP, "-C", str(folder), "status"], check=True, stdout=subprocess.DEVNULL)


def _link(source: str, target: str) -> None:
    """Objects never change: a copy may share them. Everything else is copied."""
    if "/objects/" in source:
        Path(target).hardlink_to(source)
    else:
        shutil.copy2(source, target)


@contextmanager
def generated(series: int, commits: int, keep: Path | None) -> Iterator[Path]:
    """A population of that size, made now or, in the folder `keep`, before."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = (keep or Path(temporary)) / f"{series}"
        if not folder.exists():
            start = time.perf_counter()
            making = folder.with_name(f"{series}-in-the-making")
            generate(making, series, commits)
            making.rename(folder)
            have_checked(folder)
            console.print(f"made {series} series in {time.perf_counter() - start:.0f} s")
        yield folder


def run(quick: bool, keep: Path | None = None) -> None:
    """Measure all commands at all sizes and print the curve."""
    sizes = SIZES[:2] if quick else SIZES
    found: dict[str, list[Usage | str]] = {name: [] for name in COMMANDS}
    for series in sizes:
        with generated(series, 100 if quick else COMMITS, keep) as folder:
            for name, row in found.items():
                row.append(usage := measure(folder, name))
                if isinstance(usage, str):
                    console.print(f"{name}, {series} series: {usage}")
    header = ["", *(f"{series:,} series" for series in sizes)]
    _show(found, header)


def _show(found: Mapping[str, list[Usage | str]], header: list[str]) -> None:
    for title, unit in (("CPU-seconds", "cpu_s"), ("wall seconds", "wall_s"), ("peak MiB", "peak_MiB")):
        digits = 0 if unit == "peak_MiB" else 2
        rows = [
            [name, *("-" if isinstance(one, str) else f"{getattr(one, unit):.{digits}f}" for one in row)]
            for name, row in found.items()
        ]
        show(f"{title}, {machine()}", header, rows)


def run_history(quick: bool) -> None:
    """Measure everyday commands where history is long and has many ends."""
    from benchmarks.phantoms.long_history import (
        generate_history,  # which each command measured here would load, too
    )

    sizes = HISTORIES[:1] if quick else HISTORIES
    found: dict[str, list[Usage | str]] = {name: [] for name in IN_HISTORY}
    for commits, branches in sizes:
        with tempfile.TemporaryDirectory() as scratch:
            place, clone = Path(scratch) / "population", Path(scratch) / "clone"
            generate_history(place, commits, branches, branches)
            request = min((place / ".git/refs/mpop/requests").iterdir()).name
            for name, words in IN_HISTORY.items():
                command = [MPOP, *(word.format(place=place, clone=clone, request=request) for word in words)]
                if name == REFINE_ONE:
                    command = [sys.executable, "-m", "benchmarks.speed.scale", "--refine-one", str(clone)]
                try:
                    found[name].append(run_measured(command, Path(scratch)))
                except RuntimeError as error:
                    found[name].append(str(error))
                    console.print(f"{name}, {commits} commits: {error}")
    header = ["", *(f"{commits:,} commits, {branches:,} branches" for commits, branches in sizes)]
    _show(found, header)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks scale", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100 and 1,000 series with 100 commits")
    parser.add_argument("--history", action="store_true", help="many commits, branches and requests instead")
    parser.add_argument("--keep", type=Path, help="folder in which generated populations are kept")
    parser.add_argument("--refine-one", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.refine_one is not None:
        refine_one(arguments.refine_one)
    elif arguments.history:
        run_history(arguments.quick)
    else:
        run(arguments.quick, arguments.keep)
