"""A map against its atomic model and against other maps, where the answer is known."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest
from noisy_halves import noisy_halves

from mpop.errors import InputError
from mpop.formats.images import read_map, write_map
from mpop.jobs.maps.fsc import half_map_fsc
from mpop.jobs.maps.fsc_to_reference import MapFSC, OneMap, against_map, against_model, numbers
from mpop.jobs.maps.input import HalfMaps
from mpop.maps.volume_checks import mirrored


@pytest.fixture(scope="module")
def haemoglobin(test_data: Path) -> tuple[Path, Path]:
    """EMD-3488, 3.2 A, and the model that was built into it."""
    return test_data / "maps" / "emd_3488.mrc", test_data / "models" / "5ni1_updated.cif"


def test_a_real_map_agrees_with_its_model_to_its_resolution(haemoglobin: tuple[Path, Path]) -> None:
    path, model = haemoglobin
    result = against_model(OneMap.read(path), model)
    found = numbers(result)
    assert found["resolution_at_half_A"] == pytest.approx(3.2, abs=0.1)
    assert found["mask"]["from"] == "model"
    assert found["warnings"] == []
    assert result.curve.correlation[5:28].min() > 0.85


@pytest.mark.parametrize("field", ["origin", "nstart"])
def test_a_map_that_lies_elsewhere_takes_its_model_with_it(
    haemoglobin: tuple[Path, Path], tmp_path: Path, field: str
) -> None:
    """The middle of the map, cut out; its header says where from."""
    path, model = haemoglobin
    volume, pixel = read_map(path)
    assert pixel is not None
    cut = tmp_path / "cut.mrc"
    write_map(cut, volume[8:92, 10:94, 12:96], pixel)
    with mrcfile.open(cut, "r+") as mrc:
        assert mrc.header is not None
        if field == "origin":
            mrc.header.origin.x, mrc.header.origin.y, mrc.header.origin.z = 12 * pixel, 10 * pixel, 8 * pixel
        else:
            mrc.header.nxstart, mrc.header.nystart, mrc.header.nzstart = 12, 10, 8
    whole = numbers(against_model(OneMap.read(path), model))["resolution_at_half_A"]
    part = numbers(against_model(OneMap.read(cut), model))["resolution_at_half_A"]
    assert part == pytest.approx(whole, rel=0.01)


def test_a_shifted_map_agrees_less(haemoglobin: tuple[Path, Path], tmp_path: Path) -> None:
    path, model = haemoglobin
    volume, pixel = read_map(path)
    assert pixel is not None
    write_map(tmp_path / "shifted.mrc", np.roll(volume, 1, axis=0), pixel)
    found = numbers(against_model(OneMap.read(tmp_path / "shifted.mrc"), model))
    assert found["resolution_at_half_A"] > 3.6


def test_the_wrong_hand_is_told(haemoglobin: tuple[Path, Path]) -> None:
    path, model = haemoglobin
    one = OneMap.read(path)
    result = against_model(OneMap("mirrored", mirrored(one.volume), one.pixel_size_A), model)
    assert "mirror image of the model" in " ".join(map(str, result.doubts))


def test_a_negative_map_is_told(haemoglobin: tuple[Path, Path]) -> None:
    path, model = haemoglobin
    one = OneMap.read(path)
    result = against_model(OneMap("negative", -one.volume, one.pixel_size_A), model)
    (doubt,) = result.doubts
    assert str(doubt) == "negative: the map is the negative of the model: density must be white; multiply by -1"
    assert doubt.grave


def test_a_model_that_is_elsewhere_is_refused(haemoglobin: tuple[Path, Path], test_data: Path) -> None:
    with pytest.raises(InputError, match=r"only \d+ % of its atoms are inside the map"):
        against_model(OneMap.read(haemoglobin[0]), test_data / "models" / "8bk7.cif")


def test_half_maps_against_the_truth_reach_the_resolution_that_they_claim(tmp_path: Path) -> None:
    maps = noisy_halves(b_factor_A2=150.0, noise=0.6)
    write_map(tmp_path / "truth.mrc", maps.truth, 1.5)
    halves = HalfMaps("particle", maps.half1, maps.half2, maps.mask, 1.5)
    result = against_map(OneMap.of_halves(halves), tmp_path / "truth.mrc")
    claimed = half_map_fsc(halves).report.resolution_A
    assert result.curve.resolution(0.5) == pytest.approx(claimed, rel=0.04)
    assert result.masked is not None
    assert numbers(result)["resolution_at_half_unmasked_A"] > result.masked.resolution(0.5)


def test_the_same_map_is_told(tmp_path: Path) -> None:
    maps = noisy_halves(32)
    write_map(tmp_path / "map.mrc", maps.half1, 1.5)
    result = against_map(OneMap.read(tmp_path / "map.mrc"), tmp_path / "map.mrc")
    assert [str(doubt) for doubt in result.doubts] == [f"{tmp_path / 'map.mrc'}: it is the same map as map"]
    assert result.curve.resolution(0.5) == pytest.approx(3.0)


def test_unrelated_maps_are_told(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_map(tmp_path / f"{seed}.mrc", np.random.default_rng(seed).normal(size=(32, 32, 32)), 2.0)
    result: MapFSC = against_map(OneMap.read(tmp_path / "1.mrc"), tmp_path / "2.mrc")
    assert "hardly agrees" in " ".join(map(str, result.doubts))


def test_maps_must_be_alike(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, box, pixel in (("a", 16, 2.0), ("box", 18, 2.0), ("pixel", 16, 3.0)):
        write_map(tmp_path / f"{name}.mrc", rng.random((box,) * 3), pixel)
    one = OneMap.read(tmp_path / "a.mrc")
    with pytest.raises(InputError, match=r"box.mrc: box 18, but a has 16"):
        against_map(one, tmp_path / "box.mrc")
    with pytest.raises(InputError, match=r"pixel.mrc: 3 A/px, but a has 2; give --angpix"):
        against_map(one, tmp_path / "pixel.mrc")
    against_map(OneMap.read(tmp_path / "a.mrc", pixel_size_A=2.5), tmp_path / "pixel.mrc")
    with pytest.raises(InputError, match=r"pixel.mrc: 3 A/px"):
        OneMap.read(tmp_path / "a.mrc", mask=tmp_path / "pixel.mrc")
    with pytest.raises(InputError, match="--angpix 0 is not a length"):
        OneMap.read(tmp_path / "a.mrc", pixel_size_A=0.0)
