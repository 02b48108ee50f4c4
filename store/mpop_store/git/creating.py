"""Making a repository: it appears as a whole, and one that is left unfinished can be taken up again."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pygit2

from mpop_store.durable import fsync, fsync_all
from mpop_store.git.plain_git import install_hooks

EXCLUDE = "/*\n" + "".join(
    f"!/{name}\n" for name in ("population.json", "README.md", "sources", "items", "species", "jobs")
)
"""Git looks at nothing else in the folder: raw data may lie beside the records."""

MAKING = ".init-"
"""In the name of a Git directory that is being made, after that of its place."""


def is_untouched(place: Path) -> bool:
    """Whether a Git directory is what `make` makes, and nothing has happened in it."""
    references = [path for path in (place / "refs").rglob("*") if path.is_file()]
    return (place / "mpop").is_dir() and not references and not (place / "index").exists()


def is_free(root: Path, bare: bool) -> bool:
    """Whether a folder is empty, but for what a process that died while it made a repository there has left."""
    if bare and is_untouched(root):
        return True
    ours = (".git", f".git{MAKING}")
    found = [path.name for path in root.iterdir()]
    return all(name.startswith(ours) for name in found) and (".git" not in found or is_untouched(root / ".git"))


def make(place: Path, bare: bool) -> None:
    """Make a Git directory beside its place, and move it there. Raises OSError or pygit2.GitError."""
    place.parent.mkdir(parents=True, exist_ok=True)
    for leftover in place.parent.glob(f"{place.name}{MAKING}*"):
        shutil.rmtree(leftover)
    with tempfile.TemporaryDirectory(prefix=f"{place.name}{MAKING}", dir=place.parent) as folder:
        inside = Path(folder) / "repository"
        git = pygit2.init_repository(inside, bare=bare, initial_head="main")
        git.config["core.logAllRefUpdates"] = True
        made = Path(git.path)
        (made / "mpop" / "objects").mkdir(parents=True)
        (made / "info" / "exclude").write_text(EXCLUDE)
        install_hooks(made)
        fsync_all(path for path in made.rglob("*") if path.is_file())
        made.rename(place)
        fsync(place.parent)
