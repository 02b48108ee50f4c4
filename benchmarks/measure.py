"""Run a program and measure it; print results as tables."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

console = Console(width=100, highlight=False)


@dataclass(frozen=True)
class Usage:
    """What a process took: wall_s, cpu_s (user and system), peak_MiB of resident memory."""

    wall_s: float
    cpu_s: float
    peak_MiB: float


LAUNCHER = """
import json, os, sys, time
start = time.perf_counter()
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(child, 0)
wall = time.perf_counter() - start
cpu = used.ru_utime + used.ru_stime
print(json.dumps([os.waitstatus_to_exitcode(status), wall, cpu, used.ru_maxrss / 1024]), file=sys.stderr)
"""
"""A bare Python that starts the command: Linux counts the memory of whoever starts a process as its peak."""

ONE_THREAD = {"NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def run_measured(command: Sequence[str], folder: Path) -> Usage:
    """Run a command to its end on one thread. Raises RuntimeError with the end of its output when it fails."""
    log = folder / "output.txt"
    inner = ["sh", "-c", 'exec "$@" >"$0" 2>&1', str(log), *command]
    done = subprocess.run(
        [sys.executable, "-S", "-c", LAUNCHER, *inner],
        capture_output=True,
        check=True,
        env={**os.environ, **ONE_THREAD},
    )
    code, wall_s, cpu_s, peak_MiB = json.loads(done.stderr)
    if code:
        raise RuntimeError(f"{' '.join(command)}: exit code {code}\n{log.read_text(errors='replace')[-2000:]}")
    return Usage(wall_s, cpu_s, peak_MiB)


def machine() -> str:
    """Processor and cores, for the heading of a table."""
    names = [line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.is_file() else []


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; columns after the first are numbers."""
    table = Table(title=title, title_justify="left")
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)
