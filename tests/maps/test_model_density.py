"""Density of atomic models against direct summation, and a real map of the model."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest

from mpop.formats.atomic_models import read_model
from mpop.maps.model_density import model_density, model_mask, part_inside

BOX = 40


def model(count: int, extent_A: float, seed: int = 0) -> gemmi.Model:
    """Carbon atoms at random places in the middle of a cube, B-factors from 5 to 60."""
    rng = np.random.default_rng(seed)
    residue = gemmi.Residue()
    residue.name = "ALA"
    for place, b_factor in zip(
        rng.uniform(0.2, 0.8, (count, 3)) * extent_A, rng.uniform(5, 60, count), strict=True
    ):
        atom = gemmi.Atom()
        atom.name, atom.element = "C", gemmi.Element("C")
        atom.pos, atom.b_iso = gemmi.Position(*place), float(b_factor)
        residue.add_atom(atom)
    chain = gemmi.Chain("A")
    chain.add_residue(residue)
    found = gemmi.Model(1)
    found.add_chain(chain)
    return found


@pytest.mark.parametrize("pixel_size_A", [0.8, 1.5, 3.0])
def test_has_the_structure_factors_of_a_direct_sum_up_to_nyquist(pixel_size_A: float) -> None:
    extent = BOX * pixel_size_A
    atoms = model(200, extent)
    density = model_density(atoms, BOX, pixel_size_A, (0.0, 0.0, 0.0))
    found = np.fft.fftn(density.astype(np.float64))
    direct = gemmi.StructureFactorCalculatorE(gemmi.UnitCell(extent, extent, extent, 90, 90, 90))
    rng = np.random.default_rng(1)
    for shell, least in ((2, 0.99999), (10, 0.99999), (15, 0.9999), (18, 0.999)):
        directions = rng.normal(size=(60, 3))
        chosen = np.rint(directions / np.linalg.norm(directions, axis=1)[:, None] * shell).astype(int)
        expected = np.array([direct.calculate_sf_from_model(atoms, hkl.tolist()) for hkl in chosen]).conj()
        values = found[chosen[:, 2], chosen[:, 1], chosen[:, 0]]
        correlation = np.vdot(expected, values).real / np.linalg.norm(expected) / np.linalg.norm(values)
        assert correlation > least


def test_lies_where_the_header_of_the_map_says() -> None:
    atoms = model(1, 40.0, seed=3)
    position = next(iter(atoms.all())).atom.pos
    for origin in ((0.0, 0.0, 0.0), (-20.0, 5.0, 1.5)):
        density = model_density(atoms, 64, 1.0, origin)
        mask = model_mask(atoms, 64, 1.0, origin)
        expected = np.array(position.tolist()[::-1]) - np.array(origin[::-1])
        assert np.abs(np.array(np.unravel_index(density.argmax(), density.shape)) - expected).max() <= 0.5 + 1e-6
        weights = mask / mask.sum()
        centre = [(weights * axis).sum() for axis in np.indices(mask.shape)]
        np.testing.assert_allclose(centre, expected, atol=0.2)
        assert (mask > 0.99).sum() == pytest.approx(4 / 3 * np.pi * 27, rel=0.25)


def test_atoms_outside_are_counted() -> None:
    atoms = model(400, 40.0)
    assert part_inside(atoms, 40, 1.0, (0.0, 0.0, 0.0)) == 1
    assert part_inside(atoms, 40, 1.0, (20.0, 0.0, 0.0)) == pytest.approx(0.5, abs=0.1)
    assert part_inside(atoms, 40, 1.0, (0.0, 0.0, 33.0)) == 0


def test_reading_leaves_waters_out(test_data: Path, tmp_path: Path) -> None:
    path = test_data / "models" / "5ni1_updated.cif"
    found = read_model(path)
    structure = gemmi.read_structure(str(path))
    assert 4000 < found.count_atom_sites() <= structure[0].count_atom_sites()
    structure.write_pdb(str(tmp_path / "model.pdb"))
    assert read_model(tmp_path / "model.pdb").count_atom_sites() == found.count_atom_sites()
