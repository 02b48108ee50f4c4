"""All benchmarks by name: where each is, and whether it can be had with less data."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from benchmarks.measure import console

GROUPS = ("peers", "speed", "quality")


@dataclass(frozen=True)
class Benchmark:
    """group: its folder. quick: whether it takes `--quick`."""

    name: str
    group: str
    quick: bool = True

    @property
    def module(self) -> str:
        """Where it is."""
        return f"benchmarks.{self.group}.{self.name}"

    @property
    def path(self) -> Path:
        """Its file."""
        spec = find_spec(self.module)
        assert spec is not None
        assert spec.origin is not None
        return Path(spec.origin)

    def run(self, options: Sequence[str]) -> None:
        """As `python -m benchmarks NAME options` does."""
        before = sys.argv
        sys.argv = [f"python -m benchmarks {self.name}", *options]
        try:
            runpy.run_module(self.module, run_name="__main__")
        finally:
            sys.argv = before


BENCHMARKS = {
    one.name: one
    for one in (
        Benchmark("reconstruction", "peers"),
        Benchmark("resolution", "peers"),
        Benchmark("directional", "peers"),
        Benchmark("local_resolution", "peers"),
        Benchmark("projection", "peers"),
        Benchmark("store", "peers"),
        Benchmark("training", "peers"),
        Benchmark("importing", "peers"),
        Benchmark("misalignment_relion", "peers", quick=False),
        Benchmark("extraction", "speed", quick=False),
        Benchmark("scale", "speed"),
        Benchmark("collisions", "speed"),  # last, as it keeps to one core
        Benchmark("denoiser", "quality"),
        Benchmark("correction", "quality", quick=False),
        Benchmark("views", "quality", quick=False),
        Benchmark("local_resolution_bias", "quality", quick=False),
        Benchmark("misalignment", "quality", quick=False),
        Benchmark("tilt_series_priors", "quality", quick=False),
    )
}


def run(words: Sequence[str]) -> int:
    """What `python -m benchmarks words` does; its exit code."""
    if not words:
        for one in BENCHMARKS.values():
            first = one.path.read_text().removeprefix('"""').partition("\n")[0].removesuffix('"""')
            console.print(f"{one.group:8} {one.name:22} {first}", highlight=False, soft_wrap=True)
        return 0
    name, *options = words
    if name in BENCHMARKS:
        BENCHMARKS[name].run(options)
        return 0
    chosen = [one for one in BENCHMARKS.values() if name in (one.group, "all")]
    if not chosen or set(options) > {"--quick"}:
        console.print(
            f"no benchmark, group or option {' '.join(words)}; `python -m benchmarks` lists what there is"
        )
        return 2
    for one in chosen:
        console.rule(one.name)
        one.run(options if one.quick else [])
    return 0
