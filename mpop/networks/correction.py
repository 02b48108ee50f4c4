"""Two half-maps from unevenly measured directions -> two corrected half-maps.

Each half-map is corrected alone. Of the other half-map only sums over shells and cones enter, which say how much
of each coefficient is signal; RELION's weighting by the FSC couples half-maps to the same degree.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpop.errors import InputError
from mpop.maps.filters import inverse, shell_radius, transform
from mpop.maps.fsc import fsc_report
from mpop.maps.restoration import restore
from mpop.maps.transfer import TransferModel
from mpop.networks.training import Listener

Map = NDArray[np.float32]


@dataclass(frozen=True)
class CorrectionOptions:
    """limit_A: the finest detail to correct, None for the resolution of the half-maps."""

    limit_A: float | None = None


@dataclass(frozen=True)
class Correction:
    """Corrected half-maps (z, y, x) in the scale of the input, and why they are as they are.

    limit: the last shell that was corrected; coefficients beyond are those of the input. models: of each half-map;
    None where nothing was corrected, and then `reason` says why and the half-maps are those of the input.
    """

    half1: Map
    half2: Map
    limit: int
    models: tuple[TransferModel, TransferModel] | None
    reason: str = ""


def correct(
    half1: Map,
    half2: Map,
    mask: Map,
    pixel_size_A: float,
    options: CorrectionOptions | None = None,
    progress: Listener = lambda *_: None,
    checkpoint_folder: Path | None = None,
) -> Correction:
    """Correct two half-maps, cubes (z, y, x) of one box; mask from 0 to 1 around the particle.

    Raises InputError for a mask that leaves no solvent, and for a limit that the maps do not hold.
    """
    options = options or CorrectionOptions()
    if not np.any(mask == 0):
        raise InputError("the mask leaves no solvent: some voxels of it must be 0")
    limit = _limit(half1, half2, mask, pixel_size_A, options.limit_A)
    if limit is None:
        return Correction(half1, half2, 0, None, "the half-maps hold no signal in common")
    levels = [float(half[mask == 0].mean()) for half in (half1, half2)]
    halves = [half - np.float32(level) for half, level in zip((half1, half2), levels, strict=True)]
    restored = restore(halves[0], halves[1], mask, limit, progress)
    first, second = (
        _up_to(limit, result.blended, half) + np.float32(level)
        for result, half, level in zip(restored, halves, levels, strict=True)
    )
    return Correction(first, second, limit, (restored[0].model, restored[1].model))


def _limit(half1: Map, half2: Map, mask: Map, pixel_size_A: float, limit_A: float | None) -> int | None:
    """The last shell to correct; None for maps of noise."""
    box = len(half1)
    resolution = fsc_report(half1, half2, mask, pixel_size_A).resolution_A
    if resolution is None:
        return None
    finest = 2 * pixel_size_A
    if limit_A is not None and not finest <= limit_A < box * pixel_size_A / 4:
        raise InputError(
            f"--limit {limit_A:g} A: these maps hold detail from {finest:g} to {box * pixel_size_A / 4:g} A"
        )
    return min(int(box * pixel_size_A / (limit_A or resolution)), box // 2)


def _up_to(limit: int, corrected: Map, original: Map) -> Map:
    """One map up to a shell, another one beyond it."""
    box = len(original)
    return inverse(np.where(shell_radius(box) < limit + 0.5, transform(corrected), transform(original)), box)
