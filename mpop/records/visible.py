"""Which tilts show a particle, where the table that it came from says so."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from mpop.records.tilt_series import ParticleSet

VISIBLE = "rlnTomoVisibleFrames"
"""Column with a 1 or a 0 for each tilt, in the order of the series: [1,0,1]."""


def visible_tilts(particles: ParticleSet, n_tilts: int) -> NDArray[np.bool_] | None:
    """(p, n) whether a tilt shows a particle; None where the table says nothing of it, or of other tilts."""
    column = particles.extra.get(VISIBLE)
    if column is None:
        return None
    flags = [_flags(str(text)) for text in column]
    if any(len(one) != n_tilts for one in flags):
        return None
    return np.array(flags, dtype=bool).reshape(len(flags), n_tilts)


@cache
def _flags(text: str) -> tuple[bool, ...]:
    """Those of one particle; none where the text is something else."""
    words = text.strip("[] ").split(",")
    known = {"1": True, "0": False}
    return tuple(known[word.strip()] for word in words) if all(one.strip() in known for one in words) else ()
