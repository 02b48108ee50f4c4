"""Images and maps: what is read is what was written, and damage is named in one line."""

from __future__ import annotations

import gzip
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import tifffile

from mpop.errors import InputError, RefinementError
from mpop.formats.images import decode_image, read_image, read_map, write_image, write_map

IMAGE = np.arange(35, dtype=np.float32).reshape(5, 7) - 11


def write_mrc(path: Path, data: np.ndarray, pixel_size_A: float | None = None) -> Path:
    """A file as mrcfile itself writes it."""
    with mrcfile.new(path) as mrc:
        mrc.set_data(data)
        if pixel_size_A is not None:
            mrc.voxel_size = pixel_size_A
    return path


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "float16", "float32"])
def test_an_mrc_image_of_every_real_mode_is_read_as_single_precision(tmp_path: Path, dtype: str) -> None:
    values = np.abs(IMAGE).astype(dtype)
    read = read_image(write_mrc(tmp_path / "image.mrc", values))
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, values.astype(np.float32))


def test_a_stack_of_one_is_an_image_and_a_longer_one_is_not(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_image(write_mrc(tmp_path / "one.mrcs", IMAGE[None])), IMAGE)
    two = write_mrc(tmp_path / "two.mrcs", np.stack([IMAGE, IMAGE]))
    with pytest.raises(InputError, match=r"two\.mrcs: expected one image, found an array of shape \(2, 5, 7\)"):
        read_image(two)


@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_tiff_images_are_read(tmp_path: Path, compression: str | None, dtype: str) -> None:
    values = np.abs(IMAGE).astype(dtype)
    tifffile.imwrite(tmp_path / "image.tif", values, compression=compression)
    np.testing.assert_array_equal(read_image(tmp_path / "image.tif"), values.astype(np.float32))


def test_a_real_micrograph_is_read(test_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "epu.mrc"  # mode 6 and an extended header of FEI's
    path.write_bytes(gzip.decompress((test_data / "micrographs/epu2.9_example.mrc.gz").read_bytes()))
    image, pixel_size = decode_image(path.read_bytes(), path)
    with mrcfile.open(path) as mrc:
        np.testing.assert_array_equal(image, mrc.data.astype(np.float32))
    assert image.shape == (4096, 4096)
    assert pixel_size == pytest.approx(0.6666, abs=1e-3)


def test_the_pixel_size_of_a_header_is_free_of_rounding_and_none_where_nothing_is_claimed(tmp_path: Path) -> None:
    cube = np.zeros((6, 6, 6), dtype=np.float32)
    for claimed, expected in ((1.35, 1.35), (3.54, 3.54), (0.0, None), (1.0, None)):
        assert read_map(write_mrc(tmp_path / f"{claimed}.mrc", cube, claimed))[1] == expected
    path = write_mrc(tmp_path / "sampling.mrc", cube, 2.0)
    with mrcfile.open(path, mode="r+") as mrc:
        mrc.header.mx = 0
    assert read_map(path)[1] is None


def test_real_maps(test_data: Path) -> None:
    volume, pixel_size = read_map(test_data / "maps/emd_3488.mrc")
    assert volume.shape == (100, 100, 100)
    assert pixel_size == 1.05
    assert read_map(test_data / "maps/betaGal_localResolution.mrc")[1] is None  # its header says 1.0, wrongly
    with pytest.raises(InputError, match="a map must be a cube, this is 91 x 91 x 100"):
        read_map(test_data / "maps/emd_3488_contour_mask.mrc")


def test_a_written_map_has_its_size_and_no_trace_of_time(tmp_path: Path) -> None:
    volume = np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32)
    write_map(tmp_path / "a.mrc", volume, 2.37)
    write_map(tmp_path / "b.mrc", volume, 2.37)
    assert (tmp_path / "a.mrc").read_bytes() == (tmp_path / "b.mrc").read_bytes()
    read, pixel_size = read_map(tmp_path / "a.mrc")
    np.testing.assert_array_equal(read, volume)
    assert pixel_size == 2.37
    assert mrcfile.validate(tmp_path / "a.mrc")
    with mrcfile.open(tmp_path / "a.mrc") as mrc:
        assert (int(mrc.header.mode), int(mrc.header.ispg)) == (2, 1)
        assert mrc.get_labels() == ["mpop"]
    write_image(tmp_path / "image.mrc", IMAGE, 1.5)
    assert mrcfile.validate(tmp_path / "image.mrc")
    with mrcfile.open(tmp_path / "image.mrc") as mrc:
        assert mrc.is_single_image()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = np.ones((4, 4, 4), dtype=np.float32)
    write_map(tmp_path / "map.mrc", volume, 2.0)
    before = (tmp_path / "map.mrc").read_bytes()

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(mrcfile.mrcfile.MrcFile, "set_volume", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_map(tmp_path / "map.mrc", 2 * volume, 2.0)
    assert (tmp_path / "map.mrc").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["map.mrc"]


def _truncated(path: Path) -> None:
    write_mrc(path, IMAGE)
    path.write_bytes(path.read_bytes()[:-9])


def _header_only(path: Path) -> None:
    write_mrc(path, IMAGE)
    path.write_bytes(path.read_bytes()[:500])


def _text(path: Path) -> None:
    path.write_text("this is no image, " * 100)


def _huge(path: Path) -> None:
    write_mrc(path, IMAGE)
    content = bytearray(path.read_bytes())
    content[0:8] = np.array([2**31 - 1, 2**31 - 1], dtype="<i4").tobytes()
    path.write_bytes(content)


@pytest.mark.parametrize("spoil", [_truncated, _header_only, _text, _huge], ids=lambda f: f.__name__)
def test_a_damaged_mrc_is_named_in_one_line(tmp_path: Path, spoil) -> None:
    path = tmp_path / "damaged.mrc"
    spoil(path)
    with pytest.raises(InputError, match=r"damaged\.mrc: not a readable MRC file") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.1, 0.7, 0.99])
def test_a_truncated_tiff_is_named_in_one_line(tmp_path: Path, fraction: float, compression: str | None) -> None:
    path = tmp_path / "damaged.tif"
    noise = np.random.default_rng(0).integers(0, 4000, (64, 64), dtype=np.uint16)
    tifffile.imwrite(path, noise, compression=compression)
    content = path.read_bytes()
    path.write_bytes(content[: int(fraction * len(content))])
    with pytest.raises(InputError, match=r"damaged\.tif: ") as caught:
        read_image(path)
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore:Data array contains", "ignore:invalid value encountered in subtract")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_counted_and_placed(tmp_path: Path, value: float) -> None:
    image = IMAGE.copy()
    image[3, 2] = image[4, 6] = value
    with pytest.raises(InputError, match=r"2 values are NaN or infinite, the first at x, y = 2, 3$"):
        read_image(write_mrc(tmp_path / "image.mrc", image))
    cube = np.zeros((4, 4, 4), dtype=np.float32)
    cube[1, 2, 3] = value
    with pytest.raises(InputError, match=r"1 value is NaN or infinite, the first at x, y, z = 3, 2, 1$"):
        read_map(write_mrc(tmp_path / "cube.mrc", cube))


def test_complex_data_and_turned_axes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="complex"):
        read_image(write_mrc(tmp_path / "complex.mrc", IMAGE.astype(np.complex64)))
    turned = write_mrc(tmp_path / "turned.mrc", np.zeros((4, 4, 4), dtype=np.float32))
    with mrcfile.open(turned, mode="r+") as mrc:
        mrc.header.mapc, mrc.header.maps = 3, 1
    with pytest.raises(InputError, match=r"axis order \(3, 2, 1\), expected 1, 2, 3"):
        read_map(turned)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.mrc: no such file"):
        read_image(tmp_path / "nowhere.mrc")


def test_a_gzipped_map_is_read_and_half_of_one_is_named(tmp_path: Path) -> None:
    volume = np.random.default_rng(0).normal(size=(6, 6, 6)).astype(np.float32)
    write_map(tmp_path / "map.mrc", volume, 1.5)
    packed = gzip.compress((tmp_path / "map.mrc").read_bytes())
    (tmp_path / "map.mrc.gz").write_bytes(packed)
    found, pixel = read_map(tmp_path / "map.mrc.gz")
    np.testing.assert_array_equal(found, volume)
    assert pixel == 1.5
    for spoilt in (packed[: len(packed) // 2], packed[:10] + b"\0" * 50, packed[:2]):
        (tmp_path / "map.mrc.gz").write_bytes(spoilt)
        with pytest.raises(InputError, match=r"map\.mrc\.gz: not a readable gzip file"):
            read_map(tmp_path / "map.mrc.gz")


@pytest.mark.parametrize(
    ("field", "values", "message"),
    [
        ("cella", (32.0, 32.0, 41.6), "its voxels are 2 x 2 x 2.6 A by the header, and must be cubes"),
        ("cellb", (90.0, 90.0, 120.0), "the angles of its cell are 90, 90, 120 degrees, and must be 90"),
    ],
)
def test_maps_whose_voxels_are_no_cubes_are_refused(
    tmp_path: Path, field: str, values: tuple[float, ...], message: str
) -> None:
    path = write_mrc(tmp_path / "map.mrc", np.ones((16, 16, 16), dtype=np.float32), 2.0)
    with mrcfile.open(path, "r+") as mrc:
        mrc.header[field] = values
    with pytest.raises(InputError, match=message):
        read_map(path)
    assert read_map(path, cubic_voxels=False)[1] == 2.0


@pytest.mark.parametrize("lengths", [(32.0, 32.0, 0.0), (32.0, 32.2, 32.0)])
def test_a_cell_without_a_length_or_rounded_claims_no_other_voxels(
    tmp_path: Path, lengths: tuple[float, ...]
) -> None:
    path = write_mrc(tmp_path / "map.mrc", np.ones((16, 16, 16), dtype=np.float32), 2.0)
    with mrcfile.open(path, "r+") as mrc:
        mrc.header.cella = lengths
    assert read_map(path)[1] == 2.0


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_map_that_is_not_finite_is_not_written(tmp_path: Path, value: float) -> None:
    volume = np.ones((4, 4, 4), dtype=np.float32)
    volume[1, 2, 3] = value
    with pytest.raises(RefinementError, match=r"map\.mrc: not written, as 1 voxel of 64 would be NaN or infinite"):
        write_map(tmp_path / "map.mrc", volume, 1.0)
    assert list(tmp_path.iterdir()) == []
