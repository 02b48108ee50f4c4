"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mpop.errors import InputError
from mpop.formats.files import new_folder, replacing, require_file


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


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    path, other = tmp_path / "a [1].mrc", tmp_path / "b.mrc"
    write = (
        "import sys, time; from pathlib import Path; from mpop.formats.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half'); print('ready', flush=True); time.sleep(50)\n"
    )
    at_work = [
        subprocess.Popen([sys.executable, "-c", write, str(one)], stdout=subprocess.PIPE, text=True)
        for one in (path, path, other)
    ]
    try:
        for process in at_work:
            assert process.stdout is not None and process.stdout.readline() == "ready\n"
        at_work[0].kill()
        at_work[2].kill()
        at_work[0].wait()
        at_work[2].wait()
        assert len(list(tmp_path.iterdir())) == 3
        with replacing(path) as temporary:
            temporary.write_text("whole")
        kept = {one.name.split(".")[-2] for one in tmp_path.iterdir() if one != path}
        assert kept == {str(at_work[1].pid), str(at_work[2].pid)}
    finally:
        for process in at_work:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


@pytest.mark.parametrize(("silent_s", "left"), [(60.0, True), (7200.0, False)])
def test_of_another_machine_only_silence_tells(tmp_path: Path, silent_s: float, left: bool) -> None:
    path = tmp_path / "map.mrc"
    elsewhere = tmp_path / ".map.mrc.00000000.1.tmp"
    elsewhere.touch()
    os.utime(elsewhere, (time.time() - silent_s,) * 2)
    with replacing(path) as temporary:
        temporary.touch()
    assert elsewhere.exists() is left


def test_a_full_disk_says_which_file_it_was(tmp_path: Path) -> None:
    path = tmp_path / "map.mrc"
    with pytest.raises(OSError, match="No space") as caught, replacing(path) as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(path)
    assert not any(tmp_path.iterdir())


def test_a_folder_that_may_not_be_written_to_is_told_by_the_names_that_were_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "map.mrc"
    with pytest.raises(PermissionError) as caught, replacing(path) as temporary:
        raise PermissionError(errno.EACCES, "Permission denied", str(temporary))
    assert (caught.value.filename, caught.value.filename2) == (str(path), None)
    monkeypatch.setattr(os, "access", lambda where, mode: where != tmp_path)  # root may write everywhere
    with (
        pytest.raises(InputError, match=f"{tmp_path}: may not be written to; choose another folder"),
        new_folder(tmp_path / "new"),
    ):
        pass
    assert not any(tmp_path.iterdir())


def test_what_is_no_file_is_told_from_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is a folder; give a file in it$"):
        require_file(tmp_path)
    with pytest.raises(InputError, match=r"map\.mrc: no such file$"):
        require_file(tmp_path / "map.mrc")
    (tmp_path / "map.mrc").touch()
    require_file(tmp_path / "map.mrc")
