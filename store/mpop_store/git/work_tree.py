"""What may lie in a work tree, and folders that hold nothing any more."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from mpop_store.errors import StateError
from mpop_store.paths import below


def is_in_work_tree(root: Path, path: Any) -> bool:
    """Whether this is the relative path of a file that may lie in a work tree."""
    if not isinstance(path, str) or path.startswith(".git"):
        return False
    with contextlib.suppress(StateError):
        below(root, path)
        return True
    return False


def remove_empty(folder: Path, root: Path) -> None:
    """Remove folders that hold nothing any more, up to the root."""
    while folder != root:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
