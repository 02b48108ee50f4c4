"""Warp's XML of a tilt series: real files, every field, and everything that mpop does not know."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from lxml import etree

from mpop.errors import InputError
from mpop.formats.warp_xml import read_notes, read_tilt_series, write_tilt_series
from mpop.records.tilt_series import CTFModel, LinearGrid4D, SplineGrid, TiltSeriesModel

IMAGE, VOLUME = (4803.84, 3412.728), (3336.0, 4753.8, 834.0)
REAL = ["TS_1.xml", "00254.xml"]
MINIMAL = "<TiltSeries><Angles>-3\n0\n3</Angles></TiltSeries>"

numbers = st.floats(-1e6, 1e6, allow_nan=False)


def read(content: bytes | str, name: str = "TS.xml") -> TiltSeriesModel:
    """A model with dimensions that most tests do not care about."""
    return read_tilt_series(content if isinstance(content, bytes) else content.encode(), name, IMAGE, VOLUME)


def plain(value: Any) -> Any:
    """Arrays and grids as lists, so that models compare with ==."""
    if isinstance(value, SplineGrid):
        return ("spline", value.values.tolist(), value.margin)
    if isinstance(value, LinearGrid4D):
        return ("linear", value.values.tolist())
    return value.tolist() if isinstance(value, np.ndarray) else value


def as_dict(model: TiltSeriesModel) -> dict[str, Any]:
    """Fields of a model by name, comparable."""
    return {field.name: plain(getattr(model, field.name)) for field in fields(model)}


def leaves(content: bytes) -> dict[str, str]:
    """Every attribute and text of a document by its path, whoever knows it."""
    found: dict[str, str] = {}
    tree = etree.fromstring(content).getroottree()
    for element in tree.iter():
        path = tree.getpath(element)
        found |= {f"{path}/@{key}": value for key, value in element.attrib.items()}
        if (element.text or "").strip():
            found[path] = element.text.strip()
    return found


@pytest.fixture(params=REAL)
def real(request: pytest.FixtureRequest, test_data: Path) -> bytes:
    """A real file."""
    return (test_data / "warp" / request.param).read_bytes()


def test_a_real_file_is_read_field_by_field(test_data: Path) -> None:
    model = read((test_data / "warp/TS_1.xml").read_bytes())
    assert model.n_tilts == 41
    assert model.angles_deg[[0, 20, 40]].tolist() == [40.01, 0.02, -39.98]
    assert model.exposure[[0, 20, 40]].tolist() == [120, 0, 114]
    assert model.use.all()
    assert model.axis_angle_deg[0] == -85.60053
    assert (model.axis_offset_x_A[5], model.axis_offset_y_A[5]) == (-106.08047, -3.2870808)
    assert (model.level_angle_x_deg, model.level_angle_y_deg) == (1.457031, -5.920115)
    assert (model.bfactor_A2, model.weight) == (-16.02326, 1)
    assert not model.are_angles_inverted
    assert model.magnification.tolist() == [[1.0062196, 0.00422745], [0.004283654, 1.0009562]]
    assert model.grid_movement_x.values.shape == (41, 4, 6)
    assert model.grid_angle_x.values.shape == (41, 1, 1)
    assert model.grid_ctf.values.shape == (41, 1, 1)
    assert (model.image_dims_A, model.volume_dims_A) == (IMAGE, VOLUME)
    assert model.ctf.voltage_kV == 300
    assert read((test_data / "warp/00254.xml").read_bytes()).are_angles_inverted


def test_every_node_of_a_real_grid_is_where_the_file_puts_it(test_data: Path) -> None:
    content = (test_data / "warp/TS_1.xml").read_bytes()
    values = read(content).grid_movement_y.values
    nodes = etree.fromstring(content).findall("GridMovementY/Node")
    assert len(nodes) == values.size
    for node in nodes:
        x, y, z = (int(node.get(axis)) for axis in "XYZ")
        assert values[z, y, x] == float(node.get("Value"))


def test_movie_names_are_listed(test_data: Path) -> None:
    names = read_notes((test_data / "warp/TS_1.xml").read_bytes(), "TS_1.xml").movies
    assert len(names) == 41
    assert names[0] == "../2/2Dvs3D_53-1_00041_-40.0_Jul31_11.05.12.tif"
    assert read_notes(MINIMAL.encode(), "TS.xml").movies == []


def test_an_unchanged_model_gives_the_same_bytes(real: bytes) -> None:
    assert write_tilt_series(read(real), real) == real


def test_a_real_file_survives_a_change_of_everything_known(real: bytes) -> None:
    model = read(real)
    changed = replace(
        model,
        angles_deg=model.angles_deg + 0.25,
        exposure=model.exposure + 1,
        use=~model.use,
        axis_angle_deg=model.axis_angle_deg - 0.5,
        axis_offset_x_A=model.axis_offset_x_A + 1,
        axis_offset_y_A=model.axis_offset_y_A - 1,
        level_angle_x_deg=0.125,
        level_angle_y_deg=-1.5,
        are_angles_inverted=not model.are_angles_inverted,
        magnification=np.array([[1.01, 0.001], [0.002, 0.99]]),
        weight=0.5,
        bfactor_A2=-3.5,
        ctf=replace(model.ctf, cs_mm=1.4, zernike_odd=(0.5, -0.25), zernike_even=(1.0,)),
        **{
            field.name: SplineGrid(np.random.default_rng(i).normal(size=(model.n_tilts, 2, 3)), (0.1, 0.0, 0.2))
            for i, field in enumerate(fields(model))
            if field.name.startswith("grid_") and "volume_warp" not in field.name
        },
        **{
            f"grid_volume_warp_{axis}": LinearGrid4D(np.random.default_rng(i).normal(size=(2, 3, 4, 5)))
            for i, axis in enumerate("xyz")
        },
    )
    written = write_tilt_series(changed, real)
    assert as_dict(read(written)) == as_dict(changed)
    before, after = leaves(real), leaves(written)
    elements = r"/TiltSeries/(Angles|Dose|UseTilt|Axis(Angle|Offset[XY])|Grid\w+(/.*)?|CTF(/.*)?)$"
    attributes = r"/TiltSeries/@(LevelAngle|AreAnglesInverted|Magnification|Bfactor|Weight)"
    unknown = {path: text for path, text in before.items() if not re.match(f"{elements}|{attributes}", path)}
    assert len(unknown) > 60  # processing options, spectra, movie paths, ...
    assert {path: after.get(path) for path in unknown} == unknown
    assert write_tilt_series(changed, written) == written


def test_a_change_of_one_grid_touches_nothing_else(real: bytes) -> None:
    model = read(real)
    moved = replace(model, grid_movement_x=SplineGrid(np.full((model.n_tilts, 3, 3), 1.5)))
    before, after = leaves(real), leaves(write_tilt_series(moved, real))
    elsewhere = [path for path in before | after if "/GridMovementX" not in path]
    assert {path: after.get(path) for path in elsewhere} == {path: before.get(path) for path in elsewhere}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_the_encoding_of_a_file_is_kept(test_data: Path, encoding: str) -> None:
    text = (test_data / "warp/TS_1.xml").read_text(encoding="utf-8-sig")
    text = text.replace('encoding="utf-8"', f'encoding="{encoding.removesuffix("-sig")}"')
    content = text.replace("relay-empiar-10491", "Prüfung-ångström").encode(encoding)
    model = read(content)
    np.testing.assert_array_equal(model.angles_deg, read((test_data / "warp/TS_1.xml").read_bytes()).angles_deg)
    written = write_tilt_series(replace(model, weight=0.25), content)
    assert written[:3] == content[:3]
    assert read(written).weight == 0.25
    assert "Prüfung-ångström" in written.decode(encoding)


def test_a_file_without_dimensions_takes_them_from_the_caller_and_a_newer_one_has_its_own() -> None:
    assert read(MINIMAL).volume_dims_A == VOLUME
    newer = MINIMAL.replace(
        "<TiltSeries>",
        '<TiltSeries ImageDimensionsAngstrom="4000, 5000.5" VolumeDimensionsAngstrom="1000, 2000, 300.25">',
    )
    model = read(newer)
    assert model.image_dims_A == (4000, 5000.5)
    assert model.volume_dims_A == (1000, 2000, 300.25)


def test_what_a_minimal_file_leaves_out_has_defaults() -> None:
    model = read(MINIMAL)
    assert model.use.tolist() == [True] * 3
    assert model.exposure.tolist() == [0, 0, 0]
    assert model.magnification.tolist() == [[1, 0], [0, 1]]
    assert model.grid_dose_weights.values.tolist() == [[[1.0]]]
    assert model.grid_movement_x.values.tolist() == [[[0.0]]]
    assert model.ctf == CTFModel()


@st.composite
def models(draw: st.DrawFn) -> TiltSeriesModel:
    """Models with grids of any size."""
    n = draw(st.integers(1, 4))
    lengths = st.floats(1e-3, 1e6)  # 0 means unknown
    per_tilt = hnp.arrays(np.float64, n, elements=numbers)
    shape = st.tuples(*[st.integers(1, 3)] * 3)
    grid = shape.flatmap(lambda s: hnp.arrays(np.float64, s, elements=numbers))
    margin = st.tuples(*[st.floats(0, 0.5)] * 3)
    shape_4d = st.tuples(*[st.integers(1, 3)] * 4)
    grid_4d = shape_4d.flatmap(lambda s: hnp.arrays(np.float64, s, elements=numbers))
    return TiltSeriesModel(
        angles_deg=draw(per_tilt),
        exposure=draw(per_tilt),
        use=draw(hnp.arrays(np.bool_, n)),
        axis_angle_deg=draw(per_tilt),
        axis_offset_x_A=draw(per_tilt),
        axis_offset_y_A=draw(per_tilt),
        image_dims_A=(draw(lengths), draw(lengths)),
        volume_dims_A=(draw(lengths), draw(lengths), draw(lengths)),
        are_angles_inverted=draw(st.booleans()),
        magnification=draw(hnp.arrays(np.float64, (2, 2), elements=numbers)),
        ctf=CTFModel(cs_mm=draw(numbers), zernike_odd=tuple(draw(st.lists(numbers, max_size=3)))),
        grid_ctf=SplineGrid(draw(grid), draw(margin)),
        grid_movement_x=SplineGrid(draw(grid), draw(margin)),
        grid_angle_z=SplineGrid(draw(grid)),
        grid_volume_warp_y=LinearGrid4D(draw(grid_4d)),
    )


@settings(max_examples=60, deadline=None)
@given(models())
def test_any_model_survives_a_round_trip_to_the_last_bit(model: TiltSeriesModel) -> None:
    written = write_tilt_series(model)
    assert as_dict(read(written)) == as_dict(model)


@settings(max_examples=30, deadline=None)
@given(models(), models())
def test_any_model_can_be_written_over_any_other(first: TiltSeriesModel, second: TiltSeriesModel) -> None:
    written = write_tilt_series(second, write_tilt_series(first))
    assert as_dict(read(written)) == as_dict(second)


def grid(body: str, size: str = 'Width="2" Height="1" Depth="1"') -> str:
    """A minimal file with a movement grid."""
    return MINIMAL.replace("</TiltSeries>", f"<GridMovementX {size}>{body}</GridMovementX></TiltSeries>")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not readable as XML"),
        ("<TiltSeries><Angles>1</Angles>", "not readable as XML"),
        ("<Movie/>", "no <Angles>; is it the XML of a tilt series"),
        (MINIMAL.replace("-3", "-3,5"), "<Angles> holds something that is not a number .*'-3,5'"),
        (MINIMAL.replace("-3", "NaN"), "<Angles> holds NaN or infinity"),
        (MINIMAL.replace("</T", "<Dose>1\n2</Dose></T"), "3 tilts in <Angles>, but 2 values in <Dose>"),
        (MINIMAL.replace("</T", "<UseTilt>True</UseTilt></T"), "3 tilts in <Angles>, but 1 values in <UseTilt>"),
        (
            MINIMAL.replace("<T", '<T MagnificationCorrection="1, 0" ', 1).replace("T M", "TiltSeries M", 1),
            None,
        ),
        (grid('<Node X="0" Y="0" Z="0" Value="1"/>'), "<GridMovementX> lacks 1 of 2 nodes"),
        (grid('<Node X="2" Y="0" Z="0" Value="1"/>'), r"a node outside of its own size: \(2, 0, 0\)"),
        (grid('<Node X="a" Y="0" Z="0" Value="1"/>'), "<GridMovementX> holds something that is not a number"),
        (grid("", 'Width="0" Height="1" Depth="1"'), "<GridMovementX> claims 0 x 1 x 1 nodes"),
        (grid("", 'Width="9999" Height="9999" Depth="9999"'), "<GridMovementX> claims 9999 x 9999 x 9999 nodes"),
    ],
)
def test_what_is_wrong_is_named_in_one_line(content: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(content, "folder/TS.xml")
    assert str(caught.value).startswith("folder/TS.xml: ")
    assert "\n" not in str(caught.value)
