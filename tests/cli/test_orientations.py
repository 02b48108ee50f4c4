"""`mpop orientations`: tables and species, text, JSON and the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from example_population import make_population
from typer.testing import CliRunner

from mpop.cli import context
from mpop.cli.main import app
from mpop.errors import InputError
from mpop.formats.star import write_star


@pytest.fixture
def star(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    n = 3000
    angles = pd.DataFrame(
        {
            "rlnAngleRot": random.uniform(-180, 180, n),
            "rlnAngleTilt": np.abs(random.normal(0, 12, n)),
            "rlnAnglePsi": random.uniform(-180, 180, n),
        }
    )
    write_star(tmp_path / "top.star", {"particles": angles})
    return tmp_path / "top.star"


def run(*arguments: str | Path) -> str:
    """What a command prints; its error is raised."""
    words = [str(one) for one in arguments]
    result = CliRunner().invoke(app, words, catch_exceptions=False, standalone_mode=False)
    return result.stdout


def test_a_table_is_told_in_text_json_and_a_report(star: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    text = run("orientations", star, "--diameter", "180", "--resolution", "4", "--sym", "C3", "--out", out)
    assert text.startswith("Views are missing: ")
    assert "3000 images, C3, shell at 4.00 A" in text
    data = json.loads(run("orientations", star, "--diameter", "180", "--resolution", "4", "--sym", "C3", "--json"))
    assert data["schema"] == "mpop.orientations/v1"
    assert data["empty_fraction"] > 0.3
    assert (data["commit"], data["files"]) == (None, [])
    written = json.loads((out / "report.json").read_text())
    assert {key: data[key] for key in ("scf_star", "efficiency")} == {
        key: written[key] for key in ("scf_star", "efficiency")
    }
    html = (out / "report.html").read_text()
    assert html.count("<svg") == 4
    assert "Views are missing" in html


def test_a_species_knows_its_size_and_symmetry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    population = make_population(tmp_path)
    monkeypatch.setattr(context, "options", context.Options(directory=population.root))
    text = run("-C", population.root, "orientations", "ribosome")
    assert "24 images of 8 particles, C1, shell at 25.00 A" in text
    assert population.repository.show().message.startswith("orientations ribosome: ")
    with pytest.raises(InputError, match="species ribosome has its own diameter, resolution and symmetry"):
        run("-C", population.root, "orientations", "ribosome", "--sym", "C2")


def test_what_is_missing_is_named(star: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"top\.star: the table does not tell the size of the particle"):
        run("orientations", star)
    with pytest.raises(InputError, match=r"none\.star: no such file"):
        run("orientations", tmp_path / "none.star", "--diameter", "100")
