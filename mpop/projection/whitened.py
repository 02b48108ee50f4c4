"""Particle images as they are before they are multiplied by their CTF."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class WhitenedImages:
    """n images in windows that are large enough for their delocalised signal.

    spectra: (n, L, L // 2 + 1) transforms of the windows times E / sigma^2, the particle's origin at pixel L // 2.
    weights: (g, size, size // 2 + 1) E^2 / sigma^2 / size^2 of g noises, in the window of the particle. group:
    (n,) which of them is that of an image. pixel_size_A: of the images."""

    spectra: NDArray[np.complexfloating]
    weights: NDArray[np.floating]
    group: NDArray[np.int64]
    pixel_size_A: float

    def part(self, chosen: slice) -> WhitenedImages:
        """Some of the images."""
        return WhitenedImages(self.spectra[chosen], self.weights, self.group[chosen], self.pixel_size_A)

    def __len__(self) -> int:
        return len(self.spectra)
