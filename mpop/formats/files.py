"""Files that must be there to be read, and that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mpop.errors import InputError


def require_file(path: Path) -> None:
    """Raises InputError when there is no file of this name."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder; give a file in it")
    if not path.is_file():
        raise InputError(f"{path}: no such file")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name when the block ends well and is gone when not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        if error.filename is None:  # a full disk has no name of its own
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(directory: Path) -> Iterator[Path]:
    """A temporary folder that becomes `directory` when the block ends well and is gone when not.

    Raises InputError when there is something in `directory` already.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InputError(f"{directory}: exists and is not an empty folder; choose a new one")
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}.", dir=directory.parent) as temporary:
        made = Path(temporary) / "made"
        made.mkdir()
        yield made
        os.replace(made, directory)
