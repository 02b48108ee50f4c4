"""Images and maps: MRC and TIFF in, MRC out."""

from __future__ import annotations

import warnings
from pathlib import Path

import mrcfile
import numpy as np
import tifffile
from numpy.typing import NDArray

from mpop.errors import InputError
from mpop.formats.files import replacing

MRC_SUFFIXES = {".mrc", ".mrcs", ".map", ".st", ".ali", ".rec"}
TIFF_SUFFIXES = {".tif", ".tiff"}
LABEL = "mpop"


def read_image(path: str | Path) -> NDArray[np.float32]:
    """One 2-D image (y, x). Raises InputError naming the file when it is missing, damaged or not one image."""
    return read_image_and_pixel_size(path)[0]


def read_image_and_pixel_size(path: str | Path) -> tuple[NDArray[np.float32], float | None]:
    """An image and the pixel size that its header claims; None where it claims nothing (0 or 1 A)."""
    path = Path(path)
    if path.suffix.lower() in TIFF_SUFFIXES:
        data, pixel_size = _read_tiff(path), None
    else:
        data, pixel_size = _read_mrc(path)
    image = np.squeeze(data, axis=0) if data.ndim == 3 and data.shape[0] == 1 else data
    if image.ndim != 2:
        raise InputError(f"{path}: expected one image, found an array of shape {data.shape}")
    return _finite(image.astype(np.float32), path), pixel_size


def read_map(path: str | Path) -> tuple[NDArray[np.float32], float | None]:
    """A cubic map (z, y, x) and the voxel size of its header, None where it claims nothing (0 or 1 A)."""
    path = Path(path)
    data, pixel_size = _read_mrc(path)
    if data.ndim != 3 or len(set(data.shape)) != 1:
        raise InputError(f"{path}: a map must be a cube, this is {' x '.join(map(str, data.shape[::-1]))}")
    return _finite(data.astype(np.float32), path), pixel_size


def write_map(path: str | Path, volume: NDArray[np.floating], pixel_size_A: float) -> None:
    """Write a map (z, y, x) as MRC, mode 2. The same map gives the same bytes."""
    _write_mrc(Path(path), volume, pixel_size_A, is_volume=True)


def write_image(path: str | Path, image: NDArray[np.floating], pixel_size_A: float) -> None:
    """Write an image (y, x) as MRC, mode 2. The same image gives the same bytes."""
    _write_mrc(Path(path), image, pixel_size_A, is_volume=False)


def _write_mrc(path: Path, data: NDArray[np.floating], pixel_size_A: float, is_volume: bool) -> None:
    with replacing(path) as temporary, mrcfile.new(temporary) as mrc:
        assert mrc.header is not None
        mrc.set_data(np.ascontiguousarray(data, dtype=np.float32))
        if is_volume:
            mrc.set_volume()
        mrc.voxel_size = pixel_size_A
        mrc.header.label[:] = b""  # mrcfile's own label holds the time
        mrc.header.label[0] = LABEL.encode()
        mrc.header.nlabl = 1


def _read_mrc(path: Path) -> tuple[NDArray, float | None]:
    """Data in file order and the voxel size along x."""
    _must_exist(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with mrcfile.open(path, mode="r") as mrc:
                if mrc.data is None or mrc.header is None:
                    raise ValueError("no data")
                order = (int(mrc.header.mapc), int(mrc.header.mapr), int(mrc.header.maps))
                if order not in ((1, 2, 3), (0, 0, 0)):
                    raise ValueError(f"axis order {order}, expected 1, 2, 3")
                size = float(mrc.voxel_size.x)
                return mrc.data.copy(), None if size in (0.0, 1.0) else size
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: not a readable MRC file ({_one_line(error)})") from error


def _read_tiff(path: Path) -> NDArray:
    _must_exist(path)
    try:
        return np.asarray(tifffile.imread(path))
    except (ValueError, OSError, tifffile.TiffFileError) as error:
        raise InputError(f"{path}: not a readable TIFF file ({_one_line(error)})") from error


def _must_exist(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path}: no such file")


def _finite(data: NDArray[np.float32], path: Path) -> NDArray[np.float32]:
    finite = np.isfinite(data)
    if not finite.all():
        first = ", ".join(str(int(i)) for i in np.argwhere(~finite)[0][::-1])
        raise InputError(
            f"{path}: {int((~finite).sum())} values are NaN or infinite, the first at x, y(, z) = {first}"
        )
    return data


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
