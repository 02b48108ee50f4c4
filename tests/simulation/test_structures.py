"""The built-in molecules and models from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from mpop.errors import InputError
from mpop.simulation.structures import Structure, asymmetric, ferritin_like, from_file
from mpop.simulation.symmetry import group_rotations

ATOMS_PER_RESIDUE = 7


def alpha_carbons(structure: Structure) -> np.ndarray:
    return structure.position_A[1::ATOMS_PER_RESIDUE]


@pytest.mark.parametrize("structure", [ferritin_like(), asymmetric()], ids=lambda s: s.name)
def test_helices_are_ideal_and_right_handed(structure: Structure) -> None:
    first = alpha_carbons(structure)[:20]
    steps = np.diff(first, axis=0)
    np.testing.assert_allclose(np.linalg.norm(steps, axis=1), 3.80, atol=0.02)
    # residues i and i + 18 are five turns and 27 A apart
    np.testing.assert_allclose(np.linalg.norm(first[18:] - first[:2], axis=1), 27.0, atol=1e-6)
    handedness = np.einsum("ij,ij->i", np.cross(steps[:-2], steps[1:-1]), steps[2:])
    assert (handedness > 0).all()


@pytest.mark.parametrize("structure", [ferritin_like(), asymmetric()], ids=lambda s: s.name)
def test_chains_do_not_run_through_each_other(structure: Structure) -> None:
    carbons = alpha_carbons(structure)
    pairs = cKDTree(carbons).query_pairs(4.5, output_type="ndarray")
    assert len(pairs) > 0
    assert np.abs(pairs[:, 0] - pairs[:, 1]).max() <= 4


@pytest.mark.parametrize(
    ("structure", "diameter", "residues"), [(ferritin_like(), 128.0, 3072), (asymmetric(), 116.0, 1710)]
)
def test_size_and_centre(structure: Structure, diameter: float, residues: int) -> None:
    assert structure.diameter_A == diameter
    assert len(structure.position_A) == residues * ATOMS_PER_RESIDUE
    assert np.linalg.norm(structure.position_A, axis=1).max() <= diameter / 2
    centre = np.average(structure.position_A, axis=0, weights=structure.scattering_A)
    np.testing.assert_allclose(centre, 0, atol=1e-9)


def test_ferritin_like_is_octahedral_about_the_axes_of_the_box() -> None:
    atoms = ferritin_like().position_A
    tree = cKDTree(atoms)
    for order in ((0, 1, 2), (1, 0, 2), (2, 0, 1)):
        for signs in np.ndindex(2, 2, 2):
            matrix = np.zeros((3, 3))
            matrix[np.arange(3), order] = 1.0 - 2.0 * np.array(signs)
            distance = tree.query(atoms @ matrix.T)[0]
            assert (distance.max() < 1e-6) == (np.linalg.det(matrix) > 0)


def test_the_asymmetric_molecule_has_no_symmetry_and_a_hand() -> None:
    atoms = alpha_carbons(asymmetric())
    spread, axes = np.linalg.eigh(np.cov(atoms.T))
    assert np.diff(np.sqrt(spread)).min() > 0.5
    tree = cKDTree(atoms)
    for signs in np.ndindex(2, 2, 2):
        if any(signs):  # half turns about the principal axes, mirrors and inversion
            image = (atoms @ axes) * (1 - 2 * np.array(signs)) @ axes.T
            assert np.sqrt(np.square(tree.query(image)[0]).mean()) > 2.0


@pytest.mark.parametrize(
    ("file", "symmetry", "atoms"),
    [("7a4m.cif", "O", 33846), ("3j9i.pdb", "D7", 46228), ("5ni1_updated.cif", "C2", 4555)],
)
def test_a_real_model_is_assembled_and_turned(test_data: Path, file: str, symmetry: str, atoms: int) -> None:
    structure = from_file(test_data / "models" / file, symmetry)
    assert len(structure.position_A) == atoms
    tree = cKDTree(structure.position_A)
    for rotation in group_rotations(symmetry):
        distance = tree.query(structure.position_A[::11] @ rotation.T)[0]
        assert np.sqrt(np.square(distance).mean()) < 0.05


def test_a_model_without_the_symmetry_is_refused(test_data: Path) -> None:
    with pytest.raises(InputError, match=r"8bk7\.cif: the copies of a chain .* not arranged as C4"):
        from_file(test_data / "models" / "8bk7.cif", "C4")


def test_files_that_are_no_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.pdb: not a readable"):
        from_file(tmp_path / "missing.pdb")
    empty = tmp_path / "empty.pdb"
    empty.write_text("REMARK nothing\n")
    with pytest.raises(InputError, match=r"empty\.pdb: no atoms"):
        from_file(empty)
