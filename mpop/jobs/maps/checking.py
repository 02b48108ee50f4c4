"""What there is to doubt of half-maps and their mask, asked alike by all commands that measure them."""

from __future__ import annotations

from mpop.doubts import Doubt
from mpop.jobs.maps.input import HalfMaps, Map
from mpop.maps.filters import transform
from mpop.maps.fsc import FSCReport
from mpop.maps.half_map_checks import half_map_doubts
from mpop.maps.mask_checks import mask_doubts
from mpop.maps.particle_checks import particle_doubts
from mpop.maps.shells import mean_amplitudes


def map_doubts(maps: HalfMaps, mask: Map, report: FSCReport, diameter_A: float | None = None) -> list[Doubt]:
    """Of headers, mask, density, and half-maps; empty when all is well.

    mask: that of the report, also where none was given. diameter_A: of the particle; None when it was not given.
    """
    mean = maps.mean()
    amplitude = mean_amplitudes(transform(mean))
    return [
        *maps.doubts,
        *([] if maps.mask is None else mask_doubts(maps.mask_name, maps.mask)),
        *particle_doubts(maps.both, mean, maps.mask, maps.pixel_size_A, diameter_A),
        *half_map_doubts(maps.both, maps.half1, maps.half2, mask, report, amplitude, maps.pixel_size_A),
    ]
