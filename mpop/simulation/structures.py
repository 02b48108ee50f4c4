"""Molecules to simulate: two that mpop builds by itself, and any PDB or mmCIF file.

The built-in ones are made of ideal alpha helices (100 degrees and 1.5 A per residue), with backbone and the
beginnings of side chains: `ferritin_like`, a hollow octahedral shell of 24 four-helix bundles, and `asymmetric`,
bundles of helices along an irregular right-handed spiral.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray

from mpop.errors import InputError

Array = NDArray[np.float64]

# Atoms of one residue: name, radius from the helix axis (A), angle (deg) and height (A) from CA.
_RESIDUE = (
    ("N", 1.55, -28.0, -0.9),
    ("C", 2.28, 0.0, 0.0),
    ("C", 1.68, 26.0, 1.1),
    ("O", 2.03, 24.0, 2.3),
    ("C", 3.30, -18.0, -0.5),
    ("C", 4.40, -24.0, -1.3),
    ("C", 5.30, -15.0, -1.8),
)

# Scattering at zero angle (A, electrons) of an atom and the hydrogens it carries on average, in vacuum.
_SCATTERING = {"C": 3.29, "N": 2.74, "O": 2.20, "S": 5.60, "P": 5.49, "H": 0.0}
_OTHER_SCATTERING = 3.0
SOLVENT_CONTRAST = 0.44
"""What is left of a protein's potential once the water that it displaces is subtracted (8.1 V against 4.5 V)."""


@dataclass(frozen=True)
class Structure:
    """Atoms centred on their centre of mass.

    position_A (a, 3) x, y, z; scattering_A (a,) effective scattering factors at zero angle; symmetry by
    RELION's name; diameter_A of the smallest sphere about the centre that holds all atoms.
    """

    name: str
    position_A: Array
    scattering_A: Array
    symmetry: str
    diameter_A: float

    @classmethod
    def make(cls, name: str, position_A: Array, elements: list[str], symmetry: str) -> Structure:
        """Centre the atoms and look up their scattering."""
        scattering = np.array([_SCATTERING.get(e, _OTHER_SCATTERING) for e in elements]) * SOLVENT_CONTRAST
        centred = position_A - np.average(position_A, axis=0, weights=scattering)
        radius = float(np.linalg.norm(centred, axis=1).max())
        return cls(name, centred, scattering, symmetry, float(np.ceil(2 * radius / 2) * 2))


def _helix(residues: int) -> tuple[Array, list[str]]:
    """An ideal right-handed alpha helix along z, centred."""
    positions, elements = [], []
    for i in range(residues):
        for element, radius, angle, height in _RESIDUE:
            turn = np.deg2rad(100.0 * i + angle)
            z = 1.5 * (i - (residues - 1) / 2) + height
            positions.append([radius * np.cos(turn), radius * np.sin(turn), z])
            elements.append(element)
    return np.array(positions), elements


def _bundle(residues: tuple[int, ...], spacing_A: float = 9.8) -> tuple[Array, list[str]]:
    """Antiparallel helices around z, each crossing it by 20 degrees."""
    positions, elements = [], []
    count = len(residues)
    for i, length in enumerate(residues):
        helix, names = _helix(length)
        if i % 2:
            helix = helix * np.array([1.0, -1.0, -1.0])  # upside down, still right-handed
        around = 2 * np.pi * i / count
        crossing = _about_axis(np.array([np.cos(around), np.sin(around), 0.0]), 20.0)
        radius = 0.5 * spacing_A / np.sin(np.pi / count) if count > 1 else 0.0
        positions.append(helix @ crossing.T + radius * np.array([np.cos(around), np.sin(around), 0.0]))
        elements += names
    return np.concatenate(positions), elements


def _about_axis(axis: Array, degrees: float) -> Array:
    """Right-handed rotation about an axis."""
    x, y, z = axis / np.linalg.norm(axis)
    angle = np.deg2rad(degrees)
    c, s = np.cos(angle), np.sin(angle)
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return c * np.eye(3) + s * skew + (1 - c) * np.outer([x, y, z], [x, y, z])


def octahedral_rotations() -> Array:
    """(24, 3, 3) all rotations of a cube: signed permutation matrices of determinant 1; 4-folds on x, y, z."""
    rotations = []
    for order in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
        for signs in np.ndindex(2, 2, 2):
            matrix = np.zeros((3, 3))
            matrix[np.arange(3), order] = 1.0 - 2.0 * np.array(signs)
            if np.linalg.det(matrix) > 0:
                rotations.append(matrix)
    return np.stack(rotations)


def ferritin_like() -> Structure:
    """24 four-helix bundles on an octahedral shell, about 120 A across and 440 kDa."""
    subunit, elements = _bundle((32, 32, 32, 32))
    # lie down in the shell, oblique to all symmetry axes, in a general position
    lying = _about_axis(np.array([0.0, 1.0, 0.0]), 90.0)
    turned = _about_axis(np.array([0.0, 0.0, 1.0]), 35.0) @ lying
    direction = np.array([0.75, 0.29, 0.60])
    z = direction / np.linalg.norm(direction)
    x = np.cross([0.0, 0.0, 1.0], z)
    x /= np.linalg.norm(x)
    frame = np.stack([x, np.cross(z, x), z], axis=1)
    placed = subunit @ (frame @ turned).T + 44.0 * z
    positions = np.concatenate([placed @ r.T for r in octahedral_rotations()])
    return Structure.make("ferritin-like", positions, elements * 24, "O")


def asymmetric() -> Structure:
    """Twelve bundles of three to six helices along an irregular spiral, about 120 A across and 180 kDa."""
    recipe = (
        ((30, 26, 34, 28, 30, 24), 20.0, -30.0, 10.0),
        ((36, 32, 30, 34, 28), 24.0, -18.0, 70.0),
        ((24, 28, 24, 20, 26), 22.0, -10.0, 150.0),
        ((34, 32, 36, 30), 27.0, 0.0, 215.0),
        ((28, 30, 32, 26, 30), 18.0, 10.0, 290.0),
        ((26, 24, 28, 30, 26), 25.0, 17.0, 350.0),
        ((34, 36, 30, 32), 14.0, 29.0, 60.0),
        ((22, 26, 24, 28), 28.0, 12.0, 115.0),
        ((30, 30, 28, 26, 32), 5.0, -8.0, 10.0),
        ((20, 22, 24, 26), 29.0, -17.0, 320.0),
        ((32, 28, 30, 26, 24), 10.0, -40.0, 200.0),
        ((24, 26, 22), 8.0, 40.0, 240.0),
    )
    positions, elements = [], []
    for number, (residues, radius, height, angle) in enumerate(recipe):
        bundle, names = _bundle(residues)
        around = np.deg2rad(angle)
        turn = _about_axis(np.array([np.sin(1.7 * number), np.cos(2.3 * number), 0.6]), 47.0 * number + 20.0)
        centre = np.array([radius * np.cos(around), radius * np.sin(around), height])
        positions.append(bundle @ turn.T + centre)
        elements += names
    return Structure.make("asymmetric", np.concatenate(positions), elements, "C1")


def from_file(path: str | Path, symmetry: str = "C1") -> Structure:
    """The first assembly of a PDB or mmCIF file, or its first model where it describes none.

    The symmetry is taken at its word: the axes must already lie as RELION puts them.
    """
    path = Path(path)
    try:
        structure = gemmi.read_structure(str(path), merge_chain_parts=True)
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(f"{path}: not a readable PDB or mmCIF file ({' '.join(str(error).split())})") from error
    structure.remove_waters()
    structure.remove_alternative_conformations()
    if structure.assemblies:
        structure.transform_to_assembly(structure.assemblies[0].name, gemmi.HowToNameCopiedChain.Short)
    positions, elements = [], []
    for chain in structure[0] if len(structure) else ():
        for residue in chain:
            for atom in residue:
                if not atom.is_hydrogen():
                    positions.append(atom.pos.tolist())
                    elements.append(atom.element.name)
    if not positions:
        raise InputError(f"{path}: no atoms")
    name = path.name.split(".")[0]
    return Structure.make(name, np.array(positions), elements, symmetry)
