"""What is doubted of half-maps that a job made: nobody chose files, so no other files are advised."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from example_population import make_population

from mpop.jobs.halfmaps import divide, rebuilt_doubts
from mpop.maps.masks import soft_sphere
from mpop.projection.insertion import FourierSums

BOX, PIXEL_A = 32, 4.0


def sums(seed: int, slope: float = 0.0) -> FourierSums:
    """Of noise; slope: how its amplitude rises with the frequency."""
    values = np.random.default_rng(seed).normal(size=(BOX, BOX, BOX // 2 + 2, 3)).astype(np.float32)
    axis = np.square(np.arange(BOX) - BOX // 2)
    radius = np.sqrt(axis[:, None, None] + axis[:, None] + np.square(np.arange(BOX // 2 + 2)))
    values[..., :2] *= np.exp(slope * radius)[..., None]
    values[..., 2] = 1
    return FourierSums(values)


@pytest.mark.parametrize(
    ("second", "kind", "way_on"),
    [
        (sums(0), "half-maps-not-independent", "look whether particles are in both half-sets"),
        (sums(1, slope=0.3), "half-maps-unlike", "look whether particles and images of one half-set differ"),
    ],
    ids=["same", "unlike"],
)
def test_advice_after_a_reconstruction(tmp_path: Path, second: FourierSums, kind: str, way_on: str) -> None:
    species = next(iter(make_population(tmp_path).species().values()))
    species = species.model_copy(update={"box": BOX, "pixel_size_A": PIXEL_A, "symmetry": "C1"})
    halves = (sums(0), second)
    maps, report = divide(species, halves, soft_sphere(BOX, PIXEL_A, 40.0, 12.0))
    found = {doubt.kind: doubt for doubt in rebuilt_doubts(species, halves, maps, report)}
    assert found[kind].way_on.startswith(way_on)
    assert "?" not in found[kind].read
    assert "use both half-maps" not in " ".join(map(str, found.values()))
