"""Files that are no models."""

from __future__ import annotations

from pathlib import Path

import pytest

from mpop.errors import InputError
from mpop.formats.atomic_models import read_model


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.pdb", b"", "holds no atoms"),
        ("text.pdb", b"This is not a model.\n", "holds no atoms"),
        ("empty.cif", b"", "not a readable PDB or mmCIF file|holds no atoms"),
        ("broken.cif", b"data_a\nloop_\n_atom_site.id\n_atom_site.x\n1\n", "not a readable"),
        ("binary.cif", bytes(range(256)) * 4, "not a readable"),
        ("binary.pdb", bytes(range(256)) * 4, "holds no atoms|not a readable"),
        ("model.xyz", b"1\nx\nC 0 0 0\n", "not a readable|holds no atoms"),
        ("short.cif.gz", b"\x1f\x8b\x08", "not a readable"),
    ],
)
def test_one_line_says_what_is_wrong(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=reason) as caught:
        read_model(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_model(tmp_path / "model.cif")
