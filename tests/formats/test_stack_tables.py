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
    table = read_stack_table(new(tmp_path / "new.star", {"rlnImagePixelSize": [1.1, 1.3]}))
    with pytest.raises(InputError, match=r"images of 1\.1 and of 1\.3 A/px; .* --optics-group 1 or 2$"):
        _ = table.pixel_size_A
    assert [table.of_groups([name]).pixel_size_A for name in ("1", "two")] == [1.1, 1.3]
    with pytest.raises(InputError, match=r"no optics group 3 \(there are: 1, 2\)"):
        table.of_groups(["3"])


def test_origins_in_pixels_are_of_the_pixels_of_their_image(tmp_path: Path) -> None:
    table = {name: values for name, values in PARTICLES.items() if not name.startswith("rlnOrigin")}
    blocks = {
        "optics": pd.DataFrame(OPTICS | {"rlnImagePixelSize": [1.1, 1.3]}),
        "particles": pd.DataFrame(table | {"rlnOriginX": [10.0, 10.0], "rlnOriginY": [0.0, 1.0]}),
    }
    write_star(tmp_path / "x.star", blocks)
    assert np.allclose(read_stack_table(tmp_path / "x.star").origin_A, [[11.0, 0.0], [13.0, 1.3]])


def test_every_optics_group_is_kept_as_it_is(tmp_path: Path) -> None:
    optics = {"rlnOpticsGroup": [4, 2], "rlnBeamTiltX": [0.1, 0.0], "rlnOddZernike": ["[0,1.5]", "[0,0]"]}
    table = read_stack_table(new(tmp_path / "new.star", optics, rlnOpticsGroup=[2, 2]))
    assert table.optics_group.tolist() == [1, 1]
    assert table.groups[0]["rlnOpticsGroup"] == 4
    assert table.groups[1] == {
        "rlnOpticsGroup": 2,
        "rlnOpticsGroupName": "two",
        "rlnVoltage": 200,
        "rlnSphericalAberration": 1.4,
        "rlnAmplitudeContrast": 0.07,
        "rlnImagePixelSize": 1.1,
        "rlnBeamTiltX": 0,
        "rlnOddZernike": "[0,0]",
    }


@pytest.mark.parametrize(
    ("columns", "optics", "message"),
    [
        ({"rlnVoltage": [300.0, 300.0]}, {}, "_rlnVoltage is 300, but data_optics says that it is 200"),
        (
            {"rlnImagePixelSize": [1.1, 2.2]},
            {},
            "_rlnImagePixelSize of data_optics is 1.1, but _rlnImagePixelSize of its own is 2.2",
        ),
        (
            {"rlnDetectorPixelSize": [5.0, 5.0], "rlnMagnification": [25000.0, 25000.0]},
            {},
            "_rlnImagePixelSize is 1.1, but _rlnDetectorPixelSize / _rlnMagnification is 2 (so in 2 of 2 rows)",
        ),
    ],
)
def test_particles_that_contradict_their_optics_group_are_doubted(
    tmp_path: Path, columns: dict[str, object], optics: dict[str, object], message: str
) -> None:
    (doubt,) = read_stack_table(new(tmp_path / "new.star", optics, **columns)).doubts
    assert (doubt.kind, doubt.grave) == ("optics-contradict", False)
    assert message in str(doubt)
    assert str(doubt).endswith("the former is used, as RELION does")


def test_the_winner_is_that_of_relion(tmp_path: Path) -> None:
    """Of the CTF what the particle says; of the pixel size what its optics group says."""
    columns = {"rlnVoltage": [300.0, 300.0], "rlnImagePixelSize": [1.1, 2.2]}
    table = read_stack_table(new(tmp_path / "new.star", **columns))
    assert table.optics[:, 0].tolist() == [300.0, 300.0]
    assert table.pixel_size_A == 1.1


@pytest.mark.parametrize(
    "columns",
    [
        {"rlnVoltage": [300.0, 200.0]},
        {"rlnDetectorPixelSize": [5.0, 5.0], "rlnMagnification": [45454.5, 45454.5]},
    ],
)
def test_what_is_said_twice_alike_is_not_doubted(tmp_path: Path, columns: dict[str, object]) -> None:
    assert read_stack_table(new(tmp_path / "new.star", **columns)).doubts == []


def test_an_origin_without_y_is_used_and_doubted(tmp_path: Path) -> None:
    table = {name: values for name, values in PARTICLES.items() if name != "rlnOriginYAngst"}
    write_star(tmp_path / "x.star", {"optics": pd.DataFrame(OPTICS), "particles": pd.DataFrame(table)})
    found = read_stack_table(tmp_path / "x.star")
    assert found.origin_A.tolist() == [[1.0, 0.0], [2.0, 0.0]]
    assert [doubt.kind for doubt in found.doubts] == ["partial-columns"]


def test_angles_in_part_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no column _rlnAnglePsi"):
        read_stack_table(new(tmp_path / "x.star", rlnAngleRot=[1.0, 2.0], rlnAngleTilt=[1.0, 2.0]))


def test_what_the_ctf_lacks_is_named_and_poses_are_read_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "x.star"
    write_star(path, {"": pd.DataFrame({k: v for k, v in OLD.items() if k != "rlnAmplitudeContrast"})})
    table = read_stack_table(path)
    assert table.missing == ["rlnAmplitudeContrast"]
    assert table.angles_deg is not None
    assert table.angles_deg[:, 0].tolist() == [1.0, 2.0, 3.0]


def test_rows_that_share_an_image(tmp_path: Path) -> None:
    names = ["000002@a.mrcs", "000001@b.mrcs", "000002@a.mrcs"]
    table = read_stack_table(old(tmp_path / "x.star", rlnImageName=names))
    assert table.repeated().tolist() == [0, 1, 0]
    with pytest.raises(
        InputError, match=r"image 2@a\.mrcs is in several rows, as 1 of 3 are; .*--first-per-image"
    ):
        table.one_row_per_image(take_first=False)
    once = table.one_row_per_image(take_first=True)
    assert once.files == ["a.mrcs", "b.mrcs"]
    assert once.angles_deg is not None
    assert once.angles_deg[:, 0].tolist() == [1.0, 2.0]
    assert once.extra["rlnMicrographName"] == ["mic1.mrc", "mic1.mrc"]
    alone = table.take(np.array([1]))
    assert (alone.files, alone.file.tolist(), alone.image.tolist()) == (["b.mrcs"], [0], [0])
    assert table.take(np.array([0, 1])).one_row_per_image(take_first=False).repeated().tolist() == [0, 1]


def test_a_column_that_cannot_be_kept_is_left_out_and_doubted(tmp_path: Path) -> None:
    path = new(tmp_path / "x.star", rlnRemark=["x" * 5000, "y"], rlnOther=["007", "x y"])
    table = read_stack_table(path)
    assert "rlnRemark" not in table.extra
    assert table.extra["rlnOther"] == ["007", "x y"]
    assert [doubt.kind for doubt in table.doubts] == ["column-not-kept"]


def test_particles_of_tomograms_are_none_of_stacks(tmp_path: Path) -> None:
    found = stack_table_if_one(new(tmp_path / "new.star"))
    assert found is not None and found.files == read_stack_table(tmp_path / "new.star").files
    assert stack_table_if_one(new(tmp_path / "tomo.star", rlnTomoName=["TS_1", "TS_1"])) is None
    assert stack_table_if_one(new(tmp_path / "volumes.star", rlnImageName=["a.mrc", "b.mrc"])) is None
