"""A score as one table, to compare whole scores."""

from __future__ import annotations

import numpy as np

from mpop.projection.named import Score


def columns(score: Score) -> np.ndarray:
    """(n, ...) AB, A2, then all derivatives in the order of their names."""
    parts = [score.ab, score.a2, *(by[name] for by in (score.ab_by, score.a2_by) for name in sorted(by))]
    return np.concatenate([part.reshape(len(score), -1) for part in parts], axis=1)
