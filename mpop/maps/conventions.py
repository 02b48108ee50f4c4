"""Numbers at which the field, or mpop, draws a line: what a map is measured by, and what reports compare with.

Where an FSC ends is in `mpop_hooks.fsc_end`, which policies know, too.
"""

from __future__ import annotations

HALF = 0.5
"""FSC of a map with something without noise, where two half-maps have 0.143."""
HALF_ANGLE_DEG = 20.0
"""Of the cones in which an FSC by direction is measured."""
SPHERE_THRESHOLD = 0.5
"""FSC at which sphericity is taken."""
STRONG_AREA_RATIO = 0.5
"""cryoSPARC's users take a cFAR below this for preferred orientation."""
UNEVEN_P = 0.05
"""By Bingham's test, below which directions are not evenly spread."""
SIDE_VIEWS_SCF = 0.81
"""Of side views alone, 8 / pi^2: below this, sampling is called uneven, as in the field."""
EMPTY_TOLERANCE = 0.005
"""Part of a shell that may be in no image."""
TRUSTED = 0.5
"""Correlation with the truth from which inferred content counts as supported, as for a map against a model."""
CONSISTENT = 1.1
"""Largest chi^2 of a map that keeps to its data: the truth gives 1, and powers are known to some percent."""
