"""Where a map lies: the origin of an MRC header."""

from __future__ import annotations

from pathlib import Path

import mrcfile

from mpop.errors import InputError
from mpop.formats.files import require_file


def map_origin_A(path: Path, pixel_size_A: float) -> tuple[float, float, float]:
    """x, y, z of the first voxel in A: ORIGIN unless that is 0, else NXSTART times the pixel size, as in ChimeraX.

    Raises InputError when the file is missing or no MRC file.
    """
    require_file(path)
    try:
        with mrcfile.open(path, header_only=True) as mrc:
            header = mrc.header
            assert header is not None
            origin = (float(header.origin.x), float(header.origin.y), float(header.origin.z))
            x, y, z = (float(header[name]) * pixel_size_A for name in ("nxstart", "nystart", "nzstart"))
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: not a readable MRC file ({' '.join(str(error).split())})") from error
    return origin if any(origin) else (x, y, z)
