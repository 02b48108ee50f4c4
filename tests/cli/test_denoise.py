"""`mpop denoise`: files, JSON, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from example_population import make_population
from noisy_halves import noisy_halves
from typer.testing import CliRunner

from mpop.cli import context
from mpop.cli.main import app
from mpop.errors import InputError
from mpop.formats.images import read_map, write_map

HALVES = ("half1.mrc", "half2.mrc", "--mask", "mask.mrc")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(context, "options", context.Options(directory=tmp_path))
    maps = noisy_halves(box=32)
    for name in ("half1", "half2", "mask"):
        write_map(tmp_path / f"{name}.mrc", getattr(maps, name), 1.5)
    return tmp_path


def run(folder: Path, *arguments: str) -> str:
    """What `mpop -C folder denoise` prints; its error is raised."""
    words = ["-C", str(folder), "--device", "cpu", "--threads", "1", "denoise", *arguments]
    return CliRunner().invoke(app, words, catch_exceptions=False, standalone_mode=False).stdout


def test_files_and_json(folder: Path) -> None:
    data = json.loads(run(folder, *HALVES, "--out", "out", "--steps", "2", "--json"))
    assert data["schema"] == "mpop.denoise/v1"
    assert (data["commit"], data["networks"], data["box"]) == (None, "shared", 32)
    names = {path.name for path in (folder / "out").iterdir()}
    assert names == {"half1.mrc", "half2.mrc", "map.mrc", "report.html", "report.json"}
    volume, pixel_size_A = read_map(folder / "out" / "map.mrc")
    assert volume.shape == (32, 32, 32)
    assert pixel_size_A == pytest.approx(1.5)
    written = json.loads((folder / "out" / "report.json").read_text())
    assert written["verdict"] == data["verdict"]
    assert len(written["curves"]["fsc_before"]) == 17
    assert data["verdict"] in (folder / "out" / "report.html").read_text()


def test_wrong_calls_leave_nothing_behind(folder: Path) -> None:
    with pytest.raises(InputError, match="--out DIR is missing"):
        run(folder, *HALVES)
    with pytest.raises(InputError, match="there are shared, independent"):
        run(folder, *HALVES, "--out", "out", "--networks", "twins")
    with pytest.raises(InputError, match="give --mask"):
        run(folder, *HALVES[:2], "--out", "out")
    assert not (folder / "out" / "report.html").exists()


def test_the_next_denoiser_is_of_the_kind_that_the_species_has(tmp_path: Path) -> None:
    make_denoisable(tmp_path)
    folder = tmp_path / "population"
    first = run(folder, "ribosome", "--steps", "1", "--networks", "independent")
    assert "networks independent\n" in first and "Committed as " in first
    again = run(folder, "ribosome", "--steps", "1")
    assert "networks independent, trained further from the last\n" in again
    other = json.loads(run(folder, "ribosome", "--steps", "1", "--networks", "shared", "--json"))
    assert (other["networks"], other["continued"], other["replaced"]) == ("shared", False, "independent")
    back = run(folder, "ribosome", "--steps", "1", "--networks", "independent")
    assert "networks independent, trained anew in place of the shared ones that it had\n" in back


def make_denoisable(folder: Path) -> None:
    """A population with a species of half-maps with a signal."""
    maps = noisy_halves(box=32)
    population = make_population(folder)
    species = population.one_species("ribosome")
    arrays = {name: getattr(maps, name) for name in ("half1", "half2", "mask")}
    kept = population.write_group(population.maps(species) | arrays)
    population.stage([species.model_copy(update={"maps_object": kept, "box": 32, "pixel_size_A": 1.5})])
    population.commit("Maps to denoise")
