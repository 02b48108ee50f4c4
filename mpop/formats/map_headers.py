"""What the header of an MRC file says of a map: where it lies, and whether it is one at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mrcfile
import numpy as np

from mpop.errors import InputError
from mpop.formats.files import require_file
from mpop.formats.mrc_headers import BEGIN_BYTES, header_fault


def map_origin_A(path: Path, pixel_size_A: float) -> tuple[float, float, float]:
    """x, y, z of the first voxel in A: ORIGIN unless that is 0, else NXSTART times the pixel size, as in ChimeraX.

    Raises InputError when the file is missing or no MRC file.
    """
    with _header(path) as header:
        origin = (float(header.origin.x), float(header.origin.y), float(header.origin.z))
        x, y, z = (float(header[name]) * pixel_size_A for name in ("nxstart", "nystart", "nzstart"))
    return origin if any(origin) else (x, y, z)


def claims_a_stack(path: Path) -> bool:
    """Whether ISPG and MZ say that the sections are images: by MRC2014 they are 0 and 1 in a stack.

    Either alone says nothing, as many programs write volumes with one of them. Raises InputError as above.
    """
    with _header(path) as header:
        return int(header.nz) > 1 and (int(header.ispg), int(header.mz)) == (0, 1)


@contextmanager
def _header(path: Path) -> Iterator[np.recarray]:
    require_file(path)
    with path.open("rb") as file:
        if fault := header_fault(file.read(BEGIN_BYTES), path):
            raise InputError(f"{path}: {fault}")
    try:
        with mrcfile.open(path, header_only=True) as mrc:
            assert mrc.header is not None
            yield mrc.header
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: not a readable MRC file ({' '.join(str(error).split())})") from error
