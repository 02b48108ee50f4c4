"""Run one `mpop source add` or `mpop species add` and say what part of its time went into checks.

    python -m benchmarks.peers.steps.checks FILE ARGUMENT...     # of mpop; FILE gets CPU-seconds as JSON

Checks ask whether what was read is contradicted by what else is known. What is loaded for them alone counts as
they do; the reading that an import needs in any case does not.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from mpop.cli.main import main

NEEDED = (
    "mpop.population",
    "mpop.formats.particle_tables",
    "mpop.formats.stack_tables",
    "mpop.formats.tomostar",
    "mpop.formats.warp_xml",
    "mpop.jobs.maps.input",
    "mpop.maps.filtered",
)
"""What an import without checks would load."""
SPECIES_CHECKS = {
    "mpop.jobs.importing.species": ("_map_doubts", "known_particles_doubts", "signal_doubts"),
    "mpop.jobs.importing.tilt_particles": ("half_sets_doubt", "_visible_doubts", "_outside"),
    "mpop.jobs.importing.stack_particles": (
        "images_in_both_halves",
        "neighbours_in_both_halves",
        "optics_that_differ",
    ),
}
SOURCE_CHECKS = {
    "mpop.importing.warp": ("_compared_tables", "compared_pixel", "compared_steps", "compared_volume"),
    "mpop.importing.relion": ("_size_doubts", "require_one_size"),
    "mpop.jobs.importing.raw_images": ("_image_doubts", "compared_image", "require_images", "require_one_size"),
    "mpop.jobs.importing.source": ("_questioned", "gathered"),
}
"""Functions by module."""


class Clock:
    """CPU-seconds within checks, those that ask each other counted once."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._inside = False

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return function(*args, **kwargs)
            self._inside, start = True, time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self._inside = False
                self.seconds += time.process_time() - start

        return timed


def run(result: Path, arguments: list[str]) -> None:
    """Run mpop and write what its checks and all of it took. Ends the process, as mpop does."""
    clock = Clock()
    for name in NEEDED:
        importlib.import_module(name)
    checks = SPECIES_CHECKS if "species" in arguments else SOURCE_CHECKS
    clock.around(lambda: [importlib.import_module(name) for name in checks])()
    for name, functions in checks.items():
        module = importlib.import_module(name)
        for function in functions:
            setattr(module, function, clock.around(getattr(module, function)))
    sys.argv[1:] = arguments
    try:
        main()
    finally:
        result.write_text(json.dumps({"checks": clock.seconds, "whole": time.process_time()}))


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2:])
