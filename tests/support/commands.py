"""The command line, run in the process of the test: as a user meets it, without the second that a start takes."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from typing import Any

from mpop.cli import context
from mpop.cli.main import app


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


def run(*words: str) -> Done:
    """Run `mpop` with these words."""
    out, err = io.StringIO(), io.StringIO()
    context.options.json = False
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            context.main(lambda: app(list(words), standalone_mode=False))
        except SystemExit as ended:
            code = int(ended.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


def mpop(*words: str, code: int = 0) -> str:
    """What a command prints; it must end with this code."""
    done = run(*words)
    assert done.code == code, f"mpop {' '.join(words)}: {done.code}\n{done.out}{done.err}"
    return done.out if code == 0 or done.out else done.err


def as_json(*words: str, code: int = 0) -> dict[str, Any]:
    """What a command prints with --json."""
    return json.loads(mpop(*words, "--json", code=code))
