"""Icechunk's side of the benchmark of stores: one step in each process, run by a Python that has Icechunk.

    python store_icechunk.py STEP REPOSITORY [DATA]

Arrays are chunked as mpop chunks them, and compressed as Zarr's own documentation advises for floats.
"""

import sys
import time
from pathlib import Path

import icechunk
import numpy as np
import zarr
from zarr.codecs import BloscCodec

CHUNKS = {"maps": (64, 64, 64), "particles": (2000, 15), "grids": (3, 16, 16)}
CODEC = BloscCodec(cname="zstd", clevel=3, shuffle="shuffle")


def open_repository(folder: Path) -> icechunk.Repository:
    return icechunk.Repository.open(icechunk.local_filesystem_storage(str(folder)))


def init(folder: Path) -> None:
    icechunk.Repository.create(icechunk.local_filesystem_storage(str(folder)))


def commit(folder: Path, data: Path, *changed: str) -> None:
    """Write files as arrays: those that changed, or all."""
    session = open_repository(folder).writable_session("main")
    group = zarr.open_group(session.store, mode="a")
    files = [data / name for name in changed] or sorted(data.rglob("*.npy"))
    for file in files:
        array = np.load(file)
        kind = "grids" if file.parent.name == "grids" else "particles" if array.ndim == 2 else "maps"
        name = f"{kind}/{file.stem}"
        if name not in group:
            group.create_array(name, shape=array.shape, chunks=CHUNKS[kind], dtype=array.dtype, compressors=CODEC)
        group[name][...] = array
    session.commit("new version")


def read(folder: Path) -> None:
    store = open_repository(folder).readonly_session("main").store
    print(float(zarr.open_group(store, mode="r")["maps/half1"][...].sum()))


def box(folder: Path) -> None:
    """The smallest of 5 times, each of another place, as in store_mpop.py."""
    maps = zarr.open_group(open_repository(folder).readonly_session("main").store, mode="r")["maps"]
    times = []
    for corner in (100, 30, 60, 10, 88):
        start = time.perf_counter()
        part = slice(corner, corner + 40)
        found = maps["half1"][part, part, part]
        times.append(1000 * (time.perf_counter() - start))
        assert found.size and np.isfinite(found).all()
    print(min(times))


if __name__ == "__main__":
    step = {"init": init, "commit": commit, "read": read, "box": box}[sys.argv[1]]
    step(Path(sys.argv[2]), *([Path(sys.argv[3]), *sys.argv[4:]] if len(sys.argv) > 3 else []))
