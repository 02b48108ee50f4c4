"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from mpop.errors import InputError
from mpop.formats.files import replacing, require_file


def test_a_file_takes_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "map.mrc"
    with replacing(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("half of the next")
        raise KeyboardInterrupt
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_says_which_file_it_was(tmp_path: Path) -> None:
    path = tmp_path / "map.mrc"
    with pytest.raises(OSError, match="No space") as caught, replacing(path) as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(path)
    assert not any(tmp_path.iterdir())


def test_what_is_no_file_is_told_from_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is a folder; give a file in it$"):
        require_file(tmp_path)
    with pytest.raises(InputError, match=r"map\.mrc: no such file$"):
        require_file(tmp_path / "map.mrc")
    (tmp_path / "map.mrc").touch()
    require_file(tmp_path / "map.mrc")
