"""Atomic models: mmCIF and PDB in, gzipped or not."""

from __future__ import annotations

from pathlib import Path

import gemmi

from mpop.errors import InputError
from mpop.formats.files import require_file
from mpop.formats.known_kinds import MODEL, is_not


def read_model(path: Path) -> gemmi.Model:
    """The first model of a file without its waters. Raises InputError for no atoms, and for what is no model."""
    require_file(path)
    try:
        structure = gemmi.read_structure(str(path))
    except Exception as error:  # gemmi raises whatever its parsing stumbles over
        reason = f"not a readable PDB or mmCIF file ({' '.join(str(error).split())})"
        raise InputError(is_not(path, MODEL, reason)) from error
    structure.setup_entities()
    structure.remove_waters()
    if len(structure) == 0 or structure[0].count_atom_sites() == 0:
        raise InputError(is_not(path, MODEL, "holds no atoms"))
    return structure[0]
