"""Images and maps: MRC and TIFF in, MRC out."""

from __future__ import annotations

import gzip
import io
import logging
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import mrcfile
import numpy as np
from mrcfile.mrcfile import MrcFile
from mrcfile.mrcinterpreter import MrcInterpreter
from mrcfile.utils import data_dtype_from_header, data_shape_from_header
from numpy.typing import NDArray

from mpop.errors import InputError, RefinementError
from mpop.formats.files import replacing, require_file
from mpop.formats.known_kinds import MRC, TIFF, is_not
from mpop.formats.mrc_headers import BEGIN_BYTES, bytes_are_unsigned, header_fault
from mpop.words import counted
from mpop_store.threads import allowed

STACK_SUFFIX = ".mrcs"
MRC_SUFFIXES = {".mrc", STACK_SUFFIX, ".map", ".st", ".ali", ".rec"}
TIFF_SUFFIXES = {".tif", ".tiff"}
LABEL = "mpop"
GZIP_BEGIN = b"\x1f\x8b"
CELL_TOLERANCE, ANGLE_TOLERANCE_DEG = 0.01, 0.1
"""By how much a cell's voxels may differ from cubes."""


def read_image(path: str | Path) -> NDArray[np.float32]:
    """One 2-D image (y, x). Raises InputError naming the file when it is missing, damaged or not one image."""
    return decode_image(_content(Path(path)), path)[0]


def decode_image(
    content: bytes, path: str | Path, square_pixels: bool = False
) -> tuple[NDArray[np.float32], float | None]:
    """An image (y, x) from the bytes of its file, and the pixel size that the header claims.

    path: of the file, for its suffix and for messages. square_pixels: whether the header must not say otherwise.
    The pixel size is None where the header claims nothing (0 or 1 A). Raises InputError.
    """
    path = Path(path)
    if path.suffix.lower() in TIFF_SUFFIXES:
        data, pixel_size = _decode_tiff(content, path), None
    else:
        data, header = _decode_mrc(io.BytesIO(content), path)
        if square_pixels:
            _check_pixels(header, path)
        pixel_size = _voxel_size(float(header.cella.x), int(header.mx))
    image = np.squeeze(data, axis=0) if data.ndim == 3 and data.shape[0] == 1 else data
    if image.ndim != 2:
        raise InputError(f"{path}: expected one image, found an array of shape {data.shape}")
    return _as_float(image, path), pixel_size


def read_map(path: str | Path, cubic_voxels: bool = True) -> tuple[NDArray[np.float32], float | None]:
    """A cubic map (z, y, x) and the voxel size of its header, None where it claims nothing (0 or 1 A).

    The file may be gzipped, as EMDB's are. cubic_voxels: whether the header must not say otherwise.
    """
    path = Path(path)
    if path.name.lower().removesuffix(".gz").endswith(STACK_SUFFIX):
        raise InputError(f"{path}: by its name a stack of images; a map is called .mrc")
    data, header = _decode_mrc(_stream(path), path)
    if data.ndim != 3 or len(set(data.shape)) != 1:
        raise InputError(f"{path}: a map must be a cube, this is {' x '.join(map(str, data.shape[::-1]))}")
    if cubic_voxels:
        _check_cell(header, path)
    return _as_float(data, path), _voxel_size(float(header.cella.x), int(header.mx))


def open_stack(path: str | Path, square_pixels: bool = False) -> tuple[NDArray, float | None]:
    """The images (n, y, x) of an MRC stack, mapped into memory and not read, and the pixel size of its header.

    The type is the file's. square_pixels: as in `decode_image`. Raises InputError naming the file when it is
    missing, cut short or no stack.
    """
    path = Path(path)
    require_file(path)
    try:
        header = _refuse_cut_short(path, path.stat().st_size)
        dtype, shape = data_dtype_from_header(header), data_shape_from_header(header)
        _check_axes(header)
        if bytes_are_unsigned(header):
            dtype = np.dtype(np.uint8)
        if dtype.kind == "c" or len(shape) not in (2, 3):
            raise ValueError("not a stack of real images")
        start = header.nbytes + int(header.nsymbt)
        data = np.memmap(path, dtype, "r", start, (1, *shape) if len(shape) == 2 else shape)
    except (ValueError, OverflowError) as error:
        with path.open("rb") as file:
            fault = header_fault(file.read(BEGIN_BYTES), path)
        message = fault or f"not a readable MRC stack ({_one_line(error)})"
        raise InputError(is_not(path, MRC, message)) from error
    if square_pixels:
        _check_pixels(header, path)
    return data, _voxel_size(float(header.cella.x), int(header.mx))


def _refuse_cut_short(path: Path, there: int) -> np.recarray:
    """The header of an MRC file. Raises ValueError when it promises more than the bytes that are there."""
    with mrcfile.open(path, header_only=True) as mrc:
        header = mrc.header
    assert header is not None
    dtype, shape = data_dtype_from_header(header), data_shape_from_header(header)
    wanted = header.nbytes + int(header.nsymbt) + dtype.itemsize * math.prod(shape)
    if there < wanted:
        raise ValueError(f"{there} bytes long, its header promises {wanted}")
    return header


def write_map(path: str | Path, volume: NDArray[np.floating], pixel_size_A: float) -> None:
    """Write a map (z, y, x) as MRC, mode 2. The same map gives the same bytes.

    Raises RefinementError for a map that is not finite, and writes nothing.
    """
    finite = np.isfinite(volume)
    if not finite.all():
        lost = counted(int(np.count_nonzero(~finite)), "voxel")
        raise RefinementError(f"{path}: not written, as {lost} of {volume.size} would be NaN or infinite")
    _write_mrc(Path(path), volume, pixel_size_A, is_volume=True)


def write_image(path: str | Path, image: NDArray[np.floating], pixel_size_A: float) -> None:
    """Write an image (y, x) as MRC, mode 2. The same image gives the same bytes."""
    _write_mrc(Path(path), image, pixel_size_A, is_volume=False)


@contextmanager
def new_stack(path: str | Path, shape: tuple[int, int, int], pixel_size_A: float) -> Iterator[NDArray[np.float32]]:
    """An image stack (n, y, x) as an array in its file, MRC mode 2, which is there when the block ends well."""
    with replacing(Path(path)) as temporary, mrcfile.new_mmap(temporary, shape, mrc_mode=2) as mrc:
        assert mrc.header is not None and mrc.data is not None
        mrc.set_image_stack()
        _head(mrc, pixel_size_A)
        yield mrc.data


def _head(mrc: MrcFile, pixel_size_A: float) -> None:
    """Voxel size, and a label of our own: mrcfile's holds the time."""
    assert mrc.header is not None
    mrc.voxel_size = pixel_size_A
    mrc.header.label[:] = b""
    mrc.header.label[0] = LABEL.encode()
    mrc.header.nlabl = 1


def _write_mrc(path: Path, data: NDArray[np.floating], pixel_size_A: float, is_volume: bool) -> None:
    with replacing(path) as temporary, mrcfile.new(temporary) as mrc:
        assert mrc.header is not None
        mrc.set_data(np.ascontiguousarray(data, dtype=np.float32))
        if is_volume:
            mrc.set_volume()
        _head(mrc, pixel_size_A)


def _decode_mrc(content: BinaryIO, path: Path) -> tuple[NDArray, np.recarray]:
    """Data in file order, and the header. Closes the stream."""
    begin = content.read(BEGIN_BYTES)
    content.seek(0)
    try:
        # closing the stream first keeps the interpreter from writing back into it
        with content as stream:
            try:
                mrc = MrcInterpreter(stream)
            except MemoryError:
                _refuse_cut_short(path, stream.seek(0, io.SEEK_END))  # a damaged header may promise any size
                raise
        header, data = mrc.header, mrc.data
        if data is None or header is None:
            raise ValueError("no data")
        _check_axes(header)
        return data.view(np.uint8) if bytes_are_unsigned(header) else data, header
    except (ValueError, OverflowError) as error:
        fault = header_fault(begin, path)
        message = fault or f"not a readable MRC file ({_one_line(error)})"
        raise InputError(is_not(path, MRC, message)) from error


def _check_axes(header: np.recarray) -> None:
    order = (int(header.mapc), int(header.mapr), int(header.maps))
    if order not in ((1, 2, 3), (0, 0, 0)):
        raise ValueError(f"axis order {order}, expected 1, 2, 3")


def _check_cell(header: np.recarray, path: Path) -> None:
    """Raises InputError for a cell whose voxels are no cubes. Lengths and angles of 0 claim nothing."""
    unequal = _unequal_lengths(header, path, "xyz")
    if unequal:
        raise InputError(
            f"{path}: its voxels are {unequal} A by the header, and must be cubes; resample the map, "
            "or give --angpix if the header is wrong"
        )
    angles = [float(header.cellb[name]) for name in ("alpha", "beta", "gamma")]
    if any(angle and abs(angle - 90) > ANGLE_TOLERANCE_DEG for angle in angles):
        raise InputError(
            f"{path}: the angles of its cell are {', '.join(f'{angle:g}' for angle in angles)} degrees, "
            "and must be 90; resample the map, or give --angpix if the header is wrong"
        )


def _check_pixels(header: np.recarray, path: Path) -> None:
    """Raises InputError for an image whose pixels are no squares. Lengths of 0 claim nothing."""
    unequal = _unequal_lengths(header, path, "xy")
    if unequal:
        raise InputError(
            f"{path}: its pixels are {unequal} A by the header, and must be squares; {_corrected(path)}"
        )


def _unequal_lengths(header: np.recarray, path: Path, axes: str) -> str | None:
    """The lengths of a voxel in words, None if they are equal. Raises InputError for a cell of no size."""
    cell = [float(header.cella[axis]) for axis in axes]
    if not all(np.isfinite(cell)) or min(cell) < 0:
        size = " x ".join(f"{length:g}" for length in cell)
        raise InputError(f"{path}: its cell is {size} A by the header; {_corrected(path)}")
    lengths = [_length(length, int(header[f"m{axis}"])) for axis, length in zip(axes, cell, strict=True)]
    claimed = [length for length in lengths if length]
    if not claimed or max(claimed) <= (1 + CELL_TOLERANCE) * min(claimed):
        return None
    return " x ".join("?" if length is None else f"{length:.4g}" for length in lengths)


def _corrected(path: Path) -> str:
    return f"correct it, for example by IMOD: alterheader -del PIXEL,PIXEL,PIXEL {path.name}"


def _voxel_size(cell_A: float, sampling: int) -> float | None:
    """Voxel size, A; None for 1 A, which many programs write when they do not know."""
    return None if cell_A == sampling else _length(cell_A, sampling)


def _length(cell_A: float, sampling: int) -> float | None:
    """Of a voxel along an axis, A; None where nothing is claimed.

    Headers keep it in single precision: what is beyond that is noise.
    """
    if sampling <= 0 or not np.isfinite(cell_A) or cell_A <= 0:
        return None
    return float(f"{cell_A / sampling:.6g}")


def _decode_tiff(content: bytes, path: Path) -> NDArray:
    import tifffile  # maps are MRC, and wait for nothing else

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it writes a line for each part that it doubts
    try:
        with io.BytesIO(content) as stream:
            return np.asarray(tifffile.imread(stream, maxworkers=allowed()))
    except Exception as error:  # tifffile raises whatever its parsing stumbles over
        raise InputError(is_not(path, TIFF, f"not a readable TIFF file ({_one_line(error)})")) from error


def _content(path: Path) -> bytes:
    require_file(path)
    return path.read_bytes()


def _stream(path: Path) -> BinaryIO:
    """The content of a file, unpacked if it is gzipped."""
    require_file(path)
    stream = path.open("rb")
    begin = stream.read(len(GZIP_BEGIN))
    stream.seek(0)
    if begin != GZIP_BEGIN:
        return stream
    try:
        with stream:
            return io.BytesIO(gzip.decompress(stream.read()))
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: not a readable gzip file ({_one_line(error)})") from error


def _as_float(data: NDArray, path: Path) -> NDArray[np.float32]:
    """Single precision; InputError naming the first value that is not a finite number."""
    if np.iscomplexobj(data):
        raise InputError(f"{path}: holds complex numbers, expected a real image or map")
    converted = data.astype(np.float32, copy=False)
    finite = np.isfinite(converted)
    if not finite.all():
        first = ", ".join(str(int(i)) for i in np.argwhere(~finite)[0][::-1])
        axes = "x, y, z"[: 3 * data.ndim - 2]
        many = int((~finite).sum())
        found = f"{counted(many, 'value')} {'is' if many == 1 else 'are'} NaN or infinite"
        raise InputError(f"{path}: {found}, the first at {axes} = {first}")
    return converted


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
