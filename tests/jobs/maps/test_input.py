"""Half-maps from files and from a species, and what is wrong with them in one line."""

from __future__ import annotations

import shutil
from pathlib import Path

import mrcfile
import numpy as np
import pytest
from example_population import make_population

from mpop.errors import InputError, NotFoundError
from mpop.formats.images import write_map
from mpop.jobs.maps.input import from_files, from_species, header_doubts

RNG = np.random.default_rng(5)
HALF1, HALF2 = RNG.standard_normal((2, 8, 8, 8), dtype=np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_map(tmp_path / "half1.mrc", HALF1, 2.0)
    write_map(tmp_path / "half2.mrc", HALF2, 2.0)
    write_map(tmp_path / "mask.mrc", np.full((8, 8, 8), 0.5), 2.0)
    return tmp_path


def test_files_are_read_with_the_pixel_size_of_their_headers(folder: Path) -> None:
    maps = from_files(folder / "half1.mrc", folder / "half2.mrc", folder / "mask.mrc")
    assert np.array_equal(maps.half1, HALF1)
    assert np.array_equal(maps.half2, HALF2)
    assert np.all(maps.required_mask() == 0.5)
    assert (maps.name, maps.box, maps.pixel_size_A, maps.species) == ("half1", 8, 2.0, None)
    assert from_files(folder / "half1.mrc", folder / "half2.mrc", pixel_size_A=1.5).pixel_size_A == 1.5


def test_no_mask_is_told_when_one_is_needed(folder: Path) -> None:
    maps = from_files(folder / "half1.mrc", folder / "half2.mrc")
    assert maps.mask is None
    with pytest.raises(InputError, match="half1: this needs a mask around the particle; give --mask MASK"):
        maps.required_mask()


@pytest.mark.filterwarnings("ignore:Data array contains NaN:RuntimeWarning")  # mrcfile, of the damaged file
@pytest.mark.parametrize(
    ("name", "volume", "pixel_size_A", "message"),
    [
        ("half2", HALF1, 2.0, "are the same map; two independent half-maps are needed"),
        ("half2", 2 * HALF1 + 1, 2.0, "are one map, but for its scale; two independent half-maps are needed"),
        ("half2", -0.5 * HALF1, 2.0, "are one map, but for its scale"),
        ("half2", np.zeros((8, 8, 8)), 2.0, r"half2\.mrc: every voxel is 0; is it the right file\?"),
        ("half2", np.ones((9, 9, 9)), 2.0, r"half2\.mrc: box 9, but .*half1\.mrc has 8; all maps must be alike"),
        ("half2", HALF2, 2.2, r"half2\.mrc: 2\.2 A/px, but .*half1\.mrc has 2; give --angpix if that is wrong"),
        ("half2", np.where(HALF2 > 2, np.nan, HALF2), 2.0, r"half2\.mrc: \d+ values are NaN or infinite"),
        ("half1", HALF1[:, :, :7], 2.0, r"half1\.mrc: a map must be a cube, this is 7 x 8 x 8"),
        ("mask", 0 * HALF1, 2.0, r"mask\.mrc: this mask is 0 everywhere"),
        ("mask", 2 * HALF1, 2.0, r"mask\.mrc: a mask must lie between 0 and 1"),
    ],
)
def test_what_does_not_go_together_is_named(
    folder: Path, name: str, volume: np.ndarray, pixel_size_A: float, message: str
) -> None:
    path = folder / f"{name}.mrc"
    write_map(path, np.nan_to_num(volume), pixel_size_A)
    with mrcfile.open(path, "r+") as mrc:
        mrc.set_data(volume.astype(np.float32))
    with pytest.raises(InputError, match=message):
        from_files(folder / "half1.mrc", folder / "half2.mrc", folder / "mask.mrc")


def test_a_species_brings_its_own_mask(tmp_path: Path) -> None:
    population = make_population(tmp_path)
    species = next(iter(population.species().values()))
    maps = from_species(population, species.name)
    assert maps.species == species
    assert maps.pixel_size_A == species.pixel_size_A
    assert np.array_equal(maps.required_mask(), population.maps(species)["mask"])
    with pytest.raises(NotFoundError, match="no species 'nobody'"):
        from_species(population, "nobody")


def test_maps_that_their_headers_place_apart_are_told(folder: Path) -> None:
    half1, others = folder / "half1.mrc", [folder / "half2.mrc", folder / "mask.mrc"]
    assert header_doubts(half1, others, 8, 2.0) == []
    with mrcfile.open(folder / "mask.mrc", "r+") as mrc:
        mrc.nstart = (-4, -4, -4)  # counted from the middle of the box
    assert header_doubts(half1, others, 8, 2.0) == []
    with mrcfile.open(folder / "half2.mrc", "r+") as mrc:
        mrc.header.origin.z = 6.0
    (doubt,) = header_doubts(half1, others, 8, 2.0)
    assert "half2.mrc: its header places it 0, 0, 3 voxels (x, y, z) from " in str(doubt)


def test_a_cube_of_images_is_no_map(folder: Path) -> None:
    half1, half2 = folder / "half1.mrc", folder / "half2.mrc"
    with mrcfile.open(half2, "r+") as mrc:
        mrc.header.ispg = 0  # as many programs write volumes
    assert header_doubts(half1, [half2], 8, 2.0) == []
    with mrcfile.open(half2, "r+") as mrc:
        mrc.set_image_stack()
    (doubt,) = header_doubts(half1, [half2], 8, 2.0)
    assert "half2.mrc: its header says that this is a stack of images" in str(doubt)
    for name in ("half1.mrcs", "half1.mrcs.gz"):
        shutil.copy(half1, folder / name)
        with pytest.raises(InputError, match=f"{name}: by its name a stack of images"):
            from_files(folder / name, half2)
