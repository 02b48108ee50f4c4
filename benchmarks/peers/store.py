"""What it costs to keep, send and read two versions of one species, beside programs that version data.

Each step runs in a process of its own. Counted are CPU seconds of all its processes, user and system, and bytes on
disk. Aims: fewer bytes than every other program in every row; no more CPU time than DVC and restic in any; saving
unchanged arrays again at least 10 times cheaper than Icechunk; a box of 40^3 voxels in less than 30 ms.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from benchmarks.measure import Usage, console, machine, run_measured, show
from benchmarks.peers.steps.store_tools import (
    AGAIN,
    BOX_READ,
    CLONE,
    FIRST,
    LAZY,
    NOTHING,
    PUSH,
    READ,
    SECOND,
    STEPS,
    VERIFY,
    Tool,
    available,
    environment,
)
from benchmarks.peers.steps.store_workload import BOX, CHANGED, generate

STORED, ADDED, RESAVED, SENT, CLONED, LAZILY = SIZES = (
    "stored after v1",
    "added by v2",
    "added by saving v2 again",
    "sent by push",
    "on disk after clone",
    "on disk after lazy clone",
)
SETTLE_S = 2.1
"""Files are this old before they are committed: younger ones might change without a trace in their times."""


@dataclass
class Found:
    """What a program took. usage: step -> smallest CPU time, wall time and memory; sizes: row -> bytes."""

    usage: dict[str, Usage] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def note(self, step: str, used: Usage) -> None:
        """Keep the smaller of two measurements."""
        before = self.usage.get(step, used)
        self.usage[step] = Usage(*map(min, vars(before).values(), vars(used).values()))


def run(quick: bool, peers: Path | None = None, repeats: int = 3, only: Sequence[str] = ()) -> None:
    """Measure all programs in turn, several times, and print the smallest numbers side by side."""
    os.environ.update(environment())
    tools = [tool for tool in available(peers) if not only or tool.name in ("mpop", *only)]
    found = {tool.name: Found() for tool in tools}
    with tempfile.TemporaryDirectory() as temporary:
        workload = Path(temporary)
        generate(workload, BOX // 2 if quick else BOX)
        for number in range(1 if quick else repeats):
            for tool in tools:  # nothing is deleted in between: some file systems make the next program pay for it
                folder = workload / f"{tool.name}-{number}"
                folder.mkdir()
                measure(tool, workload, folder, found[tool.name])
    header = ["", *found]
    show("MB", header, _rows(SIZES, {name: one.sizes for name, one in found.items()}, 1e-6, 1))
    cpu = {name: {step: used.cpu_s for step, used in one.usage.items()} for name, one in found.items()}
    show(f"CPU-seconds, {machine()}", header, _rows(STEPS, cpu, 1.0, 2))
    memory = {name: {step: used.peak_MiB for step, used in one.usage.items()} for name, one in found.items()}
    show("peak MiB of the largest process", header, _rows(STEPS, memory, 1.0, 0))
    boxes = {name: 1000 * one.usage[BOX_READ].wall_s for name, one in found.items() if BOX_READ in one.usage}
    times = ", ".join(f"{name} {time_ms:.1f} ms" for name, time_ms in boxes.items())
    console.print(f"a box of 40^3 voxels out of a map, within a process: {times}")
    for line in verdicts(found):
        console.print(line)


def verdicts(found: Mapping[str, Found]) -> Iterator[str]:
    """Where mpop does not reach its aims."""
    ours = found["mpop"]
    for name, one in found.items():
        for row, count in one.sizes.items():
            if name != "mpop" and row != RESAVED and count <= ours.sizes[row]:
                yield f"behind {name}: {row}"
        for step in STEPS:
            if name in ("DVC", "restic") and step in one.usage and one.usage[step].cpu_s < ours.usage[step].cpu_s:
                yield f"behind {name} in CPU time: {step}"
    if "Icechunk" in found:
        theirs = found["Icechunk"].usage[AGAIN].cpu_s
        for step in (NOTHING, AGAIN):
            ratio = theirs / ours.usage[step].cpu_s
            yield f"Icechunk takes {ratio:.1f} times the CPU time to save all again that mpop takes for: {step}"


def measure(tool: Tool, workload: Path, folder: Path, found: Found) -> None:
    """One round of all steps of one program."""
    data = folder / "wc" / "data"
    expected = float(np.load(workload / "v2" / "half1.npy").sum())

    def step(name: str) -> None:
        if name not in tool.steps:
            return
        found.note(name, run_measured(["sh", "-ec", f"cd {folder}; {tool.steps[name]}"], folder))
        if name in (READ, LAZY):
            answer = float((folder / "output.txt").read_text().split()[-1])
            assert answer == expected, f"{tool.name}, {name}: the map's sum is {answer}, not {expected}"

    def stored() -> int:
        return size(folder / path for path in tool.stored)

    subprocess.run(["sh", "-ec", tool.setup], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    shutil.copytree(workload / "v1", data)
    time.sleep(SETTLE_S)
    before, empty = stored(), size([folder / "remote"])
    step(FIRST)
    first = stored()
    _copy_anew(workload / "v2", data, CHANGED)
    time.sleep(SETTLE_S)
    step(SECOND)
    second = stored()
    step(NOTHING)
    for name in (PUSH, CLONE, READ, LAZY, VERIFY):
        step(name)
    found.sizes |= {STORED: first - before, ADDED: second - first, SENT: size([folder / "remote"]) - empty}
    found.sizes[CLONED] = size([folder / "clone"])
    if LAZY in tool.steps:
        found.sizes[LAZILY] = size([folder / "lazy"])
    _copy_anew(workload / "v2", data, (path.relative_to(data).as_posix() for path in list(data.rglob("*.npy"))))
    last = stored()
    step(AGAIN)
    found.sizes[RESAVED] = stored() - last
    if tool.box:
        used = run_measured(["sh", "-ec", f"cd {folder}; {tool.box}"], folder)
        found.note(BOX_READ, replace(used, wall_s=float((folder / "output.txt").read_text().split()[-1]) / 1000))


def _copy_anew(source: Path, target: Path, names: Iterable[str]) -> None:
    """Put files in place as a program does that writes them again."""
    for name in names:
        (target / name).unlink()
        shutil.copyfile(source / name, target / name)


def _rows(
    names: Sequence[str], found: Mapping[str, Mapping[str, float]], unit: float, digits: int
) -> list[list[str]]:
    """A row for each name: the number of every program, and how many times mpop's it is."""
    rows = []
    for name in names:
        ours = found["mpop"].get(name, 0.0)
        row = [name]
        for one in found.values():
            value = one.get(name)
            ratio = f" {value / ours:5.2f}" if value is not None and ours and one is not found["mpop"] else ""
            row.append("-" if value is None else f"{value * unit:.{digits}f}{ratio}")
        rows.append(row)
    return rows


def size(paths: Iterable[Path]) -> int:
    """Bytes of the files below some folders, each file once, however many names it has."""
    found = {}
    for path in paths:
        for folder, _, names in os.walk(path):
            for name in names:
                about = os.lstat(os.path.join(folder, name))
                found[about.st_dev, about.st_ino] = about.st_size
    return sum(found.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks store", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="maps of 128^3, once")
    parser.add_argument("--peers-python", type=Path, help="a Python with icechunk and dvc; see docs/benchmarks.md")
    parser.add_argument("--repeats", type=int, default=3, help="how often everything is measured")
    parser.add_argument("--only", nargs="+", default=(), help="names of programs")
    arguments = parser.parse_args()
    run(arguments.quick, arguments.peers_python, arguments.repeats, arguments.only)
