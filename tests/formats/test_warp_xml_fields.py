"""What each field of Warp's XML means when it is absent, has one node, a default, or no number in it; the table of
docs/reference/warp-xml.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mpop.errors import InputError
from mpop.formats.warp_xml import (
    _ATTRIBUTES,
    _CTF,
    _DIMENSIONS,
    _GRIDS,
    _GRIDS_4D,
    _LISTS,
    read_notes,
    read_tilt_series,
)
from mpop.geometry.tilt import TiltGeometry
from mpop.optics.weights import tilt_amplitudes, tilt_bfactors_A2
from mpop.records.tilt_series import CTFModel, TiltSeriesModel

TABLE = Path(__file__).parents[2] / "docs/reference/warp-xml.md"
IMAGE, VOLUME = (3000.0, 4000.0), (3000.0, 4000.0, 1000.0)
LIST = "<{0}>0\n{1}\n0</{0}>"


def read(body: str = "", attributes: str = "") -> TiltSeriesModel:
    """A series of three tilts with some fields."""
    angles = "" if "<Angles>" in body else "<Angles>-3\n0\n3</Angles>"
    content = f"<TiltSeries {attributes}>{angles}{body}</TiltSeries>".encode()
    return read_tilt_series(content, "TS.xml", IMAGE, VOLUME)


def one_node(element: str, value: str) -> str:
    duration = ' Duration="1"' if element in _GRIDS_4D else ""
    node = f'<Node X="0" Y="0" Z="0" W="0" Value="{value}"/>'
    return f'<{element} Width="1" Height="1" Depth="1"{duration}>{node}</{element}>'


def test_the_table_has_every_field() -> None:
    text = TABLE.read_text().replace("`...Y`, `...Z`", "`GridVolumeWarpY`, `GridVolumeWarpZ`")
    tables = (_LISTS, _ATTRIBUTES, _CTF, _GRIDS, _GRIDS_4D, _DIMENSIONS)
    named = [name for table in tables for name in table]
    others = ["UseTilt", "AreAnglesInverted", "MagnificationCorrection", "UnselectManual", "MoviePath"]
    assert [name for name in [*named, *others] if f"`{name}`" not in text] == []


@pytest.mark.parametrize("value", ["NaN", "nan", "Infinity", "-INF", "1,5"])
def test_what_is_no_number_is_refused_in_every_field(value: str) -> None:
    fields: list[Callable[[], object]] = []
    for element in _LISTS:
        fields.append(lambda element=element: read(LIST.format(element, value)))
    for attribute in _ATTRIBUTES:
        fields.append(lambda attribute=attribute: read(attributes=f'{attribute}="{value}"'))
    for element in (*_GRIDS, *_GRIDS_4D):
        fields.append(lambda element=element: read(one_node(element, value)))
    for parameter in _CTF:
        fields.append(lambda parameter=parameter: read(f'<CTF><Param Name="{parameter}" Value="{value}"/></CTF>'))
    for field in fields:
        with pytest.raises(InputError, match=r"^TS\.xml: "):
            field()


def test_what_is_empty_is_absent() -> None:
    model = read(
        "".join(f'<CTF><Param Name="{name}" Value=""/></CTF>' for name in _CTF), 'Weight="" LevelAngleX=""'
    )
    assert (model.weight, model.level_angle_x_deg, model.ctf) == (1, 0, CTFModel())


def test_what_is_absent_has_the_value_of_the_table() -> None:
    model = read()
    for field in (*_LISTS.values(), *_GRIDS.values(), *_GRIDS_4D.values()):
        value = getattr(model, field)
        values = value if isinstance(value, np.ndarray) else value.values
        if field in ("grid_dose_weights", "grid_location_weights"):
            assert values.tolist() == [[[1.0]]]
        elif field != "angles_deg":
            assert not values.any()
    assert (model.weight, model.bfactor_A2, model.level_angle_x_deg, model.level_angle_y_deg) == (1, 0, 0, 0)
    assert not model.are_angles_inverted
    assert model.use.all()
    assert (model.image_dims_A, model.volume_dims_A) == (IMAGE, VOLUME)
    assert model.magnification.tolist() == [[1, 0], [0, 1]]
    assert model.ctf == CTFModel(voltage_kV=300, cs_mm=2.7, amplitude_contrast=0.07)
    with pytest.raises(InputError, match="no <Angles>"):
        read("<Angles></Angles>")


@pytest.mark.parametrize("value", ["0", "1", "-5", "0.3"])
def test_weights_of_one_node_are_none_whatever_their_value(value: str) -> None:
    names = [name for name in _GRIDS if "Weights" in name or "Bfacs" in name]
    assert len(names) == 6
    dose = "<Dose>6\n0\n3</Dose>"
    model = read(dose + "".join(one_node(name, value) for name in names))
    np.testing.assert_array_equal(tilt_amplitudes(model), tilt_amplitudes(read(dose)))
    np.testing.assert_array_equal(tilt_bfactors_A2(model), [-24, 0, -12])
    np.testing.assert_allclose(tilt_amplitudes(model), np.cos(np.deg2rad([-3, 0, 3])))


def test_other_grids_of_one_node_hold_for_all_tilts() -> None:
    grids = {"GridCTF": 2.5, "GridCTFDefocusDelta": 0.1, "GridCTFDefocusAngle": 30.0, "GridCTFPhase": 0.25}
    model = read("".join(one_node(name, str(value)) for name, value in grids.items()))
    centre, pose = (
        torch.tensor(VOLUME, dtype=torch.float64).reshape(1, 1, 3) / 2,
        torch.eye(3).double()[None, None],
    )
    geometry = TiltGeometry(model)
    found = [geometry.defocus_um(centre, torch.zeros(1, 3)), *geometry.astigmatism(centre)]
    for value, expected in zip(found, grids.values(), strict=True):
        np.testing.assert_allclose(value.numpy(), [[expected] * 3])
    moved = TiltGeometry(read(one_node("GridMovementX", "7"))).project(centre, pose).position_A
    still = geometry.project(centre, pose).position_A
    np.testing.assert_allclose(moved.numpy(), still.numpy() - [7, 0])


@pytest.mark.parametrize("zeros", ["0, 0", "3000, 0"])
def test_lengths_of_0_are_unknown(zeros: str) -> None:
    model = read(attributes=f'ImageDimensionsAngstrom="{zeros}" VolumeDimensionsAngstrom="0, 0, 0"')
    assert (model.image_dims_A, model.volume_dims_A) == (IMAGE, VOLUME)
    with pytest.raises(InputError, match="ImageDimensionsAngstrom is negative"):
        read(attributes='ImageDimensionsAngstrom="-1, 5"')


@pytest.mark.parametrize(
    ("numbers", "old"),
    [
        ("1, 1, 0", None),
        ("1, 1, 0.3", None),
        ("", None),
        ("1.02, 0.99, 0.3", (1.02, 0.99, 0.3)),
        ("1, 0, 0, 1", None),
    ],
)
def test_three_numbers_of_warp_1_are_no_matrix(numbers: str, old: tuple[float, ...] | None) -> None:
    attributes = f'MagnificationCorrection="{numbers}"'
    assert read(attributes=attributes).magnification.tolist() == [[1, 0], [0, 1]]
    content = f"<TiltSeries {attributes}><Angles>1</Angles></TiltSeries>".encode()
    assert read_notes(content, "TS.xml").old_magnification == old


@pytest.mark.parametrize(
    ("value", "deselected"), [("True", True), ("true", True), ("False", False), ("", False), ("null", False)]
)
def test_what_deselects_a_series(value: str, deselected: bool) -> None:
    content = f'<TiltSeries UnselectManual="{value}" UnselectFilter="True"/>'.encode()
    assert read_notes(content, "TS.xml").deselected is deselected
