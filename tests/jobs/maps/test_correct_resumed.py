"""Corrections that are stopped say what is left, and go on to the same result."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from gapped_maps import half_maps

from mpop.doubts import DoubtfulInputError
from mpop.errors import StateError, StoppedError
from mpop.jobs.maps.correct import correct_half_maps
from mpop.jobs.maps.finding import Finding
from mpop.jobs.maps.input import HalfMaps
from mpop.networks import correction
from mpop.networks.correction import CorrectionOptions
from mpop.networks.correction_training import rotations
from mpop.run import Run

SMALL = CorrectionOptions(steps=4, width=2, cube=16, batch=2, exact=True)


@pytest.fixture(autouse=True)
def few_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correction, "rotations", lambda *given: rotations(*given)[:2])


@pytest.fixture(scope="module")
def maps() -> HalfMaps:
    return half_maps(40.0)[0]


def stopped(maps: HalfMaps, folder: Path | None, when: str, at: int = 1) -> str:
    """What is said when Ctrl-C comes at a step of the first task with these words in its name."""

    def progress(task: str, done: int, total: int) -> None:
        if when in task and done == at:
            raise KeyboardInterrupt

    with pytest.raises(StoppedError) as said:
        correct_half_maps(maps, SMALL, run=Run(progress=progress), checkpoints=folder)
    assert said.value.exit_code == 130
    return str(said.value)


def same(first: Finding, second: Finding) -> bool:
    return first.numbers == second.numbers and all(
        np.array_equal(first.arrays[key], second.arrays[key], equal_nan=True) for key in first.arrays
    )


def test_stopped_anywhere_it_ends_in_the_same_bits(maps: HalfMaps, tmp_path: Path) -> None:
    whole = correct_half_maps(maps, SMALL)
    folder = tmp_path / "checkpoints"
    for when in ("half-map 2, round 1", "half-map 1, round 1 of 2, data withheld"):
        assert (
            stopped(maps, folder, when)
            == f"interrupted: the same command goes on from the checkpoints in {folder}"
        )
    trained = []
    again = correct_half_maps(
        maps, SMALL, run=Run(progress=lambda task, done, _: trained.append((task, done))), checkpoints=folder
    )
    assert same(again, whole)
    assert not folder.exists()
    first = next(done for task, done in trained if "half-map 1, round 1 of 2, data withheld" in task)
    assert first == 1, "it begins where it was"


def test_before_the_first_checkpoint_nothing_is_left(maps: HalfMaps, tmp_path: Path) -> None:
    said = "interrupted before the first checkpoint: the same command begins anew"
    assert stopped(maps, tmp_path / "checkpoints", "restore") == said
    assert stopped(maps, None, "half-map 1") == said


def test_other_settings_do_not_go_on_from_it(maps: HalfMaps, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    stopped(maps, folder, "half-map 1, round 1")
    folder_named = re.escape(str(folder))
    with pytest.raises(StateError, match=f"another training .* remove {folder_named}$"):
        correct_half_maps(maps, CorrectionOptions(**{**vars(SMALL), "seed": 1}), checkpoints=folder)


def test_a_grave_doubt_stops_a_correction_unless_forced(maps: HalfMaps) -> None:
    rng = np.random.default_rng(0)
    near = maps.half1 + np.float32(0.05 * maps.half1.std()) * rng.standard_normal(
        maps.half1.shape, dtype=np.float32
    )
    dependent = HalfMaps("blobs", maps.half1, near, maps.mask, maps.pixel_size_A)
    options = CorrectionOptions(steps=0)
    with pytest.raises(DoubtfulInputError, match=r"correlates by 0\.99"):
        correct_half_maps(dependent, options, hold_out=False)
    found = correct_half_maps(dependent, options, hold_out=False, force=True)
    assert any("correlates by 0.99" in warning for warning in found.numbers["warnings"])
