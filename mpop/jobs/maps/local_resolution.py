"""`mpop local-resolution`: how well each part of a map is resolved, and the map filtered accordingly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpop.doubts import Doubt, reported
from mpop.errors import InputError
from mpop.formats.files import replacing
from mpop.formats.images import write_map
from mpop.jobs.maps.analysis import Analysis, made
from mpop.jobs.maps.checking import map_doubts
from mpop.jobs.maps.finding import Finding
from mpop.jobs.maps.input import HalfMaps, Map, of_job
from mpop.jobs.maps.parameters import LocalResolutionParameters
from mpop.jobs.maps.resolution_colours import CHIMERAX_FILE, COLOURS, colour_range_A
from mpop.jobs.maps.slices import slices_of
from mpop.jobs.spec import JobSpec
from mpop.maps.fsc import fsc_report
from mpop.maps.local_filter import local_filter
from mpop.maps.local_resolution import local_resolution
from mpop.maps.masks import particle_mask
from mpop.population import Population
from mpop.run import Run, limited
from mpop_store.paths import inside

PERCENTILES = (5, 50, 95)
MAP_FILE, RESOLUTION_FILE = "locres_filtered.mrc", "locres.mrc"
SHOWN = ("resolution_A", "filtered", "mask", "slices_mean", "slices_filtered", "slices_resolution", "slices_mask")
"""Arrays that reports and files are made of."""


@dataclass(frozen=True)
class LocalResolutionResult:
    """resolution_A (z, y, x): 0 outside the mask and where nothing is resolved. global_A: of the whole map, by its
    corrected FSC at 0.143; None for noise. mask_found: whether the mask was made from the maps."""

    maps: HalfMaps
    mask: Map
    mask_found: bool
    parameters: LocalResolutionParameters
    resolution_A: Map
    filtered: Map
    global_A: float | None
    doubts: list[Doubt]

    @property
    def resolved_A(self) -> NDArray[np.float32]:
        """(n,) resolutions of all voxels that have one."""
        return self.resolution_A[self.resolution_A > 0]

    @property
    def verdict(self) -> str:
        """One sentence."""
        if not len(self.resolved_A):
            return "Nothing is resolved anywhere: the half-maps have no more in common than noise has."
        low, middle, high = np.percentile(self.resolved_A, PERCENTILES)
        return f"Half of the particle is resolved to {middle:.1f} A or better, 90 % to {low:.1f}-{high:.1f} A."

    def finding(self) -> Finding:
        """Numbers, where resolutions are None where nothing is resolved, and arrays: resolution_A, filtered and
        mask (z, y, x); slices of the mean of the half-maps, and of these three."""
        volumes = {"resolution_A": self.resolution_A, "filtered": self.filtered, "mask": self.mask}
        drawn = {"mean": self.maps.mean(), "filtered": self.filtered, "resolution": self.resolution_A}
        return Finding(self.numbers(), volumes | slices_of(drawn | {"mask": self.mask}))

    def numbers(self) -> dict[str, Any]:
        """Plain JSON values."""
        found = self.resolved_A
        voxels = int((self.mask >= 0.5).sum())
        low, middle, high = np.percentile(found, PERCENTILES).round(3).tolist() if len(found) else (None,) * 3
        return {
            "name": self.maps.name,
            "box": self.maps.box,
            "pixel_size_A": self.maps.pixel_size_A,
            "threshold": self.parameters.threshold,
            "b_factor_A2": self.parameters.b_factor_A2,
            "resolution_A": None if self.global_A is None else round(self.global_A, 3),
            "median_A": middle,
            "percentile_5_A": low,
            "percentile_95_A": high,
            "best_A": round(float(found.min()), 3) if len(found) else None,
            "worst_A": round(float(found.max()), 3) if len(found) else None,
            "unresolved_fraction": round(1 - len(found) / max(voxels, 1), 4),
            "mask_found": self.mask_found,
            "verdict": self.verdict,
            **reported(self.doubts),
        }


def measure(maps: HalfMaps, parameters: LocalResolutionParameters) -> LocalResolutionResult:
    """Local resolution and filtered map of two half-maps. Without a mask one is made from their mean."""
    mean = maps.mean()
    mask, found = maps.mask, False
    if mask is None:
        mask, found = particle_mask(mean, maps.pixel_size_A), True
        if mask is None:
            raise InputError(f"{maps.name}: no particle stands out from the solvent; give --mask MASK")
    local = local_resolution(maps.half1, maps.half2, mask, maps.pixel_size_A, parameters.threshold)
    filtered = local_filter(mean, mask, local, maps.pixel_size_A, parameters.b_factor_A2)
    whole = fsc_report(maps.half1, maps.half2, mask, maps.pixel_size_A, copies=maps.copies)
    doubts = map_doubts(maps, mask, whole)
    return LocalResolutionResult(
        maps, mask, found, parameters, local.resolution_A, filtered, whole.resolution_A, doubts
    )


@limited
def of_species(
    population: Population, maps: HalfMaps, parameters: LocalResolutionParameters, run: Run = Run()
) -> tuple[Finding, str | None]:
    """Measure a species and commit the job with both maps.

    Returns the commit, None when HEAD holds this very job already.
    """
    assert maps.species is not None
    analysis = Analysis.of(population, maps.species, "local-resolution", parameters, run=run.on_cpu)
    return analysis.finding(lambda: measure(maps, parameters).finding(), lambda numbers: numbers["verdict"], SHOWN)


def run(population: Population, spec: JobSpec, run: Run) -> str:
    """Run a recorded job; the commit."""
    assert isinstance(spec.parameters, LocalResolutionParameters)
    return made(of_species(population, of_job(population, spec), spec.parameters, run)[1], spec)


def write_files(found: Finding, directory: Path) -> list[Path]:
    """locres.mrc, locres_filtered.mrc, locres.cxc for ChimeraX, mask.mrc where it was found; returns paths."""
    volumes = {RESOLUTION_FILE: found.arrays["resolution_A"], MAP_FILE: found.arrays["filtered"]}
    if found.numbers["mask_found"]:
        volumes["mask.mrc"] = found.arrays["mask"]
    for name, volume in volumes.items():
        write_map(inside(directory, name), volume, found.numbers["pixel_size_A"])
    with replacing(directory / CHIMERAX_FILE) as temporary:
        temporary.write_text(chimerax_script(found), encoding="utf-8")
    return [inside(directory, name) for name in (*volumes, CHIMERAX_FILE)]


def chimerax_script(found: Finding) -> str:
    """Commands that colour the surface of the filtered map by local resolution; unresolved parts are grey.

    They count on a fresh session, in which the maps become #1 and #2. The surface encloses as much as the densest
    third of the mask.
    """
    resolution_A, mask = found.arrays["resolution_A"], found.arrays["mask"]
    low, high = colour_range_A(resolution_A[resolution_A > 0])
    steps = np.linspace(low, high, len(COLOURS))
    inside = found.arrays["filtered"][mask >= 0.5]
    level = float(np.quantile(inside, 2 / 3)) if len(inside) else 0.0
    palette = ":".join(f"{value:.2f},{colour}" for value, colour in zip(steps, COLOURS, strict=True))
    return (
        f"open {MAP_FILE}\n"
        f"open {RESOLUTION_FILE}\n"
        f"volume #1 level {level:.4g} step 1\n"
        "hide #2 models\n"
        f"color sample #1 map #2 palette 0,gray:{0.9 * low:.2f},gray:{palette} key true\n"
    )
