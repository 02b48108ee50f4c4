"""What is wrong in the header of an MRC file, with the repair, and how its bytes are meant."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

BEGIN_BYTES = 1024
MODES = {0, 1, 2, 3, 4, 6, 12, 101}
LARGEST_SIZE = 2**20
STAMPS = {"<": (b"\x44\x44", b"\x44\x41"), ">": (b"\x11\x11",)}
"""Of each byte order, in a file's machine stamp; the first is what the standard says."""
ORDERS = {"<": "little-endian", ">": "big-endian"}
IMOD_STAMP, BYTES_ARE_SIGNED = b"IMOD", 1


def header_fault(begin: bytes, path: Path) -> str | None:
    """What is wrong with a header whose sizes and mode make sense, and the repair; None if nothing is, or all is.

    begin: the first bytes of the file.
    """
    orders = [order for order in ORDERS if _makes_sense(begin, order)]
    if len(orders) != 1:
        return None
    (order,) = orders
    faults = []
    if begin[208:211] != b"MAP":
        faults.append(f"bytes 209 to 211 are {begin[208:211]!r}, and must be 'MAP'")
    if begin[212:214] not in STAMPS[order]:
        stamp, right = (f"{text[0]:02x} {text[1]:02x}" for text in (begin[212:214], STAMPS[order][0]))
        faults.append(f"its machine stamp is {stamp}, and must be {right} as its numbers are {ORDERS[order]}")
    if not faults:
        return None
    return f"{' and '.join(faults)}; write it anew, for example by IMOD: newstack {path.name} repaired.mrc"


def _makes_sense(begin: bytes, order: str) -> bool:
    if len(begin) < BEGIN_BYTES:
        return False
    *sizes, mode = struct.unpack_from(f"{order}4i", begin)
    return mode in MODES and all(0 < size <= LARGEST_SIZE for size in sizes)


def bytes_are_unsigned(header: np.recarray) -> bool:
    """Whether the numbers of mode 0 are 0 to 255: with IMOD's stamp, if its flag for signed bytes is unset; else
    they are signed, as MRC2014 says, unless the header's own range of values is beyond that."""
    if int(header.mode) != 0:
        return False
    extra = header.extra2.tobytes()
    if extra[40:44] in (IMOD_STAMP, IMOD_STAMP[::-1]):
        flags = int.from_bytes(extra[44:48], "little" if extra[40:44] == IMOD_STAMP else "big")
        return not flags & BYTES_ARE_SIGNED
    return float(header.dmin) >= 0 and 127 < float(header.dmax) <= 255
