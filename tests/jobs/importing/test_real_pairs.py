"""Tomostars and XMLs of real projects that belong together are not doubted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mpop.formats.tomostar import ANGLE, AXIS, DOSE, read_tomostar
from mpop.formats.warp_xml import read_notes, read_tilt_series
from mpop.importing.warp_checks import by_movie, compared_angles, compared_axis, compared_exposures

PAIRS = [
    ("warp/TS_1.tomostar", "warp/TS_1.xml", ["exposures-differ"]),  # 2.64 and 3 e/A^2: not of one run
    ("found/cetswarpm/Position_16_3_DERIVED.tomostar", "found/cetswarpm/Position_16_3_DERIVED.xml", []),
]


@pytest.mark.parametrize(("tomostar", "xml", "kinds"), PAIRS, ids=["TS_1", "Position_16_3"])
def test_a_real_pair_agrees(test_data: Path, tomostar: str, xml: str, kinds: list[str]) -> None:
    if not (test_data / tomostar).exists():
        pytest.skip(f"no test data in {test_data / tomostar}; set MPOP_TEST_DATA to the folder that holds them")
    content = (test_data / xml).read_bytes()
    model = read_tilt_series(content, xml, (0.0, 0.0), (0.0, 0.0, 0.0))
    table = read_tomostar(test_data / tomostar)
    ordered, doubts = by_movie(table, read_notes(content, xml).movies)
    assert ordered.movies == table.movies
    stated = {name: np.asarray(ordered.table[name], dtype=np.float64) for name in (ANGLE, DOSE, AXIS)}
    doubts += compared_angles(ordered, model.angles_deg, stated[ANGLE])
    doubts += compared_exposures(ordered, model.exposure, stated[DOSE])
    if model.axis_angle_deg.any():
        doubts += compared_axis(ordered, model.axis_angle_deg, stated[AXIS])
    assert [doubt.kind for doubt in doubts] == kinds


def test_angles_that_imod_refined_are_not_doubted(test_data: Path) -> None:
    raw, refined = (np.loadtxt(test_data / f"imod/TS_001/TS_001.{kind}") for kind in ("rawtlt", "tlt"))
    table = read_tomostar(test_data / "warp/TS_1.tomostar")
    assert np.ptp(refined - raw) > 0.3
    assert compared_angles(table, refined, raw) == []
    assert [doubt.kind for doubt in compared_angles(table, refined, raw[::-1])] == ["angles-differ"]
