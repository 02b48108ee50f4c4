"""Molecules to simulate: two that mpop builds by itself, and any PDB or mmCIF file.

The built-in ones are made of ideal alpha helices (100 degrees and 1.5 A per residue), with backbone and the
beginnings of side chains: `ferritin_like`, a hollow octahedral shell of 24 four-helix bundles, and `asymmetric`,
layers of helices stacked into an irregular right-handed staircase. No two chains run through each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mpop.errors import InputError
from mpop.simulation.symmetry import about_axis, group_rotations, orientation

Array = NDArray[np.float64]
Trace = dict[str, tuple[str, list[float]]]

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

HELIX_SPACING_A = 9.8
"""Distance between the axes of helices that pack against each other."""

_HYDROGENS = {"C": 1.5, "N": 1.0, "O": 0.4, "S": 0.3}
"""Carried on average by an atom of a protein; models seldom list them."""
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
        strength = {element: _scattering_A(element) for element in set(elements)}
        scattering = np.array([strength[element] for element in elements]) * SOLVENT_CONTRAST
        centred = position_A - np.average(position_A, axis=0, weights=scattering)
        radius = float(np.linalg.norm(centred, axis=1).max())
        return cls(name, centred, scattering, symmetry, 2.0 * math.ceil(radius))


def _scattering_A(element: str) -> float:
    """Electron scattering factor at zero angle of an atom and its hydrogens (tables of gemmi)."""

    def at_zero(name: str) -> float:
        coefficients = gemmi.Element(name).c4322
        return coefficients.calculate_sf(0.0) if coefficients else 0.0

    return at_zero(element) + _HYDROGENS.get(element, 0.0) * at_zero("H")


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


def _upside_down(helix: Array) -> Array:
    """Turned about x by 180 degrees: still right-handed."""
    return helix * np.array([1.0, -1.0, -1.0])


def _four_helix_bundle(residues: int) -> tuple[Array, list[str]]:
    """Four antiparallel helices around z, neighbours 9.8 A apart, each leaning by 12 degrees."""
    radius = HELIX_SPACING_A / np.sqrt(2)
    helix, names = _helix(residues)
    positions = []
    for i in range(4):
        outwards = np.array([np.cos(np.pi * i / 2), np.sin(np.pi * i / 2), 0.0])
        oriented = _upside_down(helix) if i % 2 else helix
        positions.append(oriented @ about_axis(outwards, 12.0).T + radius * outwards)
    return np.concatenate(positions), names * 4


def _layer(residues: tuple[int, ...]) -> tuple[Array, list[str]]:
    """Antiparallel helices side by side in the xy plane, along x."""
    positions, elements = [], []
    for i, length in enumerate(residues):
        helix, names = _helix(length)
        lying = (_upside_down(helix) if i % 2 else helix)[:, [2, 0, 1]]
        positions.append(lying + np.array([0.0, HELIX_SPACING_A * (i - (len(residues) - 1) / 2), 0.0]))
        elements += names
    return np.concatenate(positions), elements


def ferritin_like() -> Structure:
    """24 four-helix bundles on an octahedral shell, 128 A across, 340 kDa."""
    subunit, elements = _four_helix_bundle(32)
    # A place where 24 copies do not touch: lying in the shell, oblique to all symmetry axes.
    z = np.array([0.546, 0.173, 0.820])
    z /= np.linalg.norm(z)
    x = np.cross([0.0, 0.0, 1.0], z)
    x /= np.linalg.norm(x)
    frame = np.stack([x, np.cross(z, x), z], axis=1)
    turn = frame @ about_axis(np.array([0.0, 0.0, 1.0]), 107.0) @ about_axis(np.array([0.0, 1.0, 0.0]), 93.0)
    placed = subunit @ turn.T + 46.0 * z
    positions = np.concatenate([placed @ r.T for r in group_rotations("O")])
    return Structure.make("ferritin-like", positions, elements * 24, "O")


def asymmetric() -> Structure:
    """Eight layers of four to eight helices, each turned by 40 degrees to the one below; 116 A across, 190 kDa."""
    recipe = (
        ((26, 32, 36, 34, 28, 22), 6.0, -4.0),
        ((28, 34, 38, 40, 36, 30, 24), -3.0, 5.0),
        ((24, 32, 38, 42, 42, 38, 32, 26), 4.0, 2.0),
        ((30, 36, 42, 44, 42, 36, 30, 22), -2.0, -5.0),
        ((28, 36, 42, 44, 40, 34, 26), 3.0, -3.0),
        ((34, 40, 42, 38, 32, 26), 7.0, 2.0),
        ((36, 40, 38, 30, 24), 10.0, -4.0),
        ((34, 34, 28, 20), 12.0, 5.0),
    )
    positions, elements = [], []
    for number, (residues, x, y) in enumerate(recipe):
        layer, names = _layer(residues)
        turn = about_axis(np.array([0.0, 0.0, 1.0]), 40.0 * number)
        positions.append((layer + np.array([x, y, 0.0])) @ turn.T + np.array([0.0, 0.0, 10.5 * number]))
        elements += names
    return Structure.make("asymmetric", np.concatenate(positions), elements, "C1")


def from_file(path: str | Path, symmetry: str = "C1") -> Structure:
    """The first assembly of a PDB or mmCIF file, or its first model where it describes none.

    With a symmetry, the model is turned to where RELION has the axes, which are found by laying copies of one
    chain onto each other. Raises InputError for a file that cannot be read and copies that do not fit.
    """
    path = Path(path)
    try:
        structure = gemmi.read_structure(str(path), merge_chain_parts=True)
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(f"{path}: not a readable PDB or mmCIF file ({' '.join(str(error).split())})") from error
    if structure.assemblies:
        structure.transform_to_assembly(structure.assemblies[0].name, gemmi.HowToNameCopiedChain.Short)
    structure.remove_waters()
    structure.remove_alternative_conformations()
    positions, elements = [], []
    for chain in structure[0] if len(structure) else ():
        for residue in chain:
            for atom in residue:
                if not atom.is_hydrogen():
                    positions.append(atom.pos.tolist())
                    elements.append(atom.element.name)
    if not positions:
        raise InputError(f"{path}: no atoms")
    try:
        turn = orientation(_copies_of_a_chain(structure[0]), symmetry)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return Structure.make(path.name.split(".")[0], np.array(positions) @ turn.T, elements, symmetry.upper())


def _copies_of_a_chain(model: gemmi.Model) -> Array:
    """(m, 3, 3) rotations that lay the most frequent chain onto each of its copies, itself included."""
    traces = [_trace(chain) for chain in model]
    groups = [[b for b in traces if _same_sequence(a, b)] for a in traces if len(a) > 2]
    if not groups:
        return np.eye(3)[None]
    first, *others = max(groups, key=lambda group: (len(group), len(group[0])))
    rotations = [np.eye(3)]
    for copy in others:
        common = sorted(first.keys() & copy.keys())
        here, there = (np.array([trace[i][1] for i in common]) for trace in (first, copy))
        laid = Rotation.align_vectors(there - there.mean(axis=0), here - here.mean(axis=0))[0]
        rotations.append(laid.as_matrix())
    return np.array(rotations)


def _trace(chain: gemmi.Chain) -> Trace:
    """Residue name and position of every CA or P, by residue number."""
    return {
        str(residue.seqid): (residue.name, atom.pos.tolist())
        for residue in chain.get_polymer()
        for atom in residue
        if (atom.name, atom.element.name) in (("CA", "C"), ("P", "P"))
    }


def _same_sequence(a: Trace, b: Trace) -> bool:
    """Whether at least 90 % of the residues of both are the same."""
    same = sum(a[i][0] == b[i][0] for i in a.keys() & b.keys())
    return same >= 0.9 * max(len(a), len(b))
