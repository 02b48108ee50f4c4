"""`python -m benchmarks`; see the package."""

import sys

from benchmarks.registry import run

sys.exit(run(sys.argv[1:]))
