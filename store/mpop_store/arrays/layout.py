"""How Zarr v3 lays out an array: a metadata document, and chunks on a regular grid.

Only what a group of mpop's holds is known here: little-endian numbers, not compressed, zero where nothing is
stored. So neither writing nor reading a group needs Zarr, whose import alone takes longer than most commands.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from mpop_store.errors import InputError
from mpop_store.hashing import canonical_json

CHUNK = 64
"""Edge of a chunk of an array with three or more axes; any other array is one chunk."""
MAX_AXES = 32
MAX_BYTES = 2**34
"""Of one array in memory. Chunks of zeros take no place in the store, so that a few bytes can claim any size."""
NAMES = {
    np.dtype(code).newbyteorder("<"): np.dtype(code).name
    for code in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
}
"""NumPy's type -> Zarr's name for it."""
TYPES = {name: dtype for dtype, name in NAMES.items()}

Place = tuple[slice, ...]


def check_name(name: str) -> None:
    """Raise InputError for what cannot be the name of an array in Zarr."""
    if re.fullmatch(r"\.*|__.*|zarr\.json|.*/.*", name, re.DOTALL):
        raise InputError(f"{name!r} cannot be the name of an array")


@dataclass(frozen=True)
class Layout:
    """Shape of an array, of its chunks (those at the edges reach beyond the array), and type of its numbers."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Layout:
        """The layout that a new array gets. Raises InputError for what is not numbers."""
        little = dtype.newbyteorder("<")
        if little not in NAMES:
            raise InputError(f"arrays of {dtype} cannot be stored; numbers and truth values can")
        chunks = tuple(max(1, min(size, CHUNK) if len(shape) >= 3 else size) for size in shape)
        return cls(shape, chunks, little)

    def document(self) -> bytes:
        """The metadata document, canonical JSON."""
        return _as_json(self)

    @classmethod
    def parse(cls, document: Any) -> Layout:
        """The layout in a metadata document. Raises ValueError for one that mpop would not write."""
        try:
            dtype = TYPES[document["data_type"]]
            shape = tuple(document["shape"])
            chunks = tuple(document["chunk_grid"]["configuration"]["chunk_shape"])
        except (KeyError, TypeError) as error:
            raise ValueError("not an array of numbers") from error
        if len(shape) > MAX_AXES or not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError(f"an array of shape {shape}")
        if len(chunks) != len(shape) or not all(type(size) is int and size > 0 for size in chunks):
            raise ValueError(f"chunks of shape {chunks}")
        layout = cls(shape, chunks, dtype)
        if _document(shape, chunks, dtype) != document | {"attributes": {}}:
            raise ValueError("an array that is stored in another way")
        if layout.nbytes > MAX_BYTES or layout.chunk_bytes > MAX_BYTES:
            raise ValueError(f"an array of {layout.nbytes} bytes in chunks of {layout.chunk_bytes}")
        return layout

    @property
    def nbytes(self) -> int:
        """Bytes of the array in memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def chunk_bytes(self) -> int:
        """Bytes of one chunk."""
        return math.prod(self.chunks) * self.dtype.itemsize

    def box(self, slices: Sequence[slice]) -> Place:
        """Slices as NumPy means them, one for every axis; axes without one are taken whole. Raises InputError."""
        if len(slices) > len(self.shape):
            raise InputError(f"{len(slices)} slices for an array of {len(self.shape)} axes")
        if any(part.step not in (None, 1) for part in slices):
            raise InputError("a part of an array can only be read with step 1")
        whole = [*slices, *[slice(None)] * (len(self.shape) - len(slices))]
        ends = [part.indices(size) for part, size in zip(whole, self.shape, strict=True)]
        return tuple(slice(start, max(start, stop)) for start, stop, _ in ends)

    def parts(self, box: Place) -> Iterator[tuple[str, Place, Place]]:
        """Key of every chunk that a box touches, and what both share: its place in the box and in the chunk."""
        if any(part.start == part.stop for part in box):
            return
        grid = [
            range(part.start // size, -(-part.stop // size)) for part, size in zip(box, self.chunks, strict=True)
        ]
        for index in itertools.product(*grid):
            corner = [number * size for number, size in zip(index, self.chunks, strict=True)]
            ends = [
                (max(part.start, begin), min(part.stop, begin + size))
                for part, begin, size in zip(box, corner, self.chunks, strict=True)
            ]
            in_box = tuple(slice(a - part.start, b - part.start) for (a, b), part in zip(ends, box, strict=True))
            in_chunk = tuple(slice(a - begin, b - begin) for (a, b), begin in zip(ends, corner, strict=True))
            yield "/".join(["c", *map(str, index)]), in_box, in_chunk


@lru_cache(maxsize=256)  # many groups hold arrays of the same few layouts
def _as_json(layout: Layout) -> bytes:
    return canonical_json(_document(layout.shape, layout.chunks, layout.dtype))


def _document(shape: Sequence[int], chunks: Sequence[int], dtype: np.dtype[Any]) -> dict[str, Any]:
    """What Zarr 3 writes for an array without compressors, numbers as in canonical JSON."""
    zero: Any = {"b": False, "c": [0, 0]}.get(dtype.kind, 0)
    endian = {"configuration": {"endian": "little"}} if dtype.itemsize > 1 else {}
    return {
        "attributes": {},
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(chunks)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": [{"name": "bytes", **endian}],
        "data_type": NAMES[dtype],
        "fill_value": zero,
        "node_type": "array",
        "shape": list(shape),
        "storage_transformers": [],
        "zarr_format": 3,
    }
