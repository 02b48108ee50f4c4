"""One rule for grave doubts: who measures reports them, who makes what others go on from stops, unless forced."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import run
from noisy_halves import noisy_halves

from mpop.formats.images import write_map

HALVES = ("half1.mrc", "half2.mrc", "--mask", "mask.mrc")
MEASURES = [("fsc",), ("local-resolution",), ("fsc3d",)]
MAKES = [("denoise", "--steps", "1"), ("correct", "--steps", "0", "--no-hold-out")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half-maps of opposite contrast."""
    folder, maps = tmp_path_factory.mktemp("grave"), noisy_halves(box=32)
    for name, volume in (("half1", maps.half1), ("half2", -maps.half2), ("mask", maps.mask)):
        write_map(folder / f"{name}.mrc", volume, 1.5)
    return folder


def called(folder: Path, *words: str) -> tuple[int, dict]:
    """Exit code and JSON of a command."""
    done = run("-C", str(folder), "--device", "cpu", "--threads", "1", words[0], *HALVES, *words[1:], "--json")
    return done.code, json.loads(done.out)


@pytest.mark.parametrize("command", MEASURES, ids=lambda words: words[0])
def test_a_measurement_reports_what_is_gravely_doubted(folder: Path, command: tuple[str, ...]) -> None:
    code, found = called(folder, *command)
    assert code == 0
    assert "opposite-contrast" in [one["kind"] for one in found["doubts"] if one["grave"]]


@pytest.mark.parametrize("command", MAKES, ids=lambda words: words[0])
def test_no_map_is_made_of_what_is_gravely_doubted_unless_forced(folder: Path, command: tuple[str, ...]) -> None:
    out = folder / command[0]
    code, refused = called(folder, *command, "--out", out.name)
    assert code == 2
    assert "opposite-contrast" in [one["kind"] for one in refused["doubts"]]
    assert not out.exists()
    code, forced = called(folder, *command, "--out", out.name, "--force")
    assert code == 0
    assert "opposite-contrast" in [one["kind"] for one in forced["doubts"]]
    assert (out / "map.mrc").exists()
