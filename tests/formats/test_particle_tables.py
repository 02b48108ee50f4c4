"""Particle tables: positions in angstrom, orientations as RELION means them, and bad tables named."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from mpop.errors import InputError
from mpop.formats.particle_tables import ParticleTable, read_particles, series_name, write_m_particles
from mpop.formats.star import read_star, write_star

ANGLES = {"rlnAngleRot": [10.0, 20.0], "rlnAngleTilt": [30.0, 40.0], "rlnAnglePsi": [50.0, 60.0]}
PIXELS = {"rlnCoordinateX": [100.0, 200.0], "rlnCoordinateY": [10.0, 20.0], "rlnCoordinateZ": [1.0, 2.0]}
NAMES = {"rlnTomoName": ["TS_01", "TS_02"]}
BASIC = NAMES | PIXELS | ANGLES
IN_ANGSTROM = np.array([[100.0, 10.0, 1.0], [200.0, 20.0, 2.0]])

Columns = Mapping[str, list]


def relion_matrix(angles_deg: np.ndarray) -> np.ndarray:
    """RELION's matrix A = Rz(psi) Ry(tilt) Rz(rot) of passive rotations, written out. (p, 3) to (p, 3, 3)."""

    def about(axis: int, degrees: np.ndarray) -> np.ndarray:
        c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        out = np.zeros((len(degrees), 3, 3))
        i, j = [(1, 2), (2, 0), (0, 1)][axis]
        out[:, axis, axis], out[:, i, i], out[:, j, j], out[:, i, j], out[:, j, i] = 1, c, c, s, -s
        return out

    rot, tilt, psi = np.transpose(angles_deg)
    return about(2, psi) @ about(1, tilt) @ about(2, rot)


def table(tmp_path: Path, columns: Columns, optics: Columns | None = None, **options: float) -> ParticleTable:
    """Write a table and read it as particles."""
    blocks = {"optics": pd.DataFrame(dict(optics))} if optics else {}
    write_star(tmp_path / "particles.star", blocks | {"particles": pd.DataFrame(dict(columns))})
    return read_particles(tmp_path / "particles.star", **options)


def unpacked(path: Path, tmp_path: Path) -> Path:
    """A gzipped table as a user has it."""
    plain = tmp_path / path.name.removesuffix(".gz")
    plain.write_bytes(gzip.decompress(path.read_bytes()))
    return plain


@pytest.mark.parametrize(
    "text",
    ["TS_01", "TS_01.tomostar", "a/b/TS_01.mrc.tomostar", "TS_01.xml", r"D:\data\TS_01.st", "../TS_01.MRC"],
)
def test_the_bare_name_of_a_series(text: str) -> None:
    assert series_name(text) == "TS_01"


def test_a_dot_in_a_name_is_part_of_it() -> None:
    assert series_name("x/2024.05.01_TS.tomostar") == "2024.05.01_TS"
    assert series_name(".mrc") == ".mrc"


@pytest.mark.parametrize(
    ("columns", "optics", "options", "factor"),
    [
        (BASIC, None, {"angpix_coords": 2.5}, 2.5),
        (BASIC | {"rlnTomogramPixelSize": [4.0, 4.0]}, None, {}, 4.0),
        (BASIC | {"rlnTomogramPixelSize": [4.0, 4.0]}, None, {"angpix_coords": 2.5}, 2.5),
        (BASIC, {"rlnTomoTiltSeriesPixelSize": [1.35], "rlnImagePixelSize": [5.4]}, {}, 1.35),
        (BASIC, {"rlnMicrographOriginalPixelSize": [1.4], "rlnImagePixelSize": [5.6]}, {}, 1.4),
        (BASIC, {"rlnImagePixelSize": [5.6]}, {}, 5.6),
        (BASIC | {"rlnDetectorPixelSize": [5.0] * 2, "rlnMagnification": [10000.0] * 2}, None, {}, 5.0),
        (BASIC | {"rlnPixelSize": [5.0] * 2}, None, {}, 5.0),
        (BASIC | {"rlnPixelSize": [5.0] * 2}, {"rlnImagePixelSize": [10.0]}, {}, 5.0),
    ],
)
def test_coordinates_become_angstrom(
    tmp_path: Path, columns: Columns, optics: Columns | None, options: dict[str, float], factor: float
) -> None:
    read = table(tmp_path, columns, optics, **options)
    np.testing.assert_allclose(read.position_A[:, 0], IN_ANGSTROM * factor, rtol=1e-12)
    np.testing.assert_allclose(read.angles_deg[:, 0], [[10, 30, 50], [20, 40, 60]])
    assert (read.series, read.centred, read.half) == (["TS_01", "TS_02"], False, None)


BOTH = {"rlnTomoTiltSeriesPixelSize": [1.5], "rlnImagePixelSize": [6.0]}
WARP_NAMES = {"rlnTomoName": ["TS_01.tomostar", "TS_02.tomostar"]}


@pytest.mark.parametrize(
    ("columns", "factor", "decided"),
    [
        (BASIC, 1.5, True),
        (BASIC | WARP_NAMES, 6.0, True),
        (
            BASIC | {"rlnImageName": ["../warp_tiltseries/particleseries/TS_01/TS_01_6.00A_000001.mrcs"] * 2},
            6.0,
            True,
        ),
        (BASIC | {"rlnImageName": ["Extract/job020/Subtomograms/TS_01/1_stack2d.mrcs"] * 2}, 1.5, True),
        (BASIC | WARP_NAMES | {"rlnImageName": ["PseudoSubtomo/job005/Subtomograms/1_data.mrc"] * 2}, 1.5, False),
    ],
)
def test_names_and_paths_say_whose_pixels_coordinates_are_in(
    tmp_path: Path, columns: Columns, factor: float, decided: bool
) -> None:
    """WarpTools measures in pixels of the exported images, RELION in those of the tilt images."""
    read = table(tmp_path, columns, BOTH)
    np.testing.assert_allclose(read.position_A[:, 0], IN_ANGSTROM * factor)
    assert [reading.unit_A[0] for reading in read.readings] == [factor, 7.5 - factor]
    assert read.decided == decided
    same = table(tmp_path, columns, {"rlnTomoTiltSeriesPixelSize": [6.0], "rlnImagePixelSize": [6.0001]})
    assert len(same.readings) == 1
    given = table(tmp_path, columns, BOTH, angpix_coords=2.0)
    assert [str(reading) for reading in given.readings] == ["2 A (--angpix-coords)"]


def test_every_optics_group_has_its_own_pixel_size(tmp_path: Path) -> None:
    optics = {"rlnOpticsGroup": [2, 1], "rlnImagePixelSize": [3.0, 5.0]}
    read = table(tmp_path, BASIC | {"rlnOpticsGroup": [1, 2]}, optics)
    np.testing.assert_allclose(read.position_A[:, 0], IN_ANGSTROM * [[5.0], [3.0]])
    with pytest.raises(InputError, match="optics group 7 is used but not in data_optics"):
        table(tmp_path, BASIC | {"rlnOpticsGroup": [1, 7]}, optics)


def test_columns_of_particles_and_optics_groups_are_kept_as_many_as_there_may_be(tmp_path: Path) -> None:
    many = {f"rlnFurther{number:03d}": [number, number] for number in range(198)}
    optics = {"rlnOpticsGroup": [1], "rlnImagePixelSize": [3.0], "rlnFirst": [1], "rlnSecond": [2]}
    read = table(tmp_path, BASIC | many | {"rlnOpticsGroup": [1, 1]}, optics)
    assert [*read.extra] == [*many, "rlnOpticsGroup", "rlnImagePixelSize"]
    (doubt,) = read.doubts
    assert (doubt.kind, doubt.grave) == ("column-not-kept", False)
    assert doubt.read == "mpop does not use _rlnFirst, _rlnSecond"
    fewer = table(tmp_path, BASIC | {"rlnOpticsGroup": [1, 1]}, optics)
    assert (fewer.extra["rlnSecond"], fewer.doubts) == ([2, 2], [])


def test_optics_groups_that_contradict_themselves_are_refused(tmp_path: Path) -> None:
    particles = BASIC | {"rlnOpticsGroup": [1, 2]}
    same = {
        "rlnOpticsGroup": [1, 2, 2],
        "rlnOpticsGroupName": ["a", "b", "c"],
        "rlnImagePixelSize": [3.0, 5.0, 5.0],
    }
    read = table(tmp_path, particles, same)
    np.testing.assert_allclose(read.position_A[:, 0], IN_ANGSTROM * [[3.0], [5.0]])
    with pytest.raises(InputError, match=r"data_optics has group 2 twice, with _rlnImagePixelSize 5\.0 and 6\.0"):
        table(tmp_path, particles, same | {"rlnImagePixelSize": [3.0, 5.0, 6.0]})
    with pytest.raises(InputError, match="2 optics groups, but data_optics has no column _rlnOpticsGroup"):
        table(tmp_path, particles, {"rlnImagePixelSize": [3.0, 5.0]})
    with pytest.raises(
        InputError, match="2 optics groups, but block data_particles has no column _rlnOpticsGroup"
    ):
        table(tmp_path, BASIC, {"rlnOpticsGroup": [1, 2], "rlnImagePixelSize": [3.0, 5.0]})
    one = {"rlnOpticsGroup": [7], "rlnImagePixelSize": [3.0]}
    np.testing.assert_allclose(table(tmp_path, BASIC, one).position_A[:, 0], IN_ANGSTROM * 3)


def test_two_blocks_of_particles_are_not_chosen_from(tmp_path: Path) -> None:
    write_star(tmp_path / "two.star", {"a": pd.DataFrame(BASIC), "b": pd.DataFrame(BASIC)})
    with pytest.raises(InputError, match=r"several blocks hold particles: data_a \(2 rows\), data_b \(2 rows\)"):
        read_particles(tmp_path / "two.star", angpix_coords=1.0)
    write_star(tmp_path / "two.star", {"a": pd.DataFrame(BASIC), "particles": pd.DataFrame(BASIC)})
    assert len(read_particles(tmp_path / "two.star", angpix_coords=1.0)) == 2


def test_origins_are_subtracted(tmp_path: Path) -> None:
    origin = {"X": [1.0, -2.0], "Y": [0.5, 0.0], "Z": [0.0, 3.0]}
    shift = np.transpose(list(origin.values()))
    in_angstrom = BASIC | {f"rlnOrigin{axis}Angst": values for axis, values in origin.items()}
    read = table(tmp_path, in_angstrom, angpix_coords=2.0)
    np.testing.assert_allclose(read.position_A[:, 0], IN_ANGSTROM * 2 - shift)
    in_pixels = BASIC | {f"rlnOrigin{axis}": values for axis, values in origin.items()}
    read = table(tmp_path, in_pixels, angpix_coords=2.0, angpix_shifts=3.0)
    np.testing.assert_allclose(read.position_A[:, 0], IN_ANGSTROM * 2 - 3 * shift)
    old = {"rlnMagnification": [10000.0] * 2, "rlnDetectorPixelSize": [4.0] * 2}
    for columns, optics in ((old, None), ({"rlnPixelSize": [4.0] * 2}, None), ({}, {"rlnImagePixelSize": [4.0]})):
        read = table(tmp_path, in_pixels | columns, optics)
        np.testing.assert_allclose(read.position_A[:, 0], IN_ANGSTROM * 4 - 4 * shift)
    with pytest.raises(InputError, match="pixel size of _rlnOriginX/Y/Z is not in the file; give --angpix-shifts"):
        table(tmp_path, in_pixels, angpix_coords=2.0)
    nothing = BASIC | {f"rlnOrigin{axis}": [0.0, 0.0] for axis in "XYZ"}
    np.testing.assert_allclose(table(tmp_path, nothing, angpix_coords=2.0).position_A[:, 0], IN_ANGSTROM * 2)


@pytest.mark.parametrize("axes", ["X", "XY", "Z"])
@pytest.mark.parametrize("unit", ["Angst", ""])
def test_an_origin_that_lacks_an_axis_is_used_and_doubted(tmp_path: Path, axes: str, unit: str) -> None:
    """The shift along the axes that are there counts; once none of it did."""
    origin = {f"rlnOrigin{axis}{unit}": [30.0, -20.0] for axis in axes}
    read = table(tmp_path, BASIC | origin, angpix_coords=1.0, angpix_shifts=2.0)
    expected = np.outer([30.0, -20.0], [axis in axes for axis in "XYZ"]) * (1.0 if unit else 2.0)
    np.testing.assert_allclose(IN_ANGSTROM - read.position_A[:, 0], expected)
    (doubt,) = read.doubts
    assert (doubt.kind, doubt.grave) == ("partial-columns", False)
    missing = ", ".join(f"_rlnOrigin{axis}{unit}" for axis in "XYZ" if axis not in axes)
    assert f"but not {missing}; the missing part of the shift is taken as 0" in str(doubt)


def test_an_origin_that_is_whole_or_zero_is_not_doubted(tmp_path: Path) -> None:
    whole = {f"rlnOrigin{axis}Angst": [30.0, -20.0] for axis in "XYZ"}
    for origin in (whole, {"rlnOriginXAngst": [0.0, 0.0]}, {}):
        assert table(tmp_path, BASIC | origin, angpix_coords=1.0).doubts == []


angles = st.tuples(st.floats(-180, 180), st.floats(0, 180), st.floats(-180, 180))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(angles, angles, st.tuples(*[st.floats(-9, 9)] * 3)), min_size=1, max_size=4))
def test_subtomogram_angles_turn_particle_and_origin(tmp_path_factory: pytest.TempPathFactory, rows: list) -> None:
    box, particle, origin = (np.array([row[i] for row in rows]).round(6) for i in range(3))
    columns = {"rlnTomoName": ["TS"] * len(rows)}
    for i, angle in enumerate(("Rot", "Tilt", "Psi")):
        columns[f"rlnAngle{angle}"] = particle[:, i].tolist()
        columns[f"rlnTomoSubtomogram{angle}"] = box[:, i].tolist()
    for i, axis in enumerate("XYZ"):
        columns[f"rlnOrigin{axis}Angst"] = origin[:, i].tolist()
        columns[f"rlnCenteredCoordinate{axis}Angst"] = [100.0 * i] * len(rows)
    read = table(tmp_path_factory.mktemp("star"), columns)
    assert read.centred
    expected = relion_matrix(box) @ relion_matrix(particle)
    np.testing.assert_allclose(relion_matrix(read.angles_deg[:, 0]), expected, atol=1e-6)
    shift = np.einsum("pij,pj->pi", relion_matrix(box), origin)
    np.testing.assert_allclose(read.position_A[:, 0], [0, 100, 200] - shift, atol=1e-5)


def _spread_of_spacing(position: np.ndarray) -> float:
    """How sharp a lattice is: median deviation of the distance to the next three neighbours."""
    distance = cKDTree(position).query(position, k=7)[0]
    spacing = distance[distance[:, 6] < 100, 1:4]
    return float(np.median(np.abs(spacing - np.median(spacing))))


def test_real_hiv_capsids_show_how_relion_means_its_angles_and_origins(test_data: Path, tmp_path: Path) -> None:
    """The hexamers of the HIV-1 capsid stand on the membrane, six-fold axis (z of the map) along its normal,
    and on a lattice. A wrong order of the two rotations, a transposed matrix or an origin that is not turned
    would blur both."""
    path = unpacked(test_data / "relion5_tomo/Select/job024/particles.star.gz", tmp_path)
    read, raw = read_particles(path), read_star(path)["particles"]
    assert len(read) == 9053
    assert read.centred
    assert sorted(set(read.series)) == ["TS_01", "TS_03", "TS_43", "TS_45", "TS_54"]
    assert read.half is not None
    assert np.bincount(read.half).tolist()[0] == 0
    series, matrix = np.array(read.series), relion_matrix(read.angles_deg[:, 0])
    centred = raw[[f"rlnCenteredCoordinate{axis}Angst" for axis in "XYZ"]].to_numpy(dtype=float)
    origin = raw[[f"rlnOrigin{axis}Angst" for axis in "XYZ"]].to_numpy(dtype=float)
    for name in sorted(set(read.series)):
        here = series == name
        position = read.position_A[here, 0]
        distance, neighbours = cKDTree(position).query(position, k=7)
        inside = distance[:, 6] < 100
        patch = position[neighbours[inside]]
        normal = np.linalg.svd(patch - patch.mean(axis=1, keepdims=True))[2][:, 2]
        along = np.abs(np.einsum("pi,pi->p", normal, matrix[here, :, 2][inside]))
        across = np.abs(np.einsum("pi,pi->p", normal, matrix[here, 2, :][inside]))
        assert np.median(along) > 0.99
        assert np.median(across) < 0.9
        plain = _spread_of_spacing((centred - origin)[here])
        assert _spread_of_spacing(position) < 0.8 * plain


def test_every_real_relion_5_table_is_read(test_data: Path, tmp_path: Path) -> None:
    for name, count in (
        ("Extract/job020/particles.star.gz", 9443),
        ("Refine3D/job023/run_data.star.gz", 9442),
        ("Refine3D/job034/run_data.star.gz", 9053),
        ("Polish/job030/particles.star.gz", 9053),
    ):
        read = read_particles(unpacked(test_data / "relion5_tomo" / name, tmp_path))
        assert len(read) == pytest.approx(count, abs=5)
        # every particle of this project lies in a volume of 4000 x 4000 x 2000 px at 1.35 A
        assert (np.abs(read.position_A[:, 0]) < np.array([2700, 2700, 1350])).all()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sta_testing_bin8.star", "block data_ has no column _rlnCoordinateZ"),
        ("relion31.star", "block data_particles has no column _rlnCoordinateZ"),
        ("empiar_10076_7.star", "no block with particle coordinates"),
    ],
)
def test_real_tables_of_single_particles_are_refused_by_column(test_data: Path, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_particles(test_data / "particles" / name)


finite = st.floats(-1e4, 1e4).map(lambda x: round(x, 5))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.data())
def test_ms_own_table_survives_a_round_trip(
    tmp_path_factory: pytest.TempPathFactory, p: int, samples: int, turns: int, data: st.DataObject
) -> None:
    draw = lambda count: np.array(data.draw(st.lists(finite, min_size=count, max_size=count)))  # noqa: E731
    position, turned = draw(p * samples * 3).reshape(p, samples, 3), draw(p * turns * 3).reshape(p, turns, 3)
    half = np.array(data.draw(st.lists(st.sampled_from([1, 2]), min_size=p, max_size=p)), dtype=np.uint8)
    path = tmp_path_factory.mktemp("m") / "x_particles.star"
    names = [f"{i:05d}.tomostar" for i in range(p)]
    write_m_particles(path, names, position, turned, half, ["0123456789012345"] * p, {"rlnClassNumber": [3] * p})
    read = read_particles(path)
    np.testing.assert_allclose(read.position_A, position, atol=1e-6)
    np.testing.assert_allclose(read.angles_deg, turned, atol=1e-6)
    assert read.half is not None
    assert read.half.tolist() == half.tolist()
    assert read.series == [f"{i:05d}" for i in range(p)]
    assert read.extra == {"rlnClassNumber": [3] * p, "wrpSourceHash": ["0123456789012345"] * p}


def test_the_columns_of_ms_table_are_those_that_m_asks_for(tmp_path: Path) -> None:
    one = np.zeros((1, 1, 3))
    write_m_particles(tmp_path / "x.star", ["TS.tomostar"], one, one, np.array([1], dtype=np.uint8), ["h"], {})
    assert read_star(tmp_path / "x.star")["particles"].columns.tolist() == [
        *(f"wrpCoordinate{axis}1" for axis in "XYZ"),
        *(f"wrpAngle{angle}1" for angle in ("Rot", "Tilt", "Psi")),
        *("wrpRandomSubset", "wrpSourceName", "wrpSourceHash"),
    ]


def without(column: str) -> dict[str, list]:
    """The basic table without a column."""
    return {name: values for name, values in BASIC.items() if name != column}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (without("rlnCoordinateZ"), "block data_particles has no column _rlnCoordinateZ"),
        (without("rlnAngleTilt"), "block data_particles has no column _rlnAngleTilt"),
        (without("rlnAnglePsi"), "block data_particles has no column _rlnAnglePsi"),
        (
            BASIC | {"rlnTomoSubtomogramRot": [1.0, 2.0]},
            "has no column _rlnTomoSubtomogramTilt, _rlnTomoSubtomogramPsi",
        ),
        (
            BASIC | {f"rlnCenteredCoordinate{axis}Angst": [1.0, 2.0] for axis in "XY"},
            "has no column _rlnCenteredCoordinateZAngst",
        ),
        (without("rlnTomoName"), "has no column _rlnTomoName or _rlnMicrographName; which series is a row from"),
        (BASIC | {"rlnAnglePsi": ["nan", 1.0]}, "_rlnAnglePsi is not a number in rows 1$"),
        (BASIC | {"rlnCoordinateY": [1.0, "inf"]}, "_rlnCoordinateY is not a number in rows 2$"),
        (BASIC | {"rlnCoordinateY": ["x", "y"]}, "_rlnCoordinateY is not a number in rows 1, 2$"),
        (BASIC | {"rlnRandomSubset": [1, 3]}, "_rlnRandomSubset is 3 in row 2, expected 1 or 2"),
        ({name: [] for name in BASIC}, "block data_particles has no rows"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(tmp_path: Path, columns: Columns, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        table(tmp_path, columns, angpix_coords=1.0)
    assert str(caught.value).startswith(str(tmp_path / "particles.star"))
    assert "\n" not in str(caught.value)


def test_an_unknown_pixel_size_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pixel size of the coordinates is not in the file; give --angpix-coords"):
        table(tmp_path, BASIC)


def test_a_table_of_something_else_is_refused(test_data: Path) -> None:
    with pytest.raises(InputError, match=r"is a postprocess\.star of RELION, not a table of particles"):
        read_particles(test_data / "relion5_tomo/PostProcess/job022/postprocess.star")
