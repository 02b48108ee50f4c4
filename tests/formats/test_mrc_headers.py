"""Headers of MRC files that say wrong things of the bytes behind them, in images and maps alike."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from mpop.errors import InputError
from mpop.formats.images import decode_image, open_stack, read_image, read_map, write_map
from mpop.formats.map_headers import claims_a_stack

BYTES = np.arange(64, dtype=np.uint8).reshape(8, 8) * 4
FLAGS = 156
MIN_MAX = 76


def write_bytes(path: Path, data: np.ndarray = BYTES) -> Path:
    """A file of mode 0, whose bytes are those of `data`."""
    with mrcfile.new(path) as mrc:
        mrc.set_data(data.view(np.int8))
    return path


def patch(path: Path, at: int, content: bytes) -> Path:
    """Overwrite some bytes."""
    whole = bytearray(path.read_bytes())
    whole[at : at + len(content)] = content
    path.write_bytes(whole)
    return path


def imod(flags: int) -> bytes:
    """IMOD's stamp and flags."""
    return struct.pack("<2i", 1146047817, flags)


def test_bytes_of_imod_are_unsigned_unless_flagged(tmp_path: Path) -> None:
    path = patch(write_bytes(tmp_path / "unsigned.mrc"), FLAGS - 4, imod(12))
    np.testing.assert_array_equal(read_image(path), BYTES.astype(np.float32))
    path = patch(write_bytes(tmp_path / "signed.mrc"), FLAGS - 4, imod(13))
    np.testing.assert_array_equal(read_image(path), BYTES.view(np.int8).astype(np.float32))


def test_bytes_of_others_are_signed_unless_the_header_has_a_range_that_cannot_be(tmp_path: Path) -> None:
    signed = BYTES.view(np.int8).astype(np.float32)
    np.testing.assert_array_equal(read_image(write_bytes(tmp_path / "plain.mrc")), signed)
    for name, limits, expected in (
        ("unsigned", (0, 252), BYTES),
        ("unknown", (0, -1), signed),
        ("both", (-128, 255), signed),
        ("small", (0, 127), signed),
    ):
        path = patch(write_bytes(tmp_path / f"{name}.mrc"), MIN_MAX, struct.pack("<2f", *limits))
        np.testing.assert_array_equal(read_image(path), expected)


def test_stacks_and_maps_of_unsigned_bytes(tmp_path: Path) -> None:
    cube = np.stack([BYTES] * 8)
    path = patch(write_bytes(tmp_path / "cube.mrc", cube), FLAGS - 4, imod(0))
    np.testing.assert_array_equal(read_map(path)[0], cube.astype(np.float32))
    images, _ = open_stack(path)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, cube)


def test_the_flag_means_nothing_to_other_modes(tmp_path: Path) -> None:
    with mrcfile.new(tmp_path / "image.mrc") as mrc:
        mrc.set_data(-BYTES.astype(np.int16))
    path = patch(tmp_path / "image.mrc", FLAGS - 4, imod(0))
    np.testing.assert_array_equal(read_image(path), -BYTES.astype(np.float32))


def a_map(path: Path) -> Path:
    write_map(path, np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32), 2.0)
    return path


def as_image(path: Path) -> object:
    return decode_image(path.read_bytes(), path)


@pytest.mark.parametrize("read", [as_image, read_map, open_stack, claims_a_stack])
@pytest.mark.parametrize(
    ("at", "content", "said"),
    [
        (208, b"\0\0\0\0", r"bytes 209 to 211 are b'\x00\x00\x00', and must be 'MAP'"),
        (212, b"\0\0\0\0", "its machine stamp is 00 00, and must be 44 44 as its numbers are little-endian"),
        (212, b"\x11\x11\0\0", "its machine stamp is 11 11, and must be 44 44 as its numbers are little-endian"),
    ],
)
def test_a_wrong_id_or_stamp_is_named_with_the_repair(
    tmp_path: Path, read: Callable[[Path], object], at: int, content: bytes, said: str
) -> None:
    path = patch(a_map(tmp_path / "a.mrc"), at, content)
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(caught.value) == f"{path}: {said}; write it anew, for example by IMOD: newstack a.mrc repaired.mrc"


def test_a_file_that_is_no_mrc_at_all_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "a.mrc").write_bytes(b"text " * 1000)
    with pytest.raises(InputError, match=r"a\.mrc: not a readable MRC file"):
        read_image(tmp_path / "a.mrc")


def test_big_endian_files_with_their_stamp_are_read(tmp_path: Path) -> None:
    volume = np.arange(512, dtype=">f4").reshape(8, 8, 8)
    with mrcfile.new(tmp_path / "big.mrc") as mrc:
        mrc.set_data(volume)
    assert (tmp_path / "big.mrc").read_bytes()[212:214] == b"\x11\x11"
    np.testing.assert_array_equal(read_map(tmp_path / "big.mrc")[0], volume.astype(np.float32))


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ((16.0, 24.0, 16.0), "its pixels are 2 x 3 A by the header, and must be squares"),
        ((-16.0, 16.0, 16.0), "its cell is -16 x 16 A by the header"),
        ((float("nan"), 16.0, 16.0), "its cell is nan x 16 A by the header"),
    ],
)
def test_a_cell_that_cannot_be_is_named_with_the_repair(
    tmp_path: Path, cell: tuple[float, float, float], said: str
) -> None:
    path = patch(write_bytes(tmp_path / "a.mrc"), 40, struct.pack("<3f", *cell))
    with pytest.raises(InputError) as caught:
        decode_image(path.read_bytes(), path, square_pixels=True)
    repair = "correct it, for example by IMOD: alterheader -del PIXEL,PIXEL,PIXEL a.mrc"
    assert str(caught.value) == f"{path}: {said}; {repair}"
    with pytest.raises(InputError, match="by the header"):
        open_stack(path, square_pixels=True)
    np.testing.assert_array_equal(read_image(path), BYTES.view(np.int8))  # images imported before stay readable


def test_a_cell_of_no_size_in_a_map_is_named(tmp_path: Path) -> None:
    path = patch(a_map(tmp_path / "a.mrc"), 40, struct.pack("<3f", 16, -16, 16))
    with pytest.raises(InputError, match="its cell is 16 x -16 x 16 A by the header"):
        read_map(path)


@pytest.mark.parametrize("cell", [(0.0, 0.0, 0.0), (16.0, 0.0, 0.0), (8.0, 8.0, 0.0), (16.0, 16.05, 0.0)])
def test_a_cell_that_claims_nothing_or_nearly_squares_is_silent(
    tmp_path: Path, cell: tuple[float, float, float]
) -> None:
    path = patch(write_bytes(tmp_path / "a.mrc"), 40, struct.pack("<3f", *cell))
    decode_image(path.read_bytes(), path, square_pixels=True)
    open_stack(path, square_pixels=True)
