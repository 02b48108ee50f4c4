"""Which commits were made or checked here: what they lead to need not be checked again.

This is a cache and no state: without it everything is checked once more. It lies in the population, and whoever
unpacks a stranger's archive gets the stranger's. So it counts only as long as an empty file beside it is the very
one that it was written for, by inode and time of change: no archive and no copy can bring these along.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from mpop_store.durable import TEMPORARY
from mpop_store.hashing import canonical_json, parse_json

MOST = 20_000
"""So many commits are kept, the latest. What is forgotten is checked again, so these are more than a population
has branches and requests."""


class CheckedCommits:
    """Ids of commits that were checked by rules of some version, in a folder."""

    def __init__(self, folder: Path, rules: int) -> None:
        self._folder = folder
        self._rules = rules

    def read(self) -> list[str]:
        """The commits, in the order in which they were added; [] where nothing is known."""
        try:
            content = parse_json((self._folder / "commits").read_bytes())
        except (OSError, ValueError):
            return []
        anchor = self._anchor()
        known = isinstance(content, dict) and anchor and content.get("anchor") == anchor
        if not known or content.get("rules") != self._rules or not isinstance(content.get("commits"), list):
            return []
        return [commit for commit in content["commits"] if isinstance(commit, str)]

    def add(self, commits: Iterable[str], instead_of: Iterable[str] = ()) -> None:
        """Remember commits; forget those that these lead to. Does nothing where it cannot write."""
        gone = set(instead_of)
        kept = [*dict.fromkeys([*(one for one in self.read() if one not in gone), *commits])][-MOST:]
        temporary = self._folder / f"{TEMPORARY}{os.getpid()}"
        with suppress(OSError):
            self._folder.mkdir(exist_ok=True)
            if not (self._folder / "here").exists():
                (self._folder / "here").touch(exist_ok=False)
            content = {"rules": self._rules, "anchor": self._anchor(), "commits": kept}
            temporary.write_bytes(canonical_json(content))
            os.replace(temporary, self._folder / "commits")
        with suppress(OSError):
            temporary.unlink(missing_ok=True)

    def _anchor(self) -> str | None:
        """What no copy of the file beside us has."""
        try:
            found = os.lstat(self._folder / "here")
        except OSError:
            return None
        return f"{found.st_ino} {found.st_ctime_ns} {found.st_uid}"
