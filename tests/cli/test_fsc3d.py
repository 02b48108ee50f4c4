"""`mpop fsc3d`: maps in, text, JSON, files and the report out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from noisy_directions import half_maps
from typer.testing import CliRunner

from mpop.cli.main import app
from mpop.errors import InputError
from mpop.formats.images import write_map

FILES = ("half1.mrc", "half2.mrc", "--mask", "mask.mrc")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, volume in zip(("half1", "half2", "mask"), half_maps(1, noise_along_z=30.0), strict=True):
        write_map(tmp_path / f"{name}.mrc", volume, 2.0)
    return tmp_path


def run(folder: Path, *words: str) -> str:
    """What the command prints, run in a folder; its error is raised."""
    arguments = ["-C", str(folder), "fsc3d", *words]
    return CliRunner().invoke(app, arguments, catch_exceptions=False, standalone_mode=False).stdout


def test_two_half_maps_give_a_volume_curves_and_a_report(folder: Path) -> None:
    text = run(folder, *FILES, "--out", "out")
    assert text.startswith("Strong anisotropy: by direction the resolution runs from ")
    assert "area ratio of conical FSCs (cFAR)" in text
    assert {path.name for path in (folder / "out").iterdir()} == {
        *("fsc3d.mrc", "directions.csv", "shells.csv", "fsc3d.star", "report.html", "report.json")
    }
    data = json.loads(run(folder, *FILES, "--json"))
    assert data["schema"] == "mpop.fsc3d/v1"
    assert data["files"] == []
    written = json.loads((folder / "out/report.json").read_text())
    assert written["by_direction"] == data["by_direction"]
    html = (folder / "out/report.html").read_text()
    assert html.count("<svg") == 4
    assert data["verdict"].replace(" A", "")[:30] in html


def test_noise_gives_a_report_too(folder: Path) -> None:
    random = np.random.default_rng(1)
    for half in ("half1", "half2"):
        write_map(folder / f"{half}.mrc", random.standard_normal((48, 48, 48)), 2.0)
    assert run(folder, *FILES, "--out", "out").startswith("No signal: ")
    assert (folder / "out/report.html").read_text().count("<svg") == 2


def test_mistakes_end_before_anything_is_written(folder: Path) -> None:
    with pytest.raises(InputError, match="--half-angle 0"):
        run(folder, *FILES, "--out", "out", "--half-angle", "0")
    with pytest.raises(InputError, match="one half-map alone cannot say what is noise"):
        run(folder, "half1.mrc", "--out", "out")
    assert not (folder / "out").exists()
    with pytest.raises(InputError, match="is a file; --out names a folder"):
        run(folder, *FILES, "--out", "mask.mrc")


def test_numbers_of_files_load_no_slow_library(folder: Path) -> None:
    """A box of 128 takes less time than the import of any of these."""
    words = ["-C", str(folder), "fsc3d", *FILES, "--out", "out", "--no-report"]
    code = f"import sys; from mpop.cli.main import app; app({words!r}, standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert "numpy" in loaded
    assert not loaded & {"scipy", "torch", "numba", "matplotlib", "zarr", "pandas", "pygit2"}
