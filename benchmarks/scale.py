"""What everyday commands cost in a population of 100, 1,000 and 10,000 tilt series with 1,000 commits.

Each command runs in a process of its own, on a copy made for it where it changes something. Aims: the cost follows
what changed and not the whole, and no process takes more than 1 GiB.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.generated import generate, refinement_job
from benchmarks.measure import Usage, console, machine, run_measured, show
from mpop.population import Population, versioned

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
CHANGING = (REFINE_ONE, "merge of two branches, 1 % each")


def refine_one(folder: Path) -> None:
    """Commit what a job that refined one series against all species would, with the arrays it had."""
    population = Population.open(folder)
    head = population.repository.head
    assert head is not None
    item = population.item(Path(min(population.repository.entries(prefix="items/"))).stem)
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
        command = [MPOP, "-C", str(place), *(word.format(scratch=scratch) for word in COMMANDS[name])]
        if name == REFINE_ONE:
            command = [sys.executable, "-m", "benchmarks.scale", "--refine-one", str(place)]
        try:
            return run_measured(command, Path(scratch))
        except RuntimeError as error:
            return str(error).splitlines()[-1]


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
    for title, unit in (("CPU-seconds", "cpu_s"), ("wall seconds", "wall_s"), ("peak MiB", "peak_MiB")):
        digits = 0 if unit == "peak_MiB" else 2
        rows = [
            [name, *("-" if isinstance(one, str) else f"{getattr(one, unit):.{digits}f}" for one in row)]
            for name, row in found.items()
        ]
        show(f"{title}, {machine()}", header, rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100 and 1,000 series with 100 commits")
    parser.add_argument("--keep", type=Path, help="folder in which generated populations are kept")
    parser.add_argument("--refine-one", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.refine_one is not None:
        refine_one(arguments.refine_one)
    else:
        run(arguments.quick, arguments.keep)
