"""A population's own policies: programs in `.git/mpop/policies/<event>/`, asked in the order of their names.

They lie beside the store, not among the records, so that none ever arrives by clone, pull or push: whoever can put
one there can run programs as this user anyway. That is not so of links, of other people's files and of files that
anybody can write to: such a policy is not run, and refuses the change instead.

A program gets the proposal as JSON on its standard input (`mpop.proposal/v1`: event, records, before, removed,
objects), in the folder of the Git directory. It accepts with exit code 0; what it prints is then a note. With
any other exit code it refuses, and every line that it prints is a reason. Instead of lines it may print a JSON
list of findings: objects with "message", and if wanted "rule", "path", "advice", "severity".
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mpop_hooks.proposal import Proposal
from mpop_hooks.violations import Violation
from mpop_store.hashing import parse_json

TIME_LIMIT_S = 60.0
MAX_FINDINGS = 100
MAX_MESSAGE = 500
"""Characters."""


def check(proposal: Proposal, time_limit_s: float = TIME_LIMIT_S) -> Iterator[Violation]:
    """Findings of the population's own policies for this event."""
    if proposal.folder is None or not (folder := proposal.folder / proposal.event).is_dir():
        return
    for program in sorted(folder.iterdir()):
        rule = f"{proposal.event}/{program.name}"
        if problem := _distrust(program):
            yield Violation(rule, str(program), problem, "make it a file of yours that others cannot write to")
        elif os.access(program, os.X_OK) and program.is_file():
            yield from _ask(program, rule, proposal, time_limit_s)


def _distrust(program: Path) -> str | None:
    """Why a file must not be run."""
    for path in (program, program.parent, program.parent.parent):
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            return f"{path.name} is a symbolic link"
        if status.st_uid not in (os.geteuid(), 0):
            return f"{path.name} belongs to somebody else"
        if status.st_mode & stat.S_IWOTH:
            return f"{path.name} can be written to by anybody"
    return None


def _ask(program: Path, rule: str, proposal: Proposal, time_limit_s: float) -> Iterator[Violation]:
    advice = f"see {program}"
    try:
        code, output, errors = _run(program, _as_json(proposal), time_limit_s)
    except subprocess.TimeoutExpired:
        yield Violation(rule, "", f"no answer within {time_limit_s:g} s", advice)
        return
    except OSError as error:
        yield Violation(rule, "", f"it cannot be run: {error.strerror or error}", advice)
        return
    found = list(_findings(rule, output, refuses=code != 0, advice=advice))
    if code != 0 and not any(finding.severity == "refuse" for finding in found):
        last = errors.strip().splitlines()[-1:] or [f"exit code {code}"]
        found.append(Violation(rule, "", _short(last[0]), advice))
    yield from found[:MAX_FINDINGS]


def _run(program: Path, question: bytes, time_limit_s: float) -> tuple[int, str, str]:
    """Exit code, output and errors of a program, which ends with all that it started."""
    with subprocess.Popen(
        [program.absolute()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=program.parents[3],
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(question, time_limit_s)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, output.decode(errors="replace"), errors.decode(errors="replace")


def _as_json(proposal: Proposal) -> bytes:
    return json.dumps(
        {
            "schema": "mpop.proposal/v1",
            "event": proposal.event,
            "records": dict(proposal.records),
            "before": dict(proposal.before),
            "removed": dict(proposal.removed),
            "objects": str(proposal.objects.root),
        }
    ).encode()


def _findings(rule: str, output: str, refuses: bool, advice: str) -> Iterator[Violation]:
    severity = "refuse" if refuses else "note"
    for entry in _entries(output):
        yield Violation(
            str(entry.get("rule", rule)),
            str(entry.get("path", "")),
            _short(str(entry["message"])),
            str(entry.get("advice", advice)),
            "note" if entry.get("severity", severity) == "note" else "refuse",
        )


def _entries(output: str) -> list[dict[str, Any]]:
    try:
        parsed = parse_json(output)
    except ValueError:
        parsed = None
    if isinstance(parsed, list) and all(isinstance(entry, dict) and "message" in entry for entry in parsed):
        return parsed
    return [{"message": line} for line in output.splitlines() if line.strip()]


def _short(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE else f"{message[:MAX_MESSAGE]}..."
