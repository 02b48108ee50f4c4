"""The Coulomb potential of an atomic model on the grid of a map, to compare maps with."""

from __future__ import annotations

import gemmi
import numpy as np
from numpy.typing import NDArray

from mpop.maps.filters import inverse, transform
from mpop.maps.masks import soft_edge
from mpop.maps.shells import shell_radii

CUTOFF = 1e-7
"""Of an atom's highest density; where it falls below this it ends."""
LEAST_B_PER_SQUARE_PIXEL = 120.0
"""Atoms are blurred to at least this B-factor, A^2 per A^2 of a pixel, before they are sampled, so that nothing
folds back from beyond Nyquist; then the blur is divided out."""
MASK_RADIUS_A, MASK_EDGE_A = 3.0, 6.0

Place = tuple[float, float, float]


def model_density(model: gemmi.Model, box: int, pixel_size_A: float, origin_A: Place) -> NDArray[np.float32]:
    """(z, y, x) density of a model by electron scattering factors and its own B-factors, up to Nyquist.

    origin_A: x, y, z of the first voxel in the model's coordinates. What lies outside comes in on the other side.
    """
    calculator = gemmi.DensityCalculatorE()
    _lay_out(calculator.grid, box, pixel_size_A)
    calculator.cutoff = CUTOFF
    lowest = min(site.atom.b_iso for site in model.all())
    calculator.blur = max(LEAST_B_PER_SQUARE_PIXEL * pixel_size_A**2 - lowest, 0.0)
    calculator.add_model_density_to_grid(_moved(model, origin_A))
    spectrum = transform(calculator.grid.array.T)
    decay = calculator.blur / 4 / (box * pixel_size_A) ** 2
    for plane, radius in zip(spectrum, shell_radii(box), strict=True):
        inside = radius <= box // 2
        plane *= np.exp(decay * np.square(radius), where=inside, out=np.zeros_like(radius))
    return inverse(spectrum, box)


def model_mask(model: gemmi.Model, box: int, pixel_size_A: float, origin_A: Place) -> NDArray[np.float32]:
    """(z, y, x) soft mask: 1 within 3 A of atoms, or a pixel where that is more, falling to 0 over 6 A."""
    radius = max(MASK_RADIUS_A, pixel_size_A)
    masker = gemmi.SolventMasker(gemmi.AtomicRadiiSet.Constant, radius)
    grid = gemmi.FloatGrid()
    _lay_out(grid, box, pixel_size_A)
    masker.put_mask_on_float_grid(grid, _moved(model, origin_A))
    return soft_edge(grid.array.T == 0, pixel_size_A, max(MASK_EDGE_A, 2 * pixel_size_A))


def part_inside(model: gemmi.Model, box: int, pixel_size_A: float, origin_A: Place) -> float:
    """How many of the model's atoms are inside the map, from 0 to 1."""
    place = np.array([site.atom.pos.tolist() for site in model.all()]) - np.array(origin_A)
    return float(((place >= 0) & (place < box * pixel_size_A)).all(axis=1).mean())


def _lay_out(grid: gemmi.FloatGrid, box: int, pixel_size_A: float) -> None:
    extent = box * pixel_size_A
    grid.set_size(box, box, box)
    grid.set_unit_cell(gemmi.UnitCell(extent, extent, extent, 90, 90, 90))
    grid.spacegroup = gemmi.SpaceGroup("P 1")


def _moved(model: gemmi.Model, origin_A: Place) -> gemmi.Model:
    """The model in coordinates whose origin is the first voxel."""
    moved = model.clone()
    moved.transform_pos_and_adp(gemmi.Transform(gemmi.Mat33(), gemmi.Vec3(*(-one for one in origin_A))))
    return moved
