"""All benchmarks, one after the other."""

import argparse

from benchmarks import projection, reconstruction

parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
parser.add_argument("--quick", action="store_true", help="a small part of the data")
quick = parser.parse_args().quick
reconstruction.run(quick)
projection.run(quick)
