"""Users of one machine: numbers are enough, so nobody has to be added to it. Needs root."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pygit2
from pygit2.enums import ConfigLevel

COMMON = 64000
"""A group that all users here are in."""


@dataclass(frozen=True)
class User:
    """A user. home: a folder of theirs; umask: what is taken from the modes of their files."""

    number: int
    home: str
    umask: int

    def make_home(self, safe: Path) -> None:
        """With a configuration of Git that trusts a folder."""
        home = Path(self.home)
        home.mkdir()
        lines = ["[user]", f"name = User {self.number}", f"email = {self.number}@example.org"]
        (home / ".gitconfig").write_text("\n".join([*lines, "[safe]", f"directory = {safe}", ""]))
        os.chown(home, self.number, self.number)

    def become(self) -> None:
        """Make this process theirs, for good."""
        os.setgroups([COMMON])
        os.setgid(self.number)
        os.setuid(self.number)
        os.umask(self.umask)
        os.environ["HOME"] = self.home
        os.environ.pop("XDG_CONFIG_HOME", None)
        pygit2.settings.search_path[ConfigLevel.GLOBAL] = self.home
        os.chdir(self.home)
