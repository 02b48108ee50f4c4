"""`mpop simulate tilt-series` as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SMALL = ["--series", "1", "--tilts", "3", "--particles", "2", "--image-size", "128", "--angpix", "5"]


def mpop(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    start = [sys.executable, "-c", "from mpop.cli.main import main; main()", "-C", str(directory)]
    return subprocess.run([*start, *arguments], capture_output=True, text=True, check=False)


def test_a_project_and_its_summary(tmp_path: Path) -> None:
    done = mpop(tmp_path, "simulate", "tilt-series", "data", *SMALL, "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["series"] == ["TS_01"]
    assert [(s["name"], s["particles"]) for s in summary["species"]] == [("ferritin-like", 2), ("asymmetric", 2)]
    assert len(list((tmp_path / "data" / "warp_frameseries" / "average").iterdir())) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--series", "0"], "series: 0; at least 1 is needed"),
        (["--model", "none.pdb"], "none.pdb: not a readable PDB or mmCIF file"),
        (["--particles", "300"], "no room for 300 particles of each species in a field of 640 A"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = mpop(tmp_path, "simulate", "tilt-series", "data", *SMALL, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("mpop: error: ") and message in done.stderr
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
