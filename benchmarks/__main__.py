"""All benchmarks, one after the other."""

import argparse
from pathlib import Path

from benchmarks import (
    collisions,
    denoiser,
    directional,
    local_resolution,
    projection,
    reconstruction,
    resolution,
    scale,
    store,
    training,
)

parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
parser.add_argument("--quick", action="store_true", help="a small part of the data")
parser.add_argument("--peers-python", type=Path, help="a Python with icechunk and dvc; see docs/benchmarks.md")
parser.add_argument("--spisonet", type=Path, help="a checkout of IsoNet-cryoET/spIsoNet")
parser.add_argument("--spisonet-python", type=Path, help="a Python with what it needs")
arguments = parser.parse_args()
reconstruction.run(arguments.quick)
resolution.run(arguments.quick)
directional.run(arguments.quick)
local_resolution.run(arguments.quick)
projection.run(arguments.quick)
store.run(arguments.quick, arguments.peers_python)
denoiser.run(arguments.quick)
training.run(arguments.quick, arguments.spisonet, arguments.spisonet_python)
scale.run(arguments.quick)
collisions.run(arguments.quick)  # last, as it keeps to one core
