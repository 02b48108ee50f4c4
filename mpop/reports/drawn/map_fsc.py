"""The figure of `mpop fsc --model` and `--map`."""

from __future__ import annotations

from mpop.jobs.maps.finding import Finding, reference_of
from mpop.maps.conventions import HALF
from mpop.reports.figures import AFTER, BEFORE
from mpop.reports.map_figures import Curve, fsc_figure


def fsc(found: Finding) -> str:
    """FSC without a mask, and within it where there is one."""
    arrays = found.arrays
    drawn = [Curve("no mask", arrays["frequency"], arrays["unmasked"], {"color": BEFORE, "lw": 1.5})]
    if "masked" in arrays:
        drawn.append(Curve("masked", arrays["frequency"], arrays["masked"], {"color": AFTER, "lw": 2.2}))
    return fsc_figure(drawn, HALF, f"{found.numbers['name']} against {reference_of(found.numbers)[1]}")
