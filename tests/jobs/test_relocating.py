"""Raw files that moved are found again by their content, on this machine only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import pytest

from mpop.errors import InputError, StateError
from mpop.exchange.cloning import clone
from mpop.jobs.importing.source import add_source
from mpop.jobs.relocating import relocate
from mpop.population import Population
from tests.support.commands import as_json, run

if TYPE_CHECKING:
    from tests.jobs.conftest import WarpFiles


@pytest.fixture
def committed(population: Population) -> Population:
    """The population as its first commit left it."""
    return population


def moved(warp_files: WarpFiles) -> Path:
    """Move the project; returns where it was, and leaves nothing there."""
    old = warp_files.folder
    old.rename(old.parent / "elsewhere")
    return old


def first_image(population: Population) -> np.ndarray:
    return Population.open(population.root).tilt_image(population.item("TS_01"), 0)


def test_the_advice_is_followed_and_nothing_is_to_commit(committed: Population, warp_files: WarpFiles) -> None:
    before, head = first_image(committed), committed.repository.head
    old = moved(warp_files)
    with pytest.raises(InputError, match=r"is gone; .* `mpop source relocate .*average NEW`"):
        first_image(committed)
    done = relocate(committed, old, old.parent / "elsewhere")
    assert (done.found, done.missing) == (10, [])
    np.testing.assert_array_equal(first_image(committed), before)
    assert committed.repository.is_clean
    assert committed.repository.head == head


def test_names_and_folders_may_have_changed_too(committed: Population, warp_files: WarpFiles) -> None:
    before = first_image(committed)
    old = moved(warp_files)
    archive = old.parent / "archive"
    (archive / "deep").mkdir(parents=True)
    for number, image in enumerate(sorted((old.parent / "elsewhere").rglob("average/*.mrc"))):
        image.rename(archive / f"deep/{number}.dat")
    (archive / "loop").symlink_to(archive)
    assert relocate(committed, old, archive).found == 10
    np.testing.assert_array_equal(first_image(committed), before)


def test_a_file_of_another_content_is_not_taken(committed: Population, warp_files: WarpFiles) -> None:
    image = warp_files.image("TS_01", 0)
    content = image.read_bytes()
    image.write_bytes(content[:-4] + b"\x00\x00\x80\x3f")
    old = moved(warp_files)
    done = relocate(committed, old, old.parent / "elsewhere")
    assert (done.found, [path.name for path in done.missing]) == (9, ["TS_01_0.mrc"])
    with pytest.raises(InputError, match="is gone"):
        first_image(committed)


def test_a_clone_elsewhere_finds_its_raw_files(
    committed: Population, warp_files: WarpFiles, tmp_path: Path
) -> None:
    before = first_image(committed)
    there = Population.open(clone(str(committed.root), tmp_path / "far/away/copy").root)
    with pytest.raises(InputError, match="is gone") as gone:
        first_image(there)
    advised = Path(str(gone.value).split("mpop source relocate ")[1].split(" NEW")[0])
    assert relocate(there, advised, warp_files.folder).found > 0
    np.testing.assert_array_equal(first_image(there), before)
    np.testing.assert_array_equal(first_image(committed), before)  # the other one knows nothing of it


def test_importing_them_again_finds_them_too(committed: Population, warp_files: WarpFiles) -> None:
    before = first_image(committed)
    old = moved(warp_files)
    settings = old.parent / "elsewhere" / warp_files.settings.name
    with pytest.raises(StateError, match="in this population already; 10 files that had moved will be read from"):
        add_source(committed, "again", settings)
    np.testing.assert_array_equal(first_image(committed), before)
    with pytest.raises(StateError, match=r"in this population already$"):
        add_source(committed, "again", settings)
    assert committed.repository.is_clean


def test_what_comes_back_where_it_was_is_found_there(committed: Population, warp_files: WarpFiles) -> None:
    before = first_image(committed)
    old = moved(warp_files)
    relocate(committed, old, old.parent / "elsewhere")
    (old.parent / "elsewhere").rename(old)
    np.testing.assert_array_equal(first_image(committed), before)


def test_an_interrupt_leaves_what_was_known(
    committed: Population, warp_files: WarpFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = first_image(committed)
    old = moved(warp_files)
    relocate(committed, old, old.parent / "elsewhere")
    (old.parent / "elsewhere").rename(old.parent / "further")

    def interrupted(path: Path) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("mpop.raw_places.replacing", interrupted)
        with pytest.raises(KeyboardInterrupt):
            relocate(committed, old.parent / "elsewhere", old.parent / "further")
    (old.parent / "further").rename(old.parent / "elsewhere")
    np.testing.assert_array_equal(first_image(committed), before)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("warp", "nowhere", "nowhere: no such file or folder"),
        ("other", "warp", "no raw file of this population should be in .*other; they should be in .*average"),
        ("warp", "empty", "none of the 10 raw files of .* is in it; the first should be .*mrc"),
    ],
)
def test_what_cannot_be_is_one_clear_line(
    committed: Population, warp_files: WarpFiles, old: str, new: str, message: str
) -> None:
    around = warp_files.folder.parent
    (around / "empty").mkdir()
    with pytest.raises(InputError, match=message) as refused:
        relocate(committed, around / old, around / new)
    assert "\n" not in str(refused.value)


def test_a_damaged_memory_is_named(committed: Population) -> None:
    (committed.repository.private / "raw-places.json").write_text("[1")
    with pytest.raises(StateError, match=r"raw-places\.json: damaged; delete it"):
        first_image(committed)


def test_on_the_command_line(committed: Population, warp_files: WarpFiles) -> None:
    old = moved(warp_files)
    new = old.parent / "elsewhere"
    (new / "warp_frameseries/average/TS_01_0.mrc").unlink()
    words = ("-C", str(committed.root), "source", "relocate", str(old), str(new))
    done = run(*words)
    assert (done.code, done.out) == (0, f"Found 9 raw files in {new}; there is nothing to commit\n")
    assert done.err.startswith("mpop: warning: 1 raw file of")
    told = as_json("-C", str(committed.root), "source", "relocate", str(new), str(new))
    assert (told["found"], told["missing"]) == (9, [])
