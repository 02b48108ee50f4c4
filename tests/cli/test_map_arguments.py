"""What all commands on maps share: a folder that cannot take the results ends them before they begin."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from example_population import make_population
from gapped_maps import half_maps, with_maps
from typer.testing import CliRunner

from mpop.cli.main import app
from mpop.cli.map_arguments import check_out
from mpop.errors import InputError
from mpop.formats.images import write_map

VERBS = ("fsc", "fsc3d", "local-resolution", "orientations", "correct", "denoise")


def run(folder: Path, *words: str) -> None:
    """Run a command in a folder; its error is raised."""
    CliRunner().invoke(app, ["-C", str(folder), *words], catch_exceptions=False, standalone_mode=False)


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_is_committed_when_results_cannot_be_written(verb: str, tmp_path: Path) -> None:
    population = with_maps(make_population(tmp_path), half_maps(30)[0])
    folder = tmp_path / "population"
    head = population.repository.head
    (tmp_path / "taken").write_text("")
    for out in ("../taken", "../taken/below"):
        with pytest.raises(InputError, match="taken: is a file; --out names a folder"):
            run(folder, verb, "ribosome", "--out", out)
    assert population.repository.head == head


@pytest.mark.parametrize("verb", ["correct", "denoise"])
def test_maps_that_are_refused_leave_no_folder(verb: str, tmp_path: Path) -> None:
    maps, _ = half_maps(30)
    for name in ("half1", "half2"):
        write_map(tmp_path / f"{name}.mrc", getattr(maps, name), maps.pixel_size_A)
    with pytest.raises(InputError, match="give --mask MASK"):
        run(tmp_path, verb, "half1.mrc", "half2.mrc", "--out", "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_may_not_be_written_to_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)  # root may write where others may not
    with pytest.raises(InputError, match="may not be written to; give another folder as --out"):
        check_out(tmp_path / "new" / "folder")
    monkeypatch.undo()
    check_out(tmp_path / "new" / "folder")
    assert not (tmp_path / "new").exists()
