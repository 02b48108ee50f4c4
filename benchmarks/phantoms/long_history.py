"""A small population with a very long history, many branches and many requests, made in a minute.

As `benchmarks.phantoms.generated`: every record is what mpop itself would have written, only the way is shorter.
"""

from __future__ import annotations

import datetime
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from benchmarks.phantoms.generated import START, Json, Records, generate, send_commit, versioned_record
from mpop.population import Population
from mpop.requests import records
from mpop.requests.chains import FILE, PREFIX
from mpop_hooks.schema import SPECIES

SERIES = 10


def generate_history(folder: Path, commits: int, branches: int, requests: int) -> None:
    """Make a population with so many commits on main, other branches of one commit each that leave main at even
    distances, and open requests, each of which offers one of the branches for main."""
    generate(folder, SERIES, 1)
    subprocess.run(["git", "-C", str(folder), "branch", "--quiet", "-D", "left", "right"], check=True)
    repository = Population.open(folder).repository
    path, head = next(iter(repository.records(SPECIES.prefix()).items()))
    assert path == SPECIES.path(head["id"])
    every = commits // branches
    with _fast_import(folder) as stream:
        for number in range(2, commits + 1):
            since = "refs/heads/main^0" if number == 2 else None
            head = _renamed(head, f"species 1, {number}")
            send_commit(stream, "refs/heads/main", number, f"Rename {number}", {path: head}, since)
            if number % every == 0:
                name = f"refs/heads/branch-{number // every}"
                aside: Records = {path: _renamed(head, f"species 1, aside {number}")}
                send_commit(stream, name, number + 1, f"Rename aside {number}", aside, "refs/heads/main")
    tips = repository.refs.all("refs/heads/branch-")
    with _fast_import(folder) as stream:
        for number in range(1, requests + 1):
            branch = 1 + (number - 1) % (commits // every)
            _send_request(stream, number, every * branch + 2, tips[f"refs/heads/branch-{branch}"])
    subprocess.run(["git", "-C", str(folder), "reset", "--quiet", "--hard", "main"], check=True)


def _renamed(head: Json, name: str) -> Json:
    """A head of a species under another name."""
    return versioned_record(head | {"name": name, "parent": head["version"]})


def _send_request(stream: IO[bytes], number: int, hour: int, offered: str) -> None:
    """The two commits of a request that was opened in some hour after `START`, and not touched since."""
    title = f"Offer {number}"
    time = datetime.datetime.fromtimestamp(START + 3600 * hour, datetime.UTC)
    opening = records.event("open", 1, time, "A. Biologist <a@example.org>", "", offered)
    record = records.opened(title, "main", None, opening).model_dump(mode="json")
    ref, message = PREFIX + str(record["id"]), f"Open request {record['id']}: {title}"
    send_commit(stream, ref, hour, message, {FILE: record})
    send_commit(stream, ref, hour, message, {FILE: record}, merged=offered)


@contextmanager
def _fast_import(folder: Path) -> Iterator[IO[bytes]]:
    """What is written there becomes commits. Raises RuntimeError when Git does not take it."""
    command = ["git", "-C", str(folder), "fast-import", "--quiet", "--force"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        yield process.stdin
    if process.returncode:
        raise RuntimeError("git fast-import failed")
