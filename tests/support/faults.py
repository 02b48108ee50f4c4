"""Programs that die, disks that fail: run an action with a fault at its n-th change of the disk.

The shim (`faults_shim.c`, preloaded) counts every write, rename, link, unlink, truncation and sync below one
folder, whoever makes them: Python, libgit2 or a git that was started. `Faults.run` forks a process that has
everything imported already, so that a run costs milliseconds, and lets it meet one fault:

    kill       SIGKILL to it and to all it started, before the n-th change (a write is torn in two)
    full       from the n-th change on everything that needs space fails with ENOSPC
    read-only  from the n-th change on every change fails with EROFS
    sync       from the n-th change on every sync fails with EIO
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import pkgutil
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from users import User

from mpop_store.errors import MpopError

FAULTS = {"none": 0, "kill": 1, "full": 2, "read-only": 3, "sync": 4}
SOURCE = Path(__file__).with_name("faults_shim.c")


@dataclass(frozen=True)
class Operation:
    """One change of the disk. kind: create, write, truncate, rename, link, unlink, mkdir or sync."""

    kind: str
    path: str


@dataclass(frozen=True)
class Outcome:
    """How an action ended. code: its exit code, -9 when killed."""

    code: int
    stdout: str
    stderr: str
    operations: list[Operation]

    @property
    def killed(self) -> bool:
        """Whether it met its death."""
        return self.code == -signal.SIGKILL


def is_refusal(outcome: Outcome) -> bool:
    """Whether mpop ended on purpose, with one line; policies may have had something to note before."""
    lines = [line for line in outcome.stderr.splitlines() if not line.startswith("mpop: note: ")]
    return 1 <= outcome.code <= 5 and len(lines) == 1 and "internal error" not in lines[0]


def compiler() -> str | None:
    """A C compiler, if there is one."""
    return next((found for name in ("cc", "gcc", "clang") if (found := shutil.which(name))), None)


def build(folder: Path) -> Path:
    """Compile the shim."""
    library = folder / "faults_shim.so"
    command = [str(compiler()), "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return library


class Faults:
    """A process that forks one child for each action, with the shim in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        library = build(folder)
        self._control = folder / "control"
        self._control.write_bytes(bytes(ctypes.CDLL(str(library)).faults_control_size()))
        self._server = subprocess.Popen(
            [sys.executable, __file__, str(library), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "LD_PRELOAD": str(library), "FAULTS_CONTROL": str(self._control)},
        )

    def close(self) -> None:
        """End the process."""
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(30)
        self._server.stdout.close()

    def run(
        self,
        action: Sequence[str],
        root: Path,
        fault: str = "none",
        at: int = 0,
        shadow: Path | None = None,
        timeout_s: int = 60,
        user: User | None = None,
    ) -> Outcome:
        """Run `mpop <action>`, or `<module>:<function> <argument>...`, and let it meet a fault below `root`.

        shadow: an empty folder for what is synced; see `after_power_cut`. user: whom to run it as.
        """
        assert self._server.stdin is not None and self._server.stdout is not None
        log = self._folder / "operations"
        log.unlink(missing_ok=True)
        if shadow is not None:
            _everything_is_synced(root, shadow)
        order = {
            "action": list(action),
            "arm": [str(root), str(log), str(shadow or ""), at, FAULTS[fault]],
            "timeout_s": timeout_s,
            "user": None if user is None else asdict(user),
        }
        self._server.stdin.write(json.dumps(order) + "\n")
        self._server.stdin.flush()
        code = json.loads(self._server.stdout.readline())
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        operations = [Operation(*line.split(" ", 2)[1:]) for line in lines]
        out, err = ((self._folder / name).read_text() for name in ("stdout", "stderr"))
        return Outcome(code, out, err, operations)


def sample(operations: Sequence[Operation], most: int, place: Callable[[str], str]) -> list[int]:
    """Numbers (from 1) of operations to fail at: first and last of each phase, and others spread evenly.

    A phase is a run of operations of one kind at one place. All are taken when there are no more than `most`.
    """
    total = len(operations)
    if total <= most:
        return list(range(1, total + 1))
    phases = [(one.kind, place(one.path)) for one in operations]
    edges = {0, total - 1}
    edges |= {n for n in range(1, total) if phases[n] != phases[n - 1]}
    edges |= {n - 1 for n in edges if n}
    chosen = _spread(sorted(edges), most)
    chosen |= _spread(range(total), most - len(chosen))
    return sorted(number + 1 for number in chosen)


def _spread(values: Sequence[int], most: int) -> set[int]:
    if len(values) <= most:
        return set(values)
    return {values[round(k * (len(values) - 1) / (most - 1))] for k in range(most)} if most > 1 else set()


def _everything_is_synced(root: Path, shadow: Path) -> None:
    """Start from a disk on which all is safe."""
    shadow.mkdir(parents=True)
    for folder, _, files in os.walk(root):
        lines = []
        for entry in os.scandir(folder):
            lines.append(f"{'d' if entry.is_dir(follow_symlinks=False) else 'f'} {entry.inode()} {entry.name}\n")
        (shadow / f"folder-{os.stat(folder).st_ino}").write_text("".join(lines))
        for name in files:
            path = Path(folder, name)
            inode = path.stat().st_ino
            shutil.copyfile(path, shadow / f"file-{inode}")
            with suppress(FileExistsError):
                os.link(path, shadow / f"pin-{inode}")


def after_power_cut(root: Path, shadow: Path, target: Path, names_survive: bool) -> None:
    """Rebuild at `target` what a power cut would leave of `root`.

    names_survive: the file system kept every rename, link and unlink, but of the contents only what was synced (a
    file never synced is empty). Otherwise names, too, are as of the last sync of their folder.
    """
    target.mkdir(parents=True)
    entries: Iterable[tuple[str, int, str]]
    if names_survive:
        found = list(os.scandir(root))
        entries = [("d" if one.is_dir(follow_symlinks=False) else "f", one.inode(), one.name) for one in found]
        below = {one.inode(): Path(one.path) for one in found}
    else:
        entries = _names(shadow, root.stat().st_ino)
        below = {}
    _rebuild(entries, below, shadow, target, names_survive)


def _names(shadow: Path, inode: int) -> list[tuple[str, int, str]]:
    listing = shadow / f"folder-{inode}"
    if not listing.exists():
        return []
    by_name = {}
    for line in listing.read_text().splitlines():
        kind, number, name = line.split(" ", 2)
        by_name[name] = (kind, int(number), name)
    return list(by_name.values())


def _rebuild(
    entries: Iterable[tuple[str, int, str]], below: dict[int, Path], shadow: Path, target: Path, survive: bool
) -> None:
    for kind, inode, name in entries:
        path = target / name
        if kind == "f":
            kept = shadow / f"file-{inode}"
            path.write_bytes(kept.read_bytes() if kept.exists() else b"")
            continue
        path.mkdir()
        if survive:
            found = list(os.scandir(below[inode]))
            inner = [("d" if one.is_dir(follow_symlinks=False) else "f", one.inode(), one.name) for one in found]
            _rebuild(inner, {one.inode(): Path(one.path) for one in found}, shadow, path, True)
        else:
            _rebuild(_names(shadow, inode), {}, shadow, path, False)


# --- inside the process ------------------------------------------------------------------------------------------


def _act(action: list[str]) -> None:
    """Run a command of mpop, or a function."""
    if ":" in action[0]:
        module, function = action[0].split(":")
        getattr(importlib.import_module(module), function)(*action[1:])
        return
    from mpop.cli.main import main

    sys.argv = ["mpop", *action]
    main()


def _child(folder: Path, library: Any, order: dict[str, Any]) -> None:
    os.setsid()
    for name, number in (("stdout", 1), ("stderr", 2)):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    signal.alarm(order["timeout_s"])
    root, log, shadow, at, fault = order["arm"]
    library.faults_arm(root.encode(), log.encode(), shadow.encode(), ctypes.c_uint64(at), ctypes.c_uint64(fault))
    code = 0
    try:
        if order["user"] is not None:
            User(**order["user"]).become()
        _act(order["action"])
    except SystemExit as end:
        code = int(end.code or 0)
    except (MpopError, OSError) as error:  # as the command line ends
        print(f"mpop: error: {error}", file=sys.stderr)
        code = getattr(error, "exit_code", 5)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        code = 99
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


PACKAGES = ("mpop.cli", "mpop.exchange", "mpop.merging", "mpop.requests", "mpop_hooks", "mpop_store")
"""All of these is imported before: it saves time, and another user may not be able to read it from the disk."""


def _modules(package: str) -> Iterator[pkgutil.ModuleInfo]:
    return pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")


def serve(library: Any, folder: Path) -> None:
    """Fork a child for each line of standard input, and answer with its exit code."""
    for module in (
        "mpop.jobs.history",
        "fault_actions",
        "concurrent.futures.thread",
        "encodings.utf_16_be",
        "encodings.idna",
        "encodings.latin_1",
        "multiprocessing.synchronize",  # of numba's pool of threads
        "_strptime",  # of datetime, when it first reads a time zone
        "email.parser",  # of importlib.metadata, when it first reads a version
        "psutil",
        "pygit2.enums",
        *(one.name for package in PACKAGES for one in _modules(package)),
    ):
        importlib.import_module(module)
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            _child(folder, library, json.loads(line))
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    serve(ctypes.CDLL(sys.argv[1]), Path(sys.argv[2]))
