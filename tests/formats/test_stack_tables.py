"""Tables of particle images as RELION 3.0, 3.1 and 5 write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mpop.errors import InputError
from mpop.formats.stack_tables import read_stack_table, stack_table_if_one
from mpop.formats.star import write_star

OLD = {
    "rlnImageName": ["000002@a/mic1.mrcs", "000001@a/mic1.mrcs", "000001@a/mic2.mrcs"],
    "rlnMicrographName": ["mic1.mrc", "mic1.mrc", "mic2.mrc"],
    "rlnVoltage": [300.0] * 3,
    "rlnSphericalAberration": [2.7] * 3,
    "rlnAmplitudeContrast": [0.1] * 3,
    "rlnDefocusU": [12000.0, 11000.0, 10000.0],
    "rlnDefocusV": [11000.0, 11000.0, 9000.0],
    "rlnDefocusAngle": [30.0, 0.0, 45.0],
    "rlnPhaseShift": [90.0, 0.0, 0.0],
    "rlnDetectorPixelSize": [5.0] * 3,
    "rlnMagnification": [25000.0] * 3,
    "rlnAngleRot": [1.0, 2.0, 3.0],
    "rlnAngleTilt": [4.0, 5.0, 6.0],
    "rlnAnglePsi": [7.0, 8.0, 9.0],
    "rlnOriginX": [1.5, 0.0, 0.0],
    "rlnOriginY": [0.0, -2.0, 0.0],
}
PARTICLES = {
    "rlnImageName": ["000001@x.mrcs", "000002@x.mrcs"],
    "rlnOpticsGroup": [1, 2],
    "rlnDefocusU": [10000.0, 10000.0],
    "rlnDefocusV": [10000.0, 10000.0],
    "rlnCtfBfactor": [0.0, 20.0],
    "rlnOriginXAngst": [1.0, 2.0],
    "rlnOriginYAngst": [3.0, 4.0],
    "rlnRandomSubset": [2, 1],
}
OPTICS = {
    "rlnOpticsGroup": [1, 2],
    "rlnOpticsGroupName": ["one", "two"],
    "rlnVoltage": [300.0, 200.0],
    "rlnSphericalAberration": [2.7, 1.4],
    "rlnAmplitudeContrast": [0.1, 0.07],
    "rlnImagePixelSize": [1.1, 1.1],
}


def old(path: Path, **columns: object) -> Path:
    write_star(path, {"": pd.DataFrame(OLD | columns)})
    return path


def new(path: Path, optics: dict[str, object] | None = None, **columns: object) -> Path:
    blocks = {"optics": pd.DataFrame(OPTICS | (optics or {})), "particles": pd.DataFrame(PARTICLES | columns)}
    write_star(path, blocks)
    return path


def test_relion_3_0(tmp_path: Path) -> None:
    table = read_stack_table(old(tmp_path / "old.star"))
    assert table.files == ["a/mic1.mrcs", "a/mic2.mrcs"]
    assert table.file.tolist() == [0, 0, 1]
    assert table.image.tolist() == [1, 0, 0]
    assert table.pixel_size_A == pytest.approx(2.0)
    assert np.allclose(table.origin_A, [[3.0, 0.0], [0.0, -4.0], [0.0, 0.0]])
    assert np.allclose(table.defocus_um, [1.15, 1.1, 0.95])
    assert np.allclose(table.defocus_delta_um, [0.1, 0.0, 0.1])
    assert np.allclose(table.phase_shift_pi, [0.5, 0.0, 0.0])
    assert table.half is None


def test_optics_groups(tmp_path: Path) -> None:
    table = read_stack_table(new(tmp_path / "new.star"))
    assert table.optics.tolist() == [[300.0, 2.7, 0.1], [200.0, 1.4, 0.07]]
    assert table.pixel_size_A == pytest.approx(1.1)
    assert table.bfactor_A2.tolist() == [0.0, -20.0]
    assert table.half is not None
    assert table.half.tolist() == [2, 1]
    assert table.angles_deg is None
    assert table.ignored == []


@pytest.mark.parametrize(
    ("optics", "name"),
    [
        ({"rlnBeamTiltX": [0.0, 0.1]}, "beam tilt"),
        ({"rlnOddZernike": ["[0,0,0.2]", "[0,0,0]"]}, "odd aberrations"),
        ({"rlnMagMat00": [1.0, 1.01], "rlnMagMat11": [1.0, 1.0]}, "anisotropic magnification"),
    ],
)
def test_aberrations_are_named(tmp_path: Path, optics: dict[str, object], name: str) -> None:
    assert read_stack_table(new(tmp_path / "new.star", optics)).ignored == [name]


def test_aberrations_of_zero_are_none(tmp_path: Path) -> None:
    optics = {"rlnBeamTiltX": [0.0, 0.0], "rlnOddZernike": ["[0,0,0]", "[0,0,0]"]}
    assert read_stack_table(new(tmp_path / "new.star", optics)).ignored == []


def test_two_pixel_sizes_are_two_sources(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"images of 1\.1 and of 1\.3 A/px; split the table"):
        read_stack_table(new(tmp_path / "new.star", {"rlnImagePixelSize": [1.1, 1.3]}))


def test_particles_of_tomograms_are_none_of_stacks(tmp_path: Path) -> None:
    found = stack_table_if_one(new(tmp_path / "new.star"))
    assert found is not None and found.files == read_stack_table(tmp_path / "new.star").files
    assert stack_table_if_one(new(tmp_path / "tomo.star", rlnTomoName=["TS_1", "TS_1"])) is None
    assert stack_table_if_one(new(tmp_path / "volumes.star", rlnImageName=["a.mrc", "b.mrc"])) is None
