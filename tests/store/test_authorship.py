"""Who commits, as Git would say it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pygit2
import pytest
from pygit2.enums import ConfigLevel

from mpop_store.git.repository import Repository


def test_the_name_in_the_population_comes_before_that_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL"):
        monkeypatch.delenv(name, raising=False)
    before = pygit2.settings.search_path[ConfigLevel.GLOBAL]
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = Everywhere\n\temail = e@example.org\n")
    try:
        pygit2.settings.search_path[ConfigLevel.GLOBAL] = str(tmp_path)
        repository = Repository.init(tmp_path / "p")
        assert repository.author()[0] == "Everywhere <e@example.org>"
        subprocess.run(["git", "-C", str(repository.root), "config", "user.name", "Here"], check=True)
        assert Repository(pygit2.Repository(str(repository.root))).author()[0] == "Here <e@example.org>"
    finally:
        pygit2.settings.search_path[ConfigLevel.GLOBAL] = before
