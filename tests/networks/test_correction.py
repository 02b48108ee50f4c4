"""Corrections as a whole: what is left alone, what gets better, and the same result from the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mpop.errors import InputError
from mpop.networks import correction
from mpop.networks.correction import Correction, CorrectionOptions, correct, fitting
from mpop.networks.correction_training import rotations
from tests.support.uneven_maps import BOX, UnevenMaps, uneven_maps

PIXEL_A = 2.0
SMALL = CorrectionOptions(steps=4, width=2, cube=16, batch=2, seed=3, exact=True)


@pytest.fixture(scope="module")
def uneven() -> UnevenMaps:
    return uneven_maps()


def run(maps: UnevenMaps, options: CorrectionOptions, folder: Path | None = None) -> Correction:
    return correct(maps.half1, maps.half2, maps.mask, PIXEL_A, options, checkpoint_folder=folder)


@pytest.fixture
def few_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correction, "rotations", lambda *given: rotations(*given)[:2])


def test_without_a_network_directions_are_filled_and_the_level_stays(uneven: UnevenMaps) -> None:
    raised = UnevenMaps(**{**vars(uneven), "half1": uneven.half1 + 7, "half2": uneven.half2 - 3})
    found = run(raised, CorrectionOptions(steps=0, limit_A=5.0))
    assert found.models is not None and not found.learned and not found.reason
    for half, given in ((found.half1, raised.half1), (found.half2, raised.half2)):
        assert (
            uneven.agreement(half - given.mean(), poor=True)
            > uneven.agreement(given - given.mean(), poor=True) + 0.3
        )
        solvent = uneven.mask == 0
        assert half[solvent].mean() == pytest.approx(given[solvent].mean(), abs=0.01)
    beyond = _radius() > found.limit + 0.6
    assert found.limit == int(BOX * PIXEL_A / 5.0)
    kept = np.abs(np.fft.rfftn(found.half1) - np.fft.rfftn(raised.half1))[beyond]
    assert kept.max() < 1e-3 * np.abs(np.fft.rfftn(raised.half1 - 7)).max()


def test_the_last_shell_is_as_strong_as_it_was(uneven: UnevenMaps) -> None:
    found = run(uneven, CorrectionOptions(steps=0, limit_A=2 * PIXEL_A))
    assert found.limit == BOX // 2
    last = np.rint(_radius()) == BOX // 2
    for half, given in ((found.half1, uneven.half1), (found.mean, (uneven.half1 + uneven.half2) / 2)):
        after, before = (np.square(np.abs(np.fft.rfftn(one)[last])).sum() for one in (half, given))
        assert after > 0.5 * before


def _radius() -> np.ndarray:
    axis = np.fft.fftfreq(BOX, 1 / BOX)
    return np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + np.arange(BOX // 2 + 1) ** 2)


def test_even_maps_come_back_untouched() -> None:
    maps = uneven_maps(gap=False)
    found = run(maps, SMALL)
    assert found.models is None and "no significant anisotropy" in found.reason
    assert found.half1 is maps.half1 and found.half2 is maps.half2


def test_noise_comes_back_untouched(uneven: UnevenMaps) -> None:
    half1, half2 = np.random.default_rng(5).standard_normal((2, BOX, BOX, BOX), dtype=np.float32)
    found = correct(half1, half2, uneven.mask, PIXEL_A, SMALL)
    assert found.models is None and "no signal" in found.reason
    assert found.half1 is half1 and found.half2 is half2


@pytest.mark.usefixtures("few_examples")
def test_networks_of_their_own_the_same_from_the_same_seed(uneven: UnevenMaps, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    first = run(uneven, SMALL, folder)
    assert len(first.learned) == 2 and len(list(folder.iterdir())) == 4
    assert first.learned[0].course.steps == [1, 2, 3, 4]
    states = [learned.network.state_dict() for learned in first.learned]
    assert any(not states[0][name].equal(states[1][name]) for name in states[0])
    # trained anew, and read from the finished checkpoints
    for checkpoints in (None, folder):
        again = run(uneven, SMALL, checkpoints)
        assert np.array_equal(again.half1, first.half1) and np.array_equal(again.half2, first.half2)


@pytest.mark.usefixtures("few_examples")
def test_one_network_for_both_half_maps(uneven: UnevenMaps) -> None:
    options = CorrectionOptions(**{**vars(SMALL), "joint": True, "rotations": "cube"})
    found = run(uneven, options)
    assert len(found.learned) == 1
    assert uneven.agreement(found.half2, poor=False) > uneven.agreement(uneven.half2, poor=False)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (CorrectionOptions(steps=-1), "steps -1"),
        (CorrectionOptions(width=0), "width 0"),
        (CorrectionOptions(batch=0), "batch 0"),
        (CorrectionOptions(cube=20), "cubes of 20 voxels"),
        (CorrectionOptions(cube=64), "cubes of 64 voxels"),
    ],
)
def test_numbers_that_cannot_be(options: CorrectionOptions, what: str) -> None:
    with pytest.raises(InputError, match=what):
        fitting(options, BOX)


def test_large_maps_have_fewer_examples() -> None:
    for of_a_cube in (True, False):
        assert [len(rotations(of_a_cube, box, seed=1)) for box in (48, 128, 192, 512)] == [24, 24, 11, 6]
    assert len(set(rotations(True, 192, seed=1))) == 11


def test_defaults_fit_the_box() -> None:
    assert fitting(CorrectionOptions(), 28).cube == 24
    assert fitting(CorrectionOptions(), 200).cube == 32


def test_defaults_are_the_same_with_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = fitting(CorrectionOptions(), 96).parameters
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert fitting(CorrectionOptions(), 96).parameters == alone


@pytest.mark.parametrize("limit_A", [1.0, 400.0])
def test_a_limit_beyond_the_maps(uneven: UnevenMaps, limit_A: float) -> None:
    with pytest.raises(InputError, match="--limit"):
        run(uneven, CorrectionOptions(steps=0, limit_A=limit_A))


def test_a_mask_without_solvent(uneven: UnevenMaps) -> None:
    with pytest.raises(InputError, match="no solvent"):
        correct(uneven.half1, uneven.half2, np.ones_like(uneven.mask), PIXEL_A, SMALL)
