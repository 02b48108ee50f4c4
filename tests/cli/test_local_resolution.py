"""`mpop local-resolution`: files in, text, JSON, maps and the report out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.phantoms.planted_resolution import planted
from mpop.cli.main import app
from mpop.errors import InputError
from mpop.formats.images import write_map


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    one = planted(48, 2.5, [6.0, 10.0], seed=2)
    for name, volume in (("half1", one.half1), ("half2", one.half2), ("mask", one.mask)):
        write_map(tmp_path / f"{name}.mrc", volume, 2.5)
    return tmp_path


def run(folder: Path, *words: str) -> str:
    """What a command prints, run in a folder; its error is raised."""
    arguments = ["-C", str(folder), "local-resolution", *words]
    return CliRunner().invoke(app, arguments, catch_exceptions=False, standalone_mode=False).stdout


def test_two_half_maps_give_maps_a_script_and_a_report(folder: Path) -> None:
    text = run(folder, "half1.mrc", "half2.mrc", "--mask", "mask.mrc", "--out", "out")
    assert text.startswith("Half of the particle is resolved to ")
    assert "of the whole, corrected FSC = 0.143" in text
    assert {path.name for path in (folder / "out").iterdir()} == {
        *("locres.mrc", "locres_filtered.mrc", "locres.cxc", "report.html", "report.json")
    }
    data = json.loads(run(folder, "half1.mrc", "half2.mrc", "--mask", "mask.mrc", "--json"))
    assert data["schema"] == "mpop.local-resolution/v1"
    assert data["files"] == []
    written = json.loads((folder / "out/report.json").read_text())
    assert written["median_A"] == data["median_A"]
    html = (folder / "out/report.html").read_text()
    assert html.count("<svg") == 3
    assert "Half of the particle is resolved to" in html


def test_noise_gives_a_report_too(folder: Path) -> None:
    random = np.random.default_rng(1)
    for half in ("half1", "half2"):
        write_map(folder / f"{half}.mrc", random.standard_normal((48, 48, 48)), 2.5)
    text = run(folder, "half1.mrc", "half2.mrc", "--mask", "mask.mrc", "--out", "out")
    assert text.startswith("Nothing is resolved anywhere")
    assert (folder / "out/report.html").read_text().count("<svg") == 2


def test_mistakes_end_before_anything_is_written(folder: Path) -> None:
    with pytest.raises(InputError, match="--threshold 2: give a correlation between 0 and 1"):
        run(folder, "half1.mrc", "half2.mrc", "--mask", "mask.mrc", "--out", "out", "--threshold", "2")
    with pytest.raises(InputError, match="one half-map alone cannot say what is noise"):
        run(folder, "half1.mrc", "--out", "out")
    assert not (folder / "out").exists()
