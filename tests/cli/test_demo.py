"""What `mpop demo` prints, and what it refuses. The demo itself: tests/test_demo.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mpop.cli.demo import _summary

SPECIES = {
    "resolution_A": {"before": 14.51, "after": 7.94, "ceiling": None},
    "position_rms_A": {"before": 5.36, "after": 0.956, "ceiling": 0.0},
    "gap_closed": 0.963,
}


def test_summary_names_errors_before_and_after() -> None:
    data = {"species": {"asymmetric": SPECIES}, "wall_s": 330.0, "peak_GiB": 2.04, "verified": True}
    lines = [" ".join(line.split()) for line in _summary(data)]
    assert lines == [
        "before after true parameters",
        "asymmetric",
        "resolution 14.51 A 7.94 A -",
        "position error 5.36 A 0.96 A 0.00 A",
        "gap closed 96 %",
        "5.5 min, 2.0 GiB, verified",
    ]


def test_summary_does_not_hide_damage_or_a_missing_gap() -> None:
    species = {"asymmetric": SPECIES | {"gap_closed": None}}
    text = "\n".join(_summary({"species": species, "wall_s": 60.0, "peak_GiB": 1.0, "verified": False}))
    assert "DAMAGED" in text
    assert text.splitlines()[4].split() == ["gap", "closed", "-"]


def test_a_used_folder_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "thesis.txt").write_text("years of work")
    command = "from mpop.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", command, "-C", str(tmp_path), "demo"], capture_output=True, text=True
    )
    assert done.returncode == 4
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("mpop: error: ") and line.endswith("is not empty; remove it or name another folder")
