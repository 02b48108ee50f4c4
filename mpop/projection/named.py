"""The result of a scorer, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """AB and A2 (n,) of n images, and their derivatives (n, ...) by name of what the images depend on.

    What A2 does not depend on is not in a2_by.
    """

    ab: Array
    a2: Array
    ab_by: Mapping[str, Array] = field(default_factory=dict)
    a2_by: Mapping[str, Array] = field(default_factory=dict)

    @classmethod
    def of_columns(cls, columns: Array) -> Score:
        """From (n, 16) AB, A2, dAB by shift (2), dAB by rows (2 x 3), dA2 by rows (2 x 3)."""
        by_rows, squared = (part.reshape(-1, 2, 3) for part in (columns[:, 4:10], columns[:, 10:16]))
        return cls(columns[:, 0], columns[:, 1], {"shift": columns[:, 2:4], "rows": by_rows}, {"rows": squared})

    @classmethod
    def together(cls, parts: Sequence[Score]) -> Score:
        """Of the images of all parts; at least one, and alike."""
        first = parts[0]
        return cls(
            np.concatenate([one.ab for one in parts]),
            np.concatenate([one.a2 for one in parts]),
            {name: np.concatenate([one.ab_by[name] for one in parts]) for name in first.ab_by},
            {name: np.concatenate([one.a2_by[name] for one in parts]) for name in first.a2_by},
        )

    def gain(self, amplitude: float) -> Array:
        """(n,) 2 a AB - a^2 A2."""
        return 2 * amplitude * self.ab - amplitude**2 * self.a2

    def gain_by(self, name: str, amplitude: float) -> Array:
        """(n, ...) derivative of the gain."""
        first = 2 * amplitude * self.ab_by[name]
        return first - amplitude**2 * self.a2_by[name] if name in self.a2_by else first

    def __len__(self) -> int:
        return len(self.ab)
